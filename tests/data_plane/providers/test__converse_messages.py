"""Does a conversation reach Bedrock in turns, with every call and result where it belongs?"""

import copy

import pytest

from data_plane.providers._converse_messages import calls_without_thinking, speak_of_tools, split_messages
from shared.errors import BadRequest, Unsupported
from tests.fakes.aws import converse_problems

USER = {"role": "user", "content": "hi"}


def call(*names, **more):
    calls = [{"id": name, "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}} for name in names]
    return {"role": "assistant", "content": None, "tool_calls": calls, **more}


def result(name, content="ok", **more):
    return {"role": "tool", "tool_call_id": name, "content": content, **more}


def split(*messages):
    before = copy.deepcopy(messages)
    system, turns = split_messages({"messages": list(messages)}, "bedrock")
    assert messages == before
    assert converse_problems({"messages": turns, **({"system": system} if system else {})}) == ""
    return system, turns


def use(name):
    return {"toolUse": {"toolUseId": name, "name": "f", "input": {"x": 1}}}


def answer(name, text="ok", **more):
    return {"toolResult": {"toolUseId": name, "content": [{"text": text}], **more}}


def test_system_and_developer_messages_are_kept_apart():
    system, turns = split(
        {"role": "system", "content": "a", "cache_control": {"type": "ephemeral"}},
        USER,
        {"role": "developer", "content": "b"},
    )
    assert system == [{"text": "a"}, {"cachePoint": {"type": "default"}}, {"text": "b"}]
    assert turns == [{"role": "user", "content": [{"text": "hi"}]}]


def test_a_system_prompt_of_pictures_is_unsupported():
    with pytest.raises(Unsupported, match="only text"):
        split(
            {"role": "system", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]},
            USER,
        )


def test_messages_of_one_side_are_one_turn():
    _, turns = split(USER, USER, {"role": "assistant", "content": "a"}, {"role": "assistant", "content": "b"}, USER)
    assert [(turn["role"], len(turn["content"])) for turn in turns] == [("user", 2), ("assistant", 2), ("user", 1)]


def test_parallel_calls_and_their_results_are_one_turn_each():
    _, turns = split(USER, call("a", "b", content="let me see"), result("a"), result("b", is_error=True), USER)
    assert turns[1:] == [
        {"role": "assistant", "content": [{"text": "let me see"}, use("a"), use("b")]},
        {"role": "user", "content": [answer("a"), answer("b", status="error"), {"text": "hi"}]},
    ]


def test_results_stand_before_what_the_user_says():
    _, turns = split(USER, call("a", "b"), result("a", cache_control={"type": "ephemeral"}), USER, result("b"))
    assert turns[-1]["content"] == [answer("a"), {"cachePoint": {"type": "default"}}, answer("b"), {"text": "hi"}]


def test_results_may_hold_images_or_nothing():
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    _, turns = split(USER, call("a", "b"), result("a", [image]), result("b", ""))
    results = [block["toolResult"]["content"] for block in turns[-1]["content"]]
    assert results == [[{"image": {"format": "png", "source": {"bytes": "AAAA"}}}], []]


def test_ids_that_bedrock_refuses_change_alike_in_call_and_result():
    long = "x" * 65
    _, turns = split(USER, call("call/ü1", long), result("call/ü1"), result(long))
    calls = [block["toolUse"]["toolUseId"] for block in turns[1]["content"]]
    assert calls == [block["toolResult"]["toolUseId"] for block in turns[2]["content"]]
    assert calls[0] == "call__1"
    assert len(calls[1]) == 64


def test_signed_thinking_goes_back_and_unsigned_does_not():
    native = [
        {"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "thinking", "thinking": "unsigned"},
        {"type": "redacted_thinking", "data": "AAAA"}, {"type": "text", "text": "so"},
    ]  # fmt: skip
    _, turns = split(USER, {"role": "assistant", "content": "so", "content_blocks": native}, USER)
    assert turns[1]["content"] == [
        {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}},
        {"reasoningContent": {"redactedContent": "AAAA"}}, {"text": "so"},
    ]  # fmt: skip


def test_an_assistant_that_said_nothing_is_left_out_and_the_turns_grow_together():
    _, turns = split(USER, {"role": "assistant", "content": ""}, USER)
    assert turns == [{"role": "user", "content": [{"text": "hi"}, {"text": "hi"}]}]


def test_a_beginning_of_an_answer_ends_without_white_space():
    _, turns = split(USER, {"role": "assistant", "content": "It is \n"})
    assert turns[-1]["content"] == [{"text": "It is"}]


def test_documents_of_one_name_are_told_apart():
    part = {"type": "file", "file": {"file_data": "data:text/plain;base64,AAAA", "filename": "a.txt"}}
    _, turns = split(
        {"role": "user", "content": [part, part]},
        {"role": "assistant", "content": "x"},
        {"role": "user", "content": [part]},
    )
    names = [block["document"]["name"] for turn in turns for block in turn["content"] if "document" in block]
    assert names == ["a", "a (2)", "a (3)"]


@pytest.mark.parametrize(("message", "path"), [
    ({"role": "user", "content": ""}, "messages[1].content"), ({"role": "user"}, "messages[1].content"),
    (result(""), "messages[1].tool_call_id"), ({"role": "tool", "content": "x"}, "messages[1].tool_call_id"),
    ({"role": "assistant", "content_blocks": "x"}, "messages[1].content_blocks"),
    ({"role": "assistant", "content_blocks": [1]}, "messages[1].content_blocks"),
])  # fmt: skip
def test_what_is_no_message_is_refused_with_its_place(message, path):
    with pytest.raises(BadRequest) as refusal:
        split(USER, message)
    assert refusal.value.path == path


def test_a_system_prompt_alone_is_refused():
    with pytest.raises(BadRequest, match="more than a system prompt"):
        split({"role": "system", "content": "x"})


def test_whether_tools_were_called_and_thinking_was_kept():
    turns = split(USER, call("a"), result("a"))[1]
    assert (speak_of_tools(turns), calls_without_thinking(turns)) == (True, True)
    thought = split(
        USER, call("a", content_blocks=[{"type": "thinking", "thinking": "x", "signature": "s"}]), result("a")
    )[1]
    assert calls_without_thinking(thought) is False
    assert (speak_of_tools(split(USER)[1]), calls_without_thinking(split(USER)[1])) == (False, False)
