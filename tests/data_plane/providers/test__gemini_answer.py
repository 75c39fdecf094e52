import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion

from data_plane.core.types import CallFacts, Usage
from data_plane.providers._gemini_answer import decode_answer, finish_reason, openai_usage, read_google_fault
from data_plane.providers._openai_like import read_usage, usage_of
from shared.errors import UpstreamInvalid

COUNTED = {
    "promptTokenCount": 100, "cachedContentTokenCount": 60, "toolUsePromptTokenCount": 7, "candidatesTokenCount": 20,
    "thoughtsTokenCount": 30, "totalTokenCount": 157,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 90}, {"modality": "AUDIO", "tokenCount": 10}],
    "candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": 5}],
}  # fmt: skip
CALLS = [
    {"functionCall": {"name": "f", "args": {"a": [1]}}, "thoughtSignature": "S"},
    {"functionCall": {"name": "g"}},
    {"functionCall": {"name": "h", "id": "own", "args": {}}},
]


def decode(*parts, strict=True, finish="STOP", **beside):
    answer = {
        "responseId": "r1", "modelVersion": "gemini-x-001",
        "candidates": [{"content": {"role": "model", "parts": list(parts)}, "finishReason": finish, "index": 0}], **beside,
    }  # fmt: skip
    made = decode_answer(answer, CallFacts("gemini-x", False, strict, {}, {}), provider="google")
    ChatCompletion.model_validate(made)
    orjson.dumps(made)
    return made


def choice(*parts, **beside):
    return decode(*parts, **beside)["choices"][0]


def test_an_answer_is_a_completion():
    made = decode({"text": "a"}, {"text": "b"}, usageMetadata=COUNTED)
    assert list(made) == ["id", "object", "created", "model", "choices", "usage", "provider"]
    assert (made["id"], made["model"], made["provider"]) == ("r1", "gemini-x-001", "google")
    assert made["choices"] == [{
        "index": 0, "message": {"role": "assistant", "content": "ab"}, "logprobs": None, "finish_reason": "stop",
    }]  # fmt: skip


def test_an_answer_without_an_id_gets_one_and_is_of_the_model_that_was_asked():
    made = [decode({"text": "a"}, responseId=None, modelVersion=None) for _ in range(2)]
    assert made[0]["id"].startswith("chatcmpl-")
    assert made[0]["id"] != made[1]["id"]
    assert made[0]["model"] == "gemini-x"


def test_tokens_of_thoughts_and_tools_are_part_of_the_totals():
    usage = openai_usage(COUNTED)
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (107, 50, 157)
    assert read_usage(usage) == Usage(107, 50, cache_read=60, reasoning=30, audio_input=10, audio_output=5)
    assert read_usage(openai_usage({})) == Usage()


def test_thoughts_are_told_only_where_they_have_a_place():
    parts = ({"text": "hm", "thought": True, "thoughtSignature": "T"}, {"text": "a", "thoughtSignature": "S"})
    assert choice(*parts)["message"] == {"role": "assistant", "content": "a"}
    assert choice(*parts, strict=False)["message"]["content_blocks"] == [
        {"type": "thinking", "thinking": "hm", "thought_signature": "T"},
        {"type": "text", "text": "a", "thought_signature": "S"},
    ]  # fmt: skip


def test_pictures_and_code_are_blocks():
    parts = ({"inlineData": {"mimeType": "image/png", "data": "AA"}}, {"executableCode": {"code": "1"}})
    assert choice(*parts)["message"] == {"role": "assistant", "content": ""}
    assert choice(*parts, strict=False)["message"]["content_blocks"] == [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}, {"executableCode": {"code": "1"}},
    ]  # fmt: skip


def test_function_calls_are_tool_calls_with_ids_that_stay_the_same():
    made = choice(*CALLS)
    assert made["finish_reason"] == "tool_calls"
    assert made["message"]["content"] is None
    calls = made["message"]["tool_calls"]
    assert [call["function"] for call in calls] == [
        {"name": "f", "arguments": '{"a":[1]}'}, {"name": "g", "arguments": "{}"}, {"name": "h", "arguments": "{}"},
    ]  # fmt: skip
    assert calls == choice(*CALLS)["message"]["tool_calls"]
    ids = [call["id"] for call in calls]
    assert len(set(ids)) == 3
    assert ids[2] == "own"
    assert all(len(call_id) <= 40 for call_id in ids)
    assert ids[0] != choice(*CALLS, responseId="r2")["message"]["tool_calls"][0]["id"]


def test_a_signature_stands_with_its_call_where_it_has_a_place():
    calls = choice(*CALLS, {"text": "x"}, strict=False)["message"]["tool_calls"]
    assert [call["function"].get("thought_signature") for call in calls] == ["S", None, None]
    assert "S" not in str(choice(*CALLS)["message"])


@pytest.mark.parametrize(("told", "strict", "loose"), [
    ("STOP", "stop", "stop"), ("MAX_TOKENS", "length", "length"), ("SAFETY", "content_filter", "content_filter"),
    ("RECITATION", "content_filter", "content_filter"), ("MALFORMED_FUNCTION_CALL", "stop", "MALFORMED_FUNCTION_CALL"),
    ("OTHER", "stop", "OTHER"), (None, "stop", "stop"), (7, "stop", "stop"),
])  # fmt: skip
def test_an_answer_ends_for_one_of_openais_reasons(told, strict, loose):
    assert finish_reason(told, called=False, strict=True) == strict
    assert finish_reason(told, called=False, strict=False) == loose
    assert finish_reason(told, called=True, strict=True) == ("tool_calls" if strict == "stop" else strict)


def test_grounding_and_ratings_are_told_only_where_they_have_a_place():
    candidate = {
        "content": {"parts": [{"text": "a"}]}, "finishReason": "STOP", "groundingMetadata": {"webSearchQueries": ["q"]},
        "safetyRatings": [], "avgLogprobs": -0.1,
    }  # fmt: skip
    made = choice(candidates=[candidate], strict=False)
    assert made["groundingMetadata"] == {"webSearchQueries": ["q"]}
    assert made["safetyRatings"] == []
    assert choice(candidates=[candidate]).keys() == {"index", "message", "logprobs", "finish_reason"}


def test_a_prompt_that_is_blocked_is_a_refusal():
    feedback = {"blockReason": "SAFETY", "safetyRatings": []}
    made = decode(candidates=None, promptFeedback=feedback, usageMetadata={"promptTokenCount": 4})
    assert made["choices"] == [{
        "index": 0, "logprobs": None, "finish_reason": "content_filter",
        "message": {"role": "assistant", "content": None, "refusal": "The provider blocked the prompt: SAFETY."},
    }]  # fmt: skip
    assert usage_of(made) == Usage(4, 0)
    assert "promptFeedback" not in made
    loose = decode(candidates=[], promptFeedback={**feedback, "blockReasonMessage": "why"}, strict=False)
    assert loose["choices"][0]["message"]["refusal"].endswith("SAFETY: why")
    assert loose["promptFeedback"]["blockReason"] == "SAFETY"


def test_an_answer_that_is_filtered_has_no_content_and_says_why():
    assert choice(candidates=[{"finishReason": "PROHIBITED_CONTENT", "index": 0}]) == {
        "index": 0, "message": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": "content_filter",
    }  # fmt: skip


def test_several_candidates_are_several_choices():
    candidates = [{"content": {"parts": [*CALLS[:1]]}}, {"content": {"parts": [*CALLS[:1]]}, "index": 1}]
    choices = decode(candidates=candidates)["choices"]
    assert [one["index"] for one in choices] == [0, 1]
    assert choices[0]["message"]["tool_calls"][0]["id"] != choices[1]["message"]["tool_calls"][0]["id"]


def test_probabilities_are_openais():
    result = {
        "chosenCandidates": [{"token": "é", "logProbability": -0.5, "tokenId": 7}, {}],
        "topCandidates": [{"candidates": [{"token": "e", "logProbability": -1}]}],
    }
    candidate = {"content": {"parts": [{"text": "é"}]}, "logprobsResult": result}
    assert choice(candidates=[candidate])["logprobs"] == {"refusal": None, "content": [
        {"token": "é", "logprob": -0.5, "bytes": [195, 169],
         "top_logprobs": [{"token": "e", "logprob": -1, "bytes": [101]}]},
        {"token": "", "logprob": -9999.0, "bytes": [], "top_logprobs": []},
    ]}  # fmt: skip


@pytest.mark.parametrize("answer", [
    {}, {"candidates": []}, {"candidates": [{}]}, {"candidates": [7]}, {"candidates": {}}, {"usageMetadata": {}},
    {"promptFeedback": {"blockReason": "BLOCK_REASON_UNSPECIFIED"}}, {"error": {"message": "sentinel"}},
])  # fmt: skip
def test_what_is_no_answer_is_the_providers_fault(answer):
    with pytest.raises(UpstreamInvalid, match=r"google error: sentinel" if "error" in answer else "Invalid response"):
        decode_answer(answer, CallFacts("m", False, True, {}, {}), provider="google")


def test_arguments_that_cannot_be_written_are_the_providers_fault():
    with pytest.raises(UpstreamInvalid):
        choice({"functionCall": {"name": "f", "args": {"n": 1 << 70}}})


def test_googles_error_names_its_status_and_the_field():
    body = {"error": {
        "code": 400, "message": "Invalid value", "status": "INVALID_ARGUMENT",
        "details": [{"@type": "x"}, {"fieldViolations": [{"field": "contents[0].parts", "description": "d"}, {"field": "b"}]}],
    }}  # fmt: skip
    fault = read_google_fault(400, body)
    assert (fault.message, fault.type, fault.param, fault.code) == (
        "Invalid value", "INVALID_ARGUMENT", "contents[0].parts", 400,
    )  # fmt: skip


def test_claudes_error_is_read_as_it_is():
    fault = read_google_fault(400, {"type": "error", "error": {"type": "invalid_request_error", "message": "m"}})
    assert (fault.message, fault.type, fault.code) == ("m", "invalid_request_error", None)


WORDS = ["candidates", "content", "parts", "text", "thought", "functionCall", "name", "args", "id", "inlineData", "error",
         "finishReason", "index", "promptFeedback", "blockReason", "usageMetadata", "promptTokenCount", "details",
         "promptTokensDetails", "logprobsResult", "chosenCandidates", "topCandidates", "token", "logProbability",
         "fieldViolations", "field", "status", "message", "thoughtSignature", "responseId", "modelVersion"]  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False) | st.sampled_from(["", "STOP", "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
CALLED = st.builds(lambda args: {"functionCall": {"name": "f", "args": args}}, JSON | st.just({"n": 1 << 70}))
PARTS = st.lists(
    st.dictionaries(st.sampled_from(["text", "functionCall", "inlineData", "thought"]), JSON, max_size=3) | CALLED,
    max_size=3,
)
CANDIDATES = st.lists(
    st.fixed_dictionaries(
        {"content": st.one_of(JSON, st.builds(lambda parts: {"parts": parts}, PARTS))},
        optional={"finishReason": JSON, "index": JSON, "logprobsResult": JSON},
    ),
    max_size=2,
)
ANSWERS = st.one_of(
    st.dictionaries(st.sampled_from(WORDS), JSON, max_size=5),
    st.fixed_dictionaries(
        {"candidates": CANDIDATES},
        optional={"usageMetadata": JSON, "promptFeedback": JSON, "responseId": JSON, "modelVersion": JSON},
    ),
)


@given(ANSWERS, st.booleans())
def test_any_answer_is_decoded_or_the_providers_fault(answer, strict):
    assert isinstance(read_google_fault(500, answer).message, str)
    try:
        made = decode_answer(answer, CallFacts("m", False, strict, {}, {}), provider="google")
    except UpstreamInvalid:
        made = {"provider": "google"}
    assert made["provider"] == "google"
    assert isinstance(usage_of(made), Usage)
