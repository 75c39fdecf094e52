"""Is an answer made of a prediction only when it has one?"""

import itertools

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion
from openai.types.images_response import ImagesResponse

from data_plane.core.types import CallFacts, Usage
from data_plane.providers import _prediction_answer
from data_plane.providers._openai_like import usage_of
from data_plane.providers._prediction_answer import (
    PredictionDecoder,
    StillRunning,
    WholeSplitter,
    decode_chat,
    decode_image,
)
from shared.errors import UpstreamBroken, UpstreamInvalid, UpstreamTimeout

DONE = {
    "id": "p1",
    "status": "succeeded",
    "output": ["h", "o"],
    "metrics": {"input_token_count": 3, "output_token_count": 2},
}


def chat(answer, facts):
    return decode_chat(answer, facts, provider="replicate")


def image(answer, facts):
    return decode_image(answer, facts, provider="replicate")


@pytest.mark.parametrize("output", [["h", "o"], "ho"])
def test_a_text_is_a_completion_that_openais_client_reads(facts, output):
    answer = chat({**DONE, "output": output}, facts("meta/llama"))
    read = ChatCompletion.model_validate(answer)
    assert (read.id, read.model, read.choices[0].message.content) == ("p1", "meta/llama", "ho")
    assert (usage_of(answer), answer["provider"]) == (Usage(3, 2), "replicate")


@pytest.mark.parametrize("decode", [chat, image])
@pytest.mark.parametrize("status", ["starting", "processing"])
def test_a_prediction_that_still_runs_is_a_timeout_and_no_answer(facts, decode, status):
    with pytest.raises(StillRunning, match="prediction p1 was not ready in time") as late:
        decode({"id": "p1", "status": status, "output": None}, facts())
    assert isinstance(late.value, UpstreamTimeout)
    assert (late.value.status, late.value.final) == (408, False)
    assert late.value.body()["error"]["type"] == "timeout_error"


@pytest.mark.parametrize(("told", "sentence"), [
    ({"status": "failed", "error": "CUDA out of memory"}, "replicate error: CUDA out of memory"),
    ({"status": "canceled"}, "replicate error: the prediction ended as canceled."), ({}, "Invalid response received from replicate."),
    ({"status": "succeeded", "output": {"a": 1}}, "replicate error: the model put out no"),
    ({"status": "succeeded", "output": None}, "replicate error: the model put out no"),
])  # fmt: skip
def test_a_prediction_without_an_answer_says_why(facts, told, sentence):
    for decode in (chat, image):
        with pytest.raises(UpstreamInvalid, match=sentence):
            decode(told, facts())


@pytest.mark.parametrize(("output", "data"), [
    ("https://x.example/1", [{"url": "https://x.example/1"}]), (["data:image/png;base64,AAAA"], [{"b64_json": "AAAA"}]),
])  # fmt: skip
def test_images_are_addresses_or_base64(facts, output, data):
    answer = image({**DONE, "output": output}, facts())
    ImagesResponse.model_validate(answer)
    assert answer["data"] == data


def test_an_image_that_is_no_address_is_refused(facts):
    with pytest.raises(UpstreamInvalid):
        image({**DONE, "output": ["https://x.example/1", "file:///etc/passwd"]}, facts())


def test_a_stream_is_made_of_the_whole(facts, drain):
    decoder = PredictionDecoder(facts("meta/llama", include_usage=True), provider="replicate")
    chunks = drain(decoder, [DONE])
    assert [chunk["choices"][0]["delta"] for chunk in chunks[:2]] == [{"role": "assistant", "content": "ho"}, {}]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[:2]] == [None, "stop"]
    assert (chunks[2]["usage"]["total_tokens"], {chunk["id"] for chunk in chunks}) == (5, {"p1"})
    assert (decoder.finished, decoder.usage, decoder.model) == (True, Usage(3, 2), "meta/llama")


def test_tokens_are_shown_to_who_asked_only(facts, drain):
    assert len(drain(PredictionDecoder(facts(), provider="replicate"), [DONE])) == 2


@pytest.mark.parametrize(
    ("told", "error"),
    [
        ({"status": "processing"}, StillRunning),
        ({"status": "failed"}, UpstreamBroken),
        ([], UpstreamBroken),
        (b"{", UpstreamBroken),
    ],
)
def test_a_stream_without_an_answer_is_an_error(facts, told, error):
    decoder = PredictionDecoder(facts(), provider="replicate")
    with pytest.raises(error):
        decoder.feed("", told if isinstance(told, bytes) else orjson.dumps(told))
    assert not decoder.finished


@given(cuts=st.lists(st.integers(0, 40), max_size=5))
def test_a_body_is_whole_however_it_was_cut(cuts):
    body, splitter = orjson.dumps(DONE), WholeSplitter()
    places = [0, *sorted(cuts), len(body)]
    fed = [splitter.feed(body[start:end]) for start, end in itertools.pairwise(places)]
    assert ([event for events in fed for event in events], splitter.close()) == ([], [("", body)])


def test_a_body_without_end_is_refused(monkeypatch):
    monkeypatch.setattr(_prediction_answer, "MAX_ANSWER_BYTES", 3)
    with pytest.raises(UpstreamInvalid):
        WholeSplitter().feed(b"1234")


JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=4),
    lambda i: st.lists(i, max_size=3) | st.dictionaries(st.text(max_size=3), i),
)


@given(
    st.dictionaries(st.sampled_from(["output", "error", "metrics", "id"]), JSON),
    st.sampled_from(["succeeded", "failed", "x", 5, None]),
)
def test_whatever_is_answered_is_an_answer_or_the_providers_fault(told, status):
    for decode in (chat, image):
        try:
            answer = decode({**told, "status": status}, CallFacts("m", False, True, {}, {}))
        except UpstreamInvalid as fault:
            answer = {"provider": "replicate", "fault": fault.message}
        orjson.dumps(answer)
        assert answer["provider"] == "replicate"
