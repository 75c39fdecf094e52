"""Does a conversation in OpenAI's words read the same in Anthropic's?"""

import copy

import pytest

from data_plane.providers._anthropic_messages import calls_without_thinking, shortest_system, split_messages
from shared.errors import BadRequest

USER = {"role": "user", "content": "hi"}


def call(call_id="call_1", name="weather", arguments='{"city":"Oslo"}'):
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def called(*calls, **extra):
    return {"role": "assistant", "content": None, "tool_calls": list(calls), **extra}


def result(call_id="call_1", content="sunny", **extra):
    return {"role": "tool", "tool_call_id": call_id, "content": content, **extra}


def turns(*messages):
    return split_messages(list(messages), "anthropic")[1]


def refused(*messages):
    with pytest.raises(BadRequest) as caught:
        split_messages(list(messages), "anthropic")
    return caught.value.path


def test_system_and_developer_messages_become_the_system_prompt():
    cached = {"type": "text", "text": "b", "cache_control": {"type": "ephemeral"}}
    system, rest = split_messages(
        [{"role": "system", "content": "a"}, USER, {"role": "developer", "content": [cached]}], "anthropic"
    )
    assert system == [{"type": "text", "text": "a"}, cached]
    assert rest == [USER]


def test_one_plain_system_text_is_a_string():
    assert shortest_system([{"type": "text", "text": "a"}]) == "a"


def test_a_cached_system_text_stays_a_block():
    block = {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}
    assert shortest_system([block]) == [block]


def test_messages_of_one_role_in_a_row_are_one_turn():
    assert turns(USER, {"role": "user", "content": "there", "name": "ann"}) == [
        {"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "text", "text": "there"}]}
    ]


def test_a_tool_call_and_its_result_become_blocks_of_two_turns():
    assert turns(USER, called(call(), content="Let me look."), result()) == [
        USER,
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "Let me look."},
                {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Oslo"}},
            ],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": "sunny"}]},
    ]


def test_results_of_parallel_calls_and_the_next_question_are_one_turn_with_the_results_first():
    made = turns(USER, called(call("a"), call("b")), result("b"), {"role": "user", "content": "and?"}, result("a"))
    assert [block["type"] for block in made[2]["content"]] == ["tool_result", "tool_result", "text"]


@pytest.mark.parametrize("arguments", ["", None, "{}", {}])
def test_a_call_without_arguments_has_an_empty_input(arguments):
    assert turns(USER, called(call(arguments=arguments)), result())[1]["content"][0]["input"] == {}


@pytest.mark.parametrize("arguments", ["{", "[]", "3", "\ud800", 3, ["x"]])
def test_arguments_that_are_no_json_object_are_refused_with_their_path(arguments):
    path = refused(USER, called(call(), call("call_2", arguments=arguments)), result(), result("call_2"))
    assert path == "messages[1].tool_calls[1].function.arguments"


def test_ids_of_other_providers_are_made_acceptable_alike_in_call_and_result():
    made = turns(USER, called(call("fn:1/ü")), result("fn:1/ü"))
    assert made[1]["content"][0]["id"] == made[2]["content"][0]["tool_use_id"] == "fn_1__"


def test_a_result_may_be_parts_empty_or_an_error():
    parts = [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]
    made = turns(
        USER, called(call("a"), call("b"), call("c")), result("a", parts), result("b", ""),
        result("c", "no", is_error=True, cache_control={"type": "ephemeral"}),
    )  # fmt: skip
    assert made[2]["content"] == [
        {"type": "tool_result", "tool_use_id": "a", "content": parts},
        {"type": "tool_result", "tool_use_id": "b"},
        {
            "type": "tool_result", "tool_use_id": "c", "content": "no", "is_error": True,
            "cache_control": {"type": "ephemeral"},
        },
    ]  # fmt: skip


class TestThinking:
    SIGNED = ({"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "redacted_thinking", "data": "d"})

    def test_signed_thinking_goes_back_before_the_text_and_the_call(self):
        made = turns(USER, called(call(), content="so", content_blocks=list(self.SIGNED)), result())
        assert [block["type"] for block in made[1]["content"]] == ["thinking", "redacted_thinking", "text", "tool_use"]
        assert made[1]["content"][:2] == list(self.SIGNED)

    def test_text_that_the_blocks_hold_already_is_not_said_twice(self):
        blocks = [*self.SIGNED, {"type": "text", "text": "so"}]
        assert (
            turns(USER, {"role": "assistant", "content": "so", "content_blocks": blocks}, USER)[1]["content"] == blocks
        )

    def test_thinking_without_a_signature_stays_behind(self):
        message = {"role": "assistant", "content": "so", "content_blocks": [{"type": "thinking", "thinking": "hm"}]}
        assert turns(USER, message, USER)[1]["content"] == "so"

    def test_blocks_that_are_no_blocks_are_refused(self):
        assert (
            refused(USER, {"role": "assistant", "content": "x", "content_blocks": [1]}) == "messages[1].content_blocks"
        )

    def test_a_call_whose_thinking_was_not_sent_back_is_noticed(self):
        assert calls_without_thinking(turns(USER, called(call()), result()))
        assert not calls_without_thinking(turns(USER, called(call(), content_blocks=list(self.SIGNED)), result()))
        assert not calls_without_thinking(turns(USER, {"role": "assistant", "content": "x"}, USER))


def test_an_assistant_message_that_says_nothing_is_left_out():
    assert len(turns(USER, {"role": "assistant", "content": None}, USER)) == 1


def test_a_prefill_loses_the_white_space_at_its_end():
    assert turns(USER, {"role": "assistant", "content": "The answer: \n"})[-1]["content"] == "The answer:"


def test_the_callers_messages_stay_as_they_were():
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "a"}]}, USER, called(call()), result(),
        {"role": "assistant", "content": [{"type": "text", "text": "b "}]},
    ]  # fmt: skip
    before = copy.deepcopy(messages)
    split_messages(messages, "anthropic")
    assert messages == before


@pytest.mark.parametrize(
    ("messages", "path"),
    [
        ([{"role": "system", "content": "x"}], "messages"),
        ([{"role": "assistant", "content": "x"}], "messages"),
        ([5], "messages[0]"),
        ([{"content": "x"}], "messages[0].role"),
        ([{"role": ["user"], "content": "x"}], "messages[0].role"),
        ([{"role": "function", "name": "f", "content": "x"}], "messages[0].role"),
        ([{"role": "user", "content": " "}], "messages[0].content"),
        ([USER, called(call())], "messages[1].tool_calls"),
        ([USER, called(call("a"), call("b")), result("a")], "messages[1].tool_calls"),
        ([USER, called(call("a"), call("a")), result("a")], "messages[1].tool_calls"),
        ([USER, called(call()), result(), called(call()), result()], "messages[3].tool_calls"),
        ([USER, called(call()), result(), result()], "messages[2].tool_call_id"),
        ([USER, {"role": "assistant", "content": "x"}, result()], "messages[2].tool_call_id"),
        ([USER, called(call()), {"role": "tool", "content": "x"}], "messages[2].tool_call_id"),
        ([USER, {"role": "assistant", "tool_calls": {}}], "messages[1].tool_calls"),
        ([USER, called({"type": "custom"})], "messages[1].tool_calls[0]"),
        ([USER, called(call(name=""))], "messages[1].tool_calls[0].function.name"),
        ([USER, called(call(call_id=7))], "messages[1].tool_calls[0].id"),
    ],
)
def test_what_anthropic_would_refuse_is_refused_with_the_callers_path(messages, path):
    assert refused(*messages) == path


@pytest.mark.parametrize("messages", [None, [], {}, "hi"])
def test_messages_must_be_a_list_that_is_not_empty(messages):
    with pytest.raises(BadRequest, match="messages"):
        split_messages(messages, "anthropic")
