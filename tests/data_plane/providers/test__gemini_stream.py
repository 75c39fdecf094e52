import copy
import itertools
import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from data_plane.core.types import CallFacts, Usage
from data_plane.providers._gemini_answer import decode_answer
from data_plane.providers._gemini_stream import CandidateDecoder
from data_plane.providers.sse import SseSplitter
from shared.errors import UpstreamBroken
from tests.data_plane.providers.test__gemini_answer import ANSWERS, JSON

COUNTED = {"promptTokenCount": 9, "candidatesTokenCount": 4, "thoughtsTokenCount": 2}


def decoder(*, strict=True, asked=True):
    return CandidateDecoder(CallFacts("gemini-x", True, strict, {}, {}, asked), provider="google")


def event(*parts, finish=None, counted=None, index=0, **beside):
    candidate = {"content": {"role": "model", "parts": list(parts)}, "index": index}
    if finish:
        candidate["finishReason"] = finish
    made = {"candidates": [candidate], "responseId": "r1", "modelVersion": "gemini-x-001", **beside}
    return made if counted is None else {**made, "usageMetadata": counted}


TALK = [
    event({"text": "hm", "thought": True}, counted={"promptTokenCount": 9}),
    event({"text": "Hel"}, counted={"promptTokenCount": 9, "candidatesTokenCount": 1}),
    event({"text": "lo"}),
    event(
        {"functionCall": {"name": "f", "args": {"a": "ü"}}, "thoughtSignature": "S"}, {"functionCall": {"name": "f"}}
    ),
    event({"functionCall": {"name": "g", "args": {}}}),
    event({"text": ""}, finish="STOP", counted=COUNTED),
]


def deltas(chunks):
    return [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]


def test_a_stream_is_told_in_chunks_with_one_id(drain):
    told = decoder()
    chunks = drain(told, TALK)
    assert {(chunk["id"], chunk["model"], chunk["object"]) for chunk in chunks} == {
        ("r1", "gemini-x-001", "chat.completion.chunk")
    }
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks if chunk["choices"]] == [None] * 5 + ["tool_calls"]
    assert deltas(chunks)[:2] == [{"role": "assistant", "content": "Hel"}, {"content": "lo"}]
    assert all("role" not in delta for delta in deltas(chunks)[1:])
    assert (told.finished, told.model, told.usage) == (True, "gemini-x-001", Usage(9, 6, reasoning=2))


def test_calls_are_numbered_through_over_all_events(drain):
    calls = [call for delta in deltas(drain(decoder(), TALK)) for call in delta.get("tool_calls", ())]
    assert [(call["index"], call["function"]) for call in calls] == [
        (0, {"name": "f", "arguments": '{"a":"ü"}'}), (1, {"name": "f", "arguments": "{}"}),
        (2, {"name": "g", "arguments": "{}"}),
    ]  # fmt: skip
    assert len({call["id"] for call in calls}) == 3


def test_openais_client_puts_the_same_answer_together_as_without_a_stream(drain):
    state = ChatCompletionStreamState()
    for chunk in drain(decoder(), TALK):
        state.handle_chunk(ChatCompletionChunk.model_validate(chunk))
    streamed = state.get_final_completion()
    parts = [part for one in TALK for part in one["candidates"][0]["content"]["parts"]]
    whole = decode_answer(
        event(*parts, finish="STOP", counted=COUNTED), CallFacts("m", False, True, {}, {}), provider="google"
    )
    message, expected = streamed.choices[0].message, whole["choices"][0]["message"]
    assert (message.content, streamed.choices[0].finish_reason) == (expected["content"], "tool_calls")
    assert [(call.id, call.function.arguments) for call in message.tool_calls] == [
        (call["id"], call["function"]["arguments"]) for call in expected["tool_calls"]
    ]
    assert streamed.usage.total_tokens == whole["usage"]["total_tokens"] == 15


@pytest.mark.parametrize("asked", [True, False])
def test_tokens_are_told_in_a_last_chunk_to_those_who_ask(drain, asked):
    chunks = drain(decoder(asked=asked), TALK)
    told = [chunk["usage"] for chunk in chunks if "usage" in chunk]
    assert [usage["completion_tokens"] for usage in told] == ([6] if asked else [])
    assert (chunks[-1]["choices"] == []) is asked


def test_tokens_that_are_counted_behind_the_end_are_told_too(drain):
    told = decoder()
    chunks = drain(told, [event({"text": "a"}, finish="STOP"), {"usageMetadata": COUNTED}])
    assert chunks[-1]["usage"]["prompt_tokens"] == 9
    assert told.usage == Usage(9, 6, reasoning=2)


def test_an_end_that_is_repeated_is_told_once(drain):
    chunks = drain(decoder(), [event({"text": "a"}, finish="STOP", counted=COUNTED)] * 2)
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks if chunk["choices"]].count("stop") == 1
    assert sum("usage" in chunk for chunk in chunks) == 1


def test_thoughts_and_signatures_are_blocks_where_they_have_a_place(drain):
    events = [
        event({"text": "hm", "thought": True}), event({"text": "m", "thought": True}), event({"text": "a"}),
        event({"text": "b", "thoughtSignature": "T"}),
        event({"inlineData": {"mimeType": "image/png", "data": "AA"}}),
        event({"functionCall": {"name": "f"}, "thoughtSignature": "S"}, finish="STOP", counted=COUNTED),
    ]  # fmt: skip
    told = deltas(drain(decoder(strict=False), events))
    assert [delta["content_blocks"] for delta in told if "content_blocks" in delta] == [
        [{"index": 0, "delta": {"thinking": "hm"}}], [{"index": 0, "delta": {"thinking": "m"}}],
        [{"index": 1, "delta": {"thought_signature": "T"}}],
        [{"index": 2, "delta": {"image_url": {"url": "data:image/png;base64,AA"}}}],
    ]  # fmt: skip
    assert "".join(delta.get("content") or "" for delta in told) == "ab"
    assert [c["function"].get("thought_signature") for d in told for c in d.get("tool_calls", ())] == ["S"]
    strict = str(deltas(drain(decoder(), events)))
    assert not any(word in strict for word in ("content_blocks", "thought_signature", "hm"))


def test_grounding_stands_with_the_end_where_it_has_a_place(drain):
    last = event({"text": "a"}, finish="STOP")
    last["candidates"][0]["groundingMetadata"] = {"q": 1}
    assert drain(decoder(strict=False), [last])[-1]["choices"][0]["groundingMetadata"] == {"q": 1}
    assert "groundingMetadata" not in str(drain(decoder(), [last]))


def test_probabilities_are_told_once_with_their_text(drain):
    last = event({"text": "a"}, {"text": "b"}, finish="STOP")
    last["candidates"][0]["logprobsResult"] = {"chosenCandidates": [{"token": "ab", "logProbability": -1.5}]}
    found = [chunk["choices"][0].get("logprobs") for chunk in drain(decoder(), [last])]
    assert found[0]["content"][0]["logprob"] == -1.5
    assert found[1:] == [None, None]


def test_several_candidates_end_one_by_one(drain):
    told = decoder()
    chunks = drain(told, [event({"text": "a"}), event({"text": "b"}, index=1), event(finish="STOP", counted=COUNTED)])
    assert told.finished is False
    chunks += drain(told, [event(finish="MAX_TOKENS", index=1)])
    ends = {c["choices"][0]["index"]: c["choices"][0]["finish_reason"] for c in chunks if c["choices"]}
    assert ends == {0: "stop", 1: "length"}
    assert told.finished is True
    assert chunks[-1]["usage"]


def test_a_prompt_that_is_blocked_is_a_refusal(drain):
    told = decoder()
    chunks = drain(told, [{"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 4}}])
    assert deltas(chunks)[0] == {
        "role": "assistant",
        "content": "",
        "refusal": "The provider blocked the prompt: SAFETY.",
    }
    assert chunks[1]["choices"][0]["finish_reason"] == "content_filter"
    assert (told.finished, told.usage) == (True, Usage(4, 0))


def test_feedback_that_blocks_nothing_says_nothing(drain):
    assert drain(decoder(), [{"promptFeedback": {"safetyRatings": []}}]) == []


def test_a_stream_without_ids_has_one_of_ours(drain):
    events = copy.deepcopy(TALK)
    for one in events:
        del one["responseId"], one["modelVersion"]
    chunks = drain(decoder(), events)
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert chunks[0]["id"].startswith("chatcmpl-")
    assert chunks[0]["model"] == "gemini-x"


@pytest.mark.parametrize("data", [
    b'{"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}', b'{"error":"overloaded"}',
])  # fmt: skip
def test_an_error_in_a_stream_breaks_it_with_its_sentence(data):
    with pytest.raises(UpstreamBroken, match="google error: overloaded"):
        decoder().feed("", data)


@pytest.mark.parametrize("data", [
    b"{", b"7", b"[]", b'{"candidates":[7]}', b'{"candidates":{}}', b"\xff", b'{"usageMetadata":7}',
    b'{"candidates":[{"content":{"parts":[{"functionCall":{"args":{"n":1e999}}}]}}]}', b'{"a":' * 5000,
    b'{"candidates":[{"content":{"parts":[{"functionCall":{"args":{"n":1180591620717411303424}}}]}}]}',
])  # fmt: skip
def test_what_cannot_be_understood_breaks_the_stream(data):
    with pytest.raises(UpstreamBroken):
        decoder().feed("", data)


def test_a_block_that_cannot_be_written_breaks_the_stream():
    data = b'{"candidates":[{"content":{"parts":[{"executableCode":{"n":1180591620717411303424}}]}}]}'
    assert decoder().feed("", data) == []
    with pytest.raises(UpstreamBroken, match="cannot be passed on"):
        decoder(strict=False).feed("", data)


def test_an_empty_event_says_nothing():
    assert decoder().feed("", b" ") == []


@given(st.lists(st.integers(0, 2000), max_size=12), st.sampled_from([b"\r\n\r\n", b"\n\n"]))
def test_a_stream_may_be_cut_anywhere(cuts, end):
    whole = b"".join(b"data: " + orjson.dumps(one) + end for one in TALK)
    places = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    splitter, told, chunks = SseSplitter(), decoder(), []
    for start, stop in itertools.pairwise(places):
        for name, data in splitter.feed(whole[start:stop]):
            chunks += told.feed(name, data)
    at_once = decoder()
    expected = [chunk for one in TALK for chunk in at_once.feed("", orjson.dumps(one))]
    times = {"created": 0}
    assert [orjson.loads(chunk) | times for chunk in chunks] == [orjson.loads(chunk) | times for chunk in expected]
    assert told.finished


@given(st.lists(st.one_of(JSON, ANSWERS), max_size=4), st.booleans(), st.booleans())
def test_any_event_is_relayed_as_json_or_breaks_the_stream(events, strict, asked):
    told, chunks = decoder(strict=strict, asked=asked), []
    try:
        for one in events:
            chunks += told.feed("", json.dumps(one).encode())
    except UpstreamBroken as broken:
        assert broken.status == 502
    assert all(isinstance(orjson.loads(chunk), dict) for chunk in chunks)
