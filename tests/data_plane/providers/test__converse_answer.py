"""Is a Converse answer read whole: text, calls, thinking, tokens and the reason of its end?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion

from data_plane.core.types import CallFacts, Usage
from data_plane.providers._converse_answer import decode_answer, finish_reason, openai_usage, read_bedrock_fault
from data_plane.providers._openai_like import read_usage
from shared.errors import UpstreamInvalid

THOUGHT = {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}}
USE = {"toolUse": {"toolUseId": "t1", "name": "f", "input": {"x": 1}}}


@pytest.fixture
def decode(facts):
    def run(*content, strict=True, stop="end_turn", **more):
        answer = {
            "output": {"message": {"role": "assistant", "content": list(content)}}, "stopReason": stop,
            "usage": {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5}, "metrics": {"latencyMs": 1}, **more,
        }  # fmt: skip
        made = decode_answer(answer, facts("amazon.nova", strict=strict), provider="bedrock")
        if strict:
            ChatCompletion.model_validate(made)
        return made

    return run


def test_texts_are_one_text(decode):
    made = decode({"text": "a"}, {"text": "b"})
    assert made["choices"] == [
        {"index": 0, "message": {"role": "assistant", "content": "ab"}, "logprobs": None, "finish_reason": "stop"}
    ]
    assert (made["model"], made["object"], made["provider"]) == ("amazon.nova", "chat.completion", "bedrock")
    assert made["id"].startswith("chatcmpl-")
    assert made["id"] != decode({"text": "a"})["id"]


def test_calls_are_the_callers_and_the_text_beside_them_stays(decode):
    made = decode({"text": "see"}, USE, {"toolUse": {"toolUseId": "t2", "name": "g", "input": {}}}, stop="tool_use")
    message = made["choices"][0]["message"]
    assert message == {
        "role": "assistant", "content": "see",
        "tool_calls": [
            {"id": "t1", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}},
            {"id": "t2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
        ],
    }  # fmt: skip
    assert made["choices"][0]["finish_reason"] == "tool_calls"
    assert decode(USE)["choices"][0]["message"]["content"] is None


def test_tools_that_bedrock_runs_are_no_calls(decode):
    own = {"toolUse": {"toolUseId": "t", "name": "nova_grounding", "input": {}, "type": "server_tool_use"}}
    assert decode(own, {"text": "a"})["choices"][0]["message"] == {"role": "assistant", "content": "a"}


def test_a_text_with_citations_is_a_text(decode):
    cited = {"citationsContent": {"content": [{"text": "b"}], "citations": [{"title": "t"}]}}
    assert decode({"text": "a"}, cited)["choices"][0]["message"]["content"] == "ab"


def test_thinking_is_shown_to_who_wants_more_than_openai(decode):
    redacted = {"reasoningContent": {"redactedContent": "AAAA"}}
    assert decode(THOUGHT, {"text": "a"})["choices"][0]["message"] == {"role": "assistant", "content": "a"}
    loose = decode(THOUGHT, redacted, {"text": "a"}, USE, strict=False, trace={"guardrail": {}}, stop="new_word")
    assert loose["choices"][0]["message"]["content_blocks"] == [
        {"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "redacted_thinking", "data": "AAAA"},
        {"type": "text", "text": "a"},
    ]  # fmt: skip
    assert (loose["trace"], loose["choices"][0]["finish_reason"]) == ({"guardrail": {}}, "new_word")
    assert "trace" not in decode({"text": "a"}, trace={"guardrail": {}})


@pytest.mark.parametrize(("told", "word"), [
    ("end_turn", "stop"), ("stop_sequence", "stop"), ("max_tokens", "length"), ("tool_use", "tool_calls"),
    ("guardrail_intervened", "content_filter"), ("content_filtered", "content_filter"),
    ("model_context_window_exceeded", "length"), ("malformed_tool_use", "stop"), (None, "stop"),
])  # fmt: skip
def test_the_reason_of_the_end_in_openais_words(told, word):
    assert finish_reason(told, strict=True) == word


def test_cached_tokens_are_part_of_the_input():
    usage = openai_usage({"inputTokens": 3, "outputTokens": 2, "cacheReadInputTokens": 10, "cacheWriteInputTokens": 5})
    assert usage == {
        "prompt_tokens": 18, "completion_tokens": 2, "total_tokens": 20, "prompt_tokens_details": {"cached_tokens": 10},
        "cache_read_input_tokens": 10, "cache_creation_input_tokens": 5,
    }  # fmt: skip
    assert read_usage(usage) == Usage(18, 2, cache_read=10, cache_write=5)


@pytest.mark.parametrize(("body", "message", "kind"), [
    ({"message": "bad"}, "bad", None), ({"Message": "not authorised"}, "not authorised", None),
    ({"__type": "com.amazon.coral#ThrottlingException", "message": "slow"}, "slow", "ThrottlingException"),
    ({"__type": "ValidationException"}, "status 400, without an explanation", "ValidationException"),
    (None, "status 400, without an explanation", None),
])  # fmt: skip
def test_errors_are_read_in_every_spelling(body, message, kind):
    fault = read_bedrock_fault(400, body)
    assert (fault.message, fault.type) == (message, kind)


def test_an_error_in_place_of_an_answer_is_told():
    with pytest.raises(UpstreamInvalid, match="bedrock error: too long"):
        decode_answer({"message": "too long"}, CallFacts("m", False, True, {}, {}), provider="bedrock")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 5) | st.sampled_from(["", "a", "server_tool_use"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["text", "toolUse", "toolUseId", "input", "name", "type", "reasoningContent", "reasoningText",
                         "redactedContent", "signature", "citationsContent", "content", "message", "inputTokens",
                         "cacheReadInputTokens"]), inner, max_size=4),
    max_leaves=10,
)  # fmt: skip


@given(content=JSON, usage=JSON, stop=JSON, strict=st.booleans(), whole=JSON)
def test_whatever_bedrock_answers_is_a_completion_or_its_fault(content, usage, stop, strict, whole):
    facts = CallFacts("m", False, strict, {}, {})
    for answer in (
        {"output": {"message": {"content": content}}, "usage": usage, "stopReason": stop}, {"output": whole},
        {"output": {"message": {"content": [{"text": "x"}, {"toolUse": whole}, {"reasoningContent": usage}]}}},
    ):  # fmt: skip
        try:
            made = decode_answer(answer, facts, provider="bedrock")
        except UpstreamInvalid:
            continue
        assert isinstance(made["choices"][0]["finish_reason"], str)
        assert isinstance(made["choices"][0]["message"]["content"], str | None)
    assert isinstance(read_bedrock_fault(500, {"message": content, "Message": stop, "__type": usage}).message, str)
