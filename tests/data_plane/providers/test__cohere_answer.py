"""Is Cohere's answer read whole: text, calls, plan, citations, tokens and the reason of its end?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion

from data_plane.core.types import CallFacts, Usage
from data_plane.providers._cohere_answer import decode_answer, finish_reason, logprob_rows, openai_usage, tool_call
from data_plane.providers._openai_like import read_usage
from shared.errors import UpstreamInvalid

TEXT = {"type": "text", "text": "hi"}
CALL = {"id": "f_1", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}


@pytest.fixture
def decode(facts):
    def run(message, *, strict=True, reason="COMPLETE", **more):
        answer = {"id": "c", "finish_reason": reason, "message": {"role": "assistant", **message}, **more}
        made = decode_answer(answer, facts("command-a", strict=strict), provider="cohere")
        ChatCompletion.model_validate(made)
        return made

    return run


def test_texts_are_one_text(decode):
    made = decode({"content": [TEXT, {"type": "text", "text": "!"}]})
    assert {name: made[name] for name in made if name != "created"} == {
        "id": "c", "object": "chat.completion", "model": "command-a", "provider": "cohere",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi!"}, "logprobs": None, "finish_reason": "stop"}],
    }  # fmt: skip


def test_calls_come_with_their_plan(decode):
    made = decode({"tool_plan": "I will ask.", "tool_calls": [CALL]}, reason="TOOL_CALL")["choices"][0]
    assert made["message"] == {"role": "assistant", "content": "I will ask.", "tool_calls": [CALL]}
    assert made["finish_reason"] == "tool_calls"
    assert decode({"tool_calls": [CALL]})["choices"][0]["message"]["content"] is None
    assert (
        decode({"content": [TEXT], "tool_plan": "p", "tool_calls": [CALL]})["choices"][0]["message"]["content"] == "hi"
    )


@pytest.mark.parametrize(("told", "made"), [
    (CALL, CALL), ({"id": "a", "function": {"name": "f", "arguments": {"x": 1}}}, {**CALL, "id": "a"}), ({}, None), (None, None),
])  # fmt: skip
def test_a_call_is_openais(told, made):
    assert tool_call(told) == made


def test_citations_and_thinking_are_for_who_wants_more_than_openai(decode):
    content = [{"type": "thinking", "thinking": "hm"}, TEXT]
    told = {"content": content, "citations": [{"start": 0, "end": 2, "text": "hi", "sources": []}], "tool_plan": ""}
    assert decode(told)["choices"][0]["message"] == {"role": "assistant", "content": "hi"}
    assert decode(told, strict=False)["choices"][0]["message"] == {
        "role": "assistant", "content": "hi", "content_blocks": content, "citations": told["citations"],
    }  # fmt: skip


@pytest.mark.parametrize(("told", "word"), [
    ("COMPLETE", "stop"), ("STOP_SEQUENCE", "stop"), ("MAX_TOKENS", "length"), ("TIMEOUT", "length"), ("TOOL_CALL", "tool_calls"),
    ("ERROR_TOXIC", "content_filter"), ("NEW", "stop"), (None, "stop"),
])  # fmt: skip
def test_the_reason_of_the_end_in_openais_words(told, word):
    assert finish_reason(told, strict=True) == word
    assert finish_reason("NEW", strict=False) == "NEW"


@pytest.mark.parametrize(("told", "usage"), [
    ({"billed_units": {"input_tokens": 3.0, "output_tokens": 2.0}, "tokens": {"input_tokens": 70, "output_tokens": 4}}, Usage(3, 2)),
    ({"billed_units": {"search_units": 1}, "tokens": {"input_tokens": 70, "output_tokens": 4}, "cached_tokens": 60.0},
     Usage(70, 4, cache_read=60)),
    ({"billed_units": {"input_tokens": 3, "output_tokens": 2}, "cached_tokens": 60}, Usage(3, 2, cache_read=3)),
])  # fmt: skip
def test_billed_tokens_are_told_where_they_are_known(told, usage):
    assert read_usage(openai_usage(told)) == usage


@pytest.mark.parametrize("told", [None, {}, {"tokens": {}}, {"billed_units": 5}])
def test_nothing_is_counted_where_cohere_counts_nothing(told):
    assert openai_usage(told) is None


def test_log_probabilities_have_a_row_for_each_piece(decode):
    told = [
        {"text": "hi", "token_ids": [1], "logprobs": [-0.5]},
        {"text": " é", "token_ids": [2, 3], "logprobs": [-1, -0.25]},
        {},
    ]
    rows = decode({"content": [TEXT]}, logprobs=told)["choices"][0]["logprobs"]["content"]
    assert [(row["token"], row["logprob"], row["bytes"]) for row in rows] == [
        ("hi", -0.5, [104, 105]),
        (" é", -1.25, [32, 195, 169]),
    ]
    assert logprob_rows([{"text": 1, "logprobs": [1]}, {"text": "a", "logprobs": []}]) == []


@pytest.mark.parametrize(("answer", "told"), [
    ({"message": "too many tokens"}, "cohere error: too many tokens"), ({}, "Invalid response"), ({"message": {"content": 5}}, "Invalid response"),
    ({"message": {"content": [TEXT]}, "finish_reason": "ERROR"}, "the answer failed"), ({"message": {}}, "Invalid response"),
])  # fmt: skip
def test_what_is_no_answer_is_refused(facts, answer, told):
    with pytest.raises(UpstreamInvalid, match=told):
        decode_answer(answer, facts(), provider="cohere")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 5) | st.floats() | st.sampled_from(["", "text", "thinking", "a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["type", "text", "content", "tool_calls", "function", "arguments", "billed_units", "tokens", "input_tokens",
                         "cached_tokens", "logprobs", "tool_plan", "citations"]), inner, max_size=4),
    max_leaves=10,
)  # fmt: skip


@given(
    message=JSON,
    content=JSON,
    rest=st.dictionaries(st.sampled_from(["finish_reason", "usage", "logprobs", "id"]), JSON),
    strict=st.booleans(),
)
def test_whatever_cohere_answers_is_a_completion_or_its_fault(message, content, rest, strict):
    for told in (
        message,
        {"content": content},
        {"content": [content], "tool_calls": message},
        {"content": [], "tool_calls": [message]},
    ):
        try:
            made = decode_answer({"message": told, **rest}, CallFacts("m", False, strict, {}, {}), provider="cohere")
        except UpstreamInvalid:
            continue
        assert isinstance(made["choices"][0]["finish_reason"], str)
        assert isinstance(made["choices"][0]["message"]["content"], str | None)
