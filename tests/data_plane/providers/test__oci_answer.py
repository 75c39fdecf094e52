"""Do Oracle's answers become OpenAI's?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion

from data_plane.core.types import CallFacts, Usage
from data_plane.providers._oci_answer import decode_answer, finish_reason, openai_usage, text_of_content
from data_plane.providers._openai_like import usage_of
from shared.errors import UpstreamInvalid


def generic(*messages, finish="stop", usage=None):
    choices = [
        {"index": number, "message": {"role": "ASSISTANT", **message}, "finishReason": finish}
        for number, message in enumerate(messages)
    ]
    return {"modelId": "meta.llama", "chatResponse": {"apiFormat": "GENERIC", "choices": choices, "usage": usage}}


def decoded(answer, facts, **options):
    return decode_answer(answer, facts(**options), provider="oracle")


def test_a_text_is_a_completion_that_openais_client_reads(facts):
    told = generic({"content": [{"type": "TEXT", "text": "h"}, {"type": "TEXT", "text": "o"}]},
                   usage={"promptTokens": 3, "completionTokens": 2, "totalTokens": 5})  # fmt: skip
    answer = decoded(told, facts)
    read = ChatCompletion.model_validate(answer)
    assert (read.model, read.choices[0].message.content, read.choices[0].finish_reason) == ("meta.llama", "ho", "stop")
    assert (usage_of(answer), answer["provider"]) == (Usage(3, 2), "oracle")


def test_calls_come_back_in_order_and_end_the_answer(facts):
    calls = [
        {"type": "FUNCTION", "id": "a", "name": "f", "arguments": '{"x":1}'},
        {"type": "FUNCTION", "name": "g"},
        {},
    ]
    choice = decoded(generic({"content": None, "toolCalls": calls}), facts)["choices"][0]
    told = choice["message"]["tool_calls"]
    assert [(call["function"]["name"], call["function"]["arguments"]) for call in told] == [
        ("f", '{"x":1}'),
        ("g", "{}"),
    ]
    assert (told[0]["id"], told[1]["id"][:5], choice["message"]["content"], choice["finish_reason"]) == (
        "a",
        "call_",
        None,
        "tool_calls",
    )


def test_several_answers_are_several_choices(facts):
    answer = decoded(generic({"content": [{"text": "a"}]}, {"content": [{"text": "b"}]}), facts)
    assert [(choice["index"], choice["message"]["content"]) for choice in answer["choices"]] == [(0, "a"), (1, "b")]


def test_thoughts_are_shown_to_who_does_not_want_openais_shape_only(facts):
    told = generic({"content": [{"text": "a"}], "reasoningContent": "hm", "refusal": "no"})
    assert "reasoning_content" not in decoded(told, facts)["choices"][0]["message"]
    assert decoded(told, facts, strict=False)["choices"][0]["message"] == {
        "role": "assistant", "content": "a", "refusal": "no", "reasoning_content": "hm",
    }  # fmt: skip


def test_coheres_format_is_read_too(facts):
    told = {
        "chatResponse": {
            "apiFormat": "COHERE",
            "text": "ho",
            "finishReason": "MAX_TOKENS",
            "usage": {"promptTokens": 1},
        }
    }
    answer = decoded(told, facts)
    assert (answer["choices"][0]["message"]["content"], answer["choices"][0]["finish_reason"]) == ("ho", "length")
    assert (answer["model"], usage_of(answer)) == ("m-1", Usage(1, 0))


@pytest.mark.parametrize(("told", "strict", "word"), [
    ("COMPLETE", True, "stop"), ("stop", True, "stop"), ("MAX_TOKENS", True, "length"), ("tool_calls", True, "tool_calls"),
    ("ERROR_TOXIC", True, "content_filter"), ("novel", True, "stop"), ("novel", False, "novel"), (None, True, "stop"),
])  # fmt: skip
def test_reasons_are_openais_words(told, strict, word):
    assert finish_reason(told, strict=strict) == word


def test_parts_of_what_is_counted_are_never_more_than_the_whole():
    told = {"promptTokens": 5, "completionTokens": 4, "totalTokens": 9, "promptTokensDetails": {"cachedTokens": 9},
            "completionTokensDetails": {"reasoningTokens": 9}}  # fmt: skip
    assert openai_usage(told) == {
        "prompt_tokens": 5, "completion_tokens": 4, "total_tokens": 9,
        "prompt_tokens_details": {"cached_tokens": 5}, "completion_tokens_details": {"reasoning_tokens": 4},
    }  # fmt: skip
    assert openai_usage({"totalTokens": 4}) is None


def test_thoughts_that_are_counted_beside_the_answer_are_part_of_it():
    told = {
        "promptTokens": 5,
        "completionTokens": 4,
        "totalTokens": 16,
        "completionTokensDetails": {"reasoningTokens": 7},
    }
    made = openai_usage(told)
    assert (made["completion_tokens"], made["total_tokens"], made["completion_tokens_details"]) == (
        11,
        16,
        {"reasoning_tokens": 7},
    )


@pytest.mark.parametrize(("answer", "sentence"), [
    ({}, "Invalid response"), ({"chatResponse": {"choices": []}}, "Invalid response"), ({"message": "busy"}, "oracle error: busy"),
    ({"chatResponse": {"text": "", "finishReason": "ERROR", "errorMessage": "lost"}}, "oracle error: lost"),
    ({"chatResponse": {"text": "", "finishReason": "USER_CANCEL"}}, "oracle error: the answer failed"),
])  # fmt: skip
def test_what_is_no_answer_says_why(facts, answer, sentence):
    with pytest.raises(UpstreamInvalid, match=sentence):
        decoded(answer, facts)


def test_a_content_may_be_a_text_or_nothing():
    assert [text_of_content(content) for content in ("a", None, [{"type": "TEXT"}, 5])] == ["a", "", ""]


JSON = st.recursive(st.none() | st.integers() | st.text(max_size=3), lambda i: st.lists(i, max_size=3) | st.dictionaries(
    st.sampled_from(["choices", "message", "content", "text", "toolCalls", "name", "arguments", "id", "usage", "promptTokens",
                     "finishReason", "promptTokensDetails"]), i), max_leaves=12)  # fmt: skip


@given(JSON, st.booleans())
def test_whatever_is_answered_is_an_answer_or_the_providers_fault(told, strict):
    try:
        answer = decode_answer({"chatResponse": told}, CallFacts("m", False, strict, {}, {}), provider="oracle")
    except UpstreamInvalid:
        answer = {"provider": "oracle"}
    assert answer["provider"] == "oracle"
    assert isinstance(usage_of(answer), Usage)
