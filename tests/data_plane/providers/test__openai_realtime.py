import time

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_plane.core.types import CallFacts, Usage
from data_plane.providers import _openai_realtime
from data_plane.providers._openai_realtime import SessionEvents, azure_realtime, error_event, realtime
from data_plane.providers.registry import load_providers
from shared.errors import BadRequest, UpstreamBroken

USAGE = {
    "total_tokens": 150, "input_tokens": 100, "output_tokens": 50,
    "input_token_details": {"text_tokens": 40, "audio_tokens": 60, "cached_tokens": 30,
                            "cached_tokens_details": {"text_tokens": 10, "audio_tokens": 20}},
    "output_token_details": {"text_tokens": 10, "audio_tokens": 40},
}  # fmt: skip
COUNTED = Usage(100, 50, cache_read=30, cache_read_audio=20, audio_input=40, audio_output=40)
WRITTEN = "conversation.item.input_audio_transcription.completed"


def facts(model="m", **settings):
    return CallFacts(model, False, True, {}, settings)


def done(usage=USAGE):
    return {"type": "response.done", "event_id": "e", "response": {"id": "r", "usage": usage}}


def read(*events, model="m"):
    reader = SessionEvents(facts(model))
    for event in events:
        data = event if isinstance(event, bytes) else orjson.dumps(event)
        assert reader.feed("", data) == [data]
    return reader


# the address


@pytest.mark.parametrize(
    ("model", "body", "asked"),
    [
        ("m", {"model": "@slug/m"}, {"model": "m"}),
        ("m", {"model": "m", "call_id": "rtc_1", "voice": "x"}, {"model": "m", "call_id": "rtc_1"}),
        ("m", {"intent": "transcription"}, {"intent": "transcription"}),
        ("", {"intent": "transcription"}, {"intent": "transcription"}),
        ("m", {"intent": "realtime"}, {"model": "m", "intent": "realtime"}),
        ("", {"call_id": "rtc_1", "intent": ""}, {"call_id": "rtc_1"}),
        ("m", {"intent": 5, "input_audio_format": "pcm"}, {"model": "m"}),
    ],
)
def test_the_address_says_what_the_session_is(model, body, asked):
    assert realtime("openai").encode(body, facts(model)) == asked


def test_a_host_may_know_more_parameters():
    operation = load_providers()["together-ai"].operations["realtime"]
    assert operation.encode({"input_audio_format": "pcm"}, facts()) == {"model": "m", "input_audio_format": "pcm"}


def test_a_session_without_a_model_is_refused():
    with pytest.raises(BadRequest, match="model is required"):
        realtime("openai").encode({"input_audio_format": "pcm"}, facts(""))


@pytest.mark.parametrize(
    ("settings", "path", "asked"),
    [
        ({}, "/v1/realtime", {"model": "m"}),
        ({"azure_api_version": "v1", "azure_deployment_id": "d"}, "/v1/realtime", {"model": "d"}),
        ({"azure_api_version": "preview"}, "/v1/realtime", {"model": "m"}),
        (
            {"azure_api_version": "2025-04-01-preview", "azure_deployment_id": "d"},
            "/realtime?api-version=2025-04-01-preview",
            {"deployment": "d"},
        ),
    ],
)
def test_azure_has_a_classic_and_a_new_address(settings, path, asked):
    operation = azure_realtime("azure-openai")
    assert operation.path_for(facts(**settings)) == path
    assert operation.encode({"model": "m"}, facts(**settings)) == asked


# tokens


def test_tokens_are_summed_over_the_session():
    reader = read(done(), {"type": WRITTEN, "usage": {"type": "tokens", "input_tokens": 10, "output_tokens": 5,
                  "input_token_details": {"audio_tokens": 10}}}, done())  # fmt: skip
    assert reader.usage == Usage(210, 105, cache_read=60, cache_read_audio=40, audio_input=90, audio_output=80)


def test_sound_that_was_cached_is_not_counted_twice():
    usage = read(done()).usage
    assert usage == COUNTED
    assert usage.cache_read + usage.audio_input <= usage.input


def test_what_is_counted_by_time_is_counted_in_milliseconds():
    usage = read({"type": WRITTEN, "usage": {"type": "duration", "seconds": 1.5}}).usage
    assert (usage.audio_ms, usage.input, usage.source) == (1500, 0, "provider")


@pytest.mark.parametrize("event", [
    done(None), done({}), done({"input_tokens": "1"}), {"type": WRITTEN}, {"type": WRITTEN, "usage": {"seconds": True}},
    {"type": WRITTEN, "usage": {"seconds": -1}}, {"type": "response.created", "response": {"usage": USAGE}},
    {"type": "x", "text": "response.done", "usage": USAGE}, {"type": "x", "item": {"type": "response.done"}, "usage": USAGE},
    {"type": "x", "text": '"response.done"', "usage": USAGE}, b"{", b'"response.done"', b'{"type":"response.done","response":5}',
    b'{"type":5,"x":"response.done"}', b'\xff"response.done"',
])  # fmt: skip
def test_what_counts_nothing_counts_nothing(event):
    assert read(event).usage is None


def test_the_parts_are_never_more_than_the_whole():
    told = {"input_tokens": 5, "output_tokens": 5, "input_token_details": {"cached_tokens": 9, "audio_tokens": 9},
            "output_token_details": {"audio_tokens": 9}}  # fmt: skip
    assert read(done(told)).usage == Usage(5, 5, cache_read=5, audio_input=0, audio_output=5)


def test_an_event_is_read_wherever_it_says_its_type():
    late = (
        b'{"event_id":"'
        + b"e" * 500
        + b'", "type" : "response.done" ,"response":'
        + orjson.dumps(done()["response"])
        + b"}"
    )
    assert read(late).usage == COUNTED


def test_pieces_of_sound_are_never_decoded(monkeypatch):
    def fail(_data):
        raise AssertionError("decoded")

    monkeypatch.setattr(_openai_realtime, "_read", fail)
    delta = (
        b'{"type":"response.output_audio.delta","event_id":"e","delta":"' + b"A" * 50_000 + b'","x":"response.done"}'
    )
    late = b'{"event_id":"' + b"e" * 500 + b'","type":"response.output_audio.delta","delta":"' + b"A" * 50_000 + b'"}'
    assert read(delta, late).usage is None


def test_reading_along_costs_next_to_nothing():
    reader = SessionEvents(facts())
    delta = b'{"type":"response.output_audio.delta","event_id":"e","delta":"' + b"A" * 20_000 + b'"}'
    began = time.process_time()
    for _ in range(10_000):
        reader.feed("", delta)
    assert (time.process_time() - began) / 10_000 < 50e-6


# the model


@pytest.mark.parametrize(
    ("session", "model"),
    [
        ({"type": "realtime", "model": "gpt-realtime-2025-08-28"}, "gpt-realtime-2025-08-28"),
        ({"type": "transcription", "audio": {"input": {"transcription": {"model": "whisper-1"}}}}, "whisper-1"),
        ({"input_audio_transcription": {"model": "gpt-4o-transcribe"}}, "gpt-4o-transcribe"),
        ({"model": 5, "audio": []}, "m"),
        (None, "m"),
    ],
)
@pytest.mark.parametrize("kind", ["session.created", "session.updated"])
def test_the_model_is_what_the_provider_says_it_is(kind, session, model):
    assert read({"type": kind, "session": session}).model == model


def test_without_a_word_the_model_is_the_one_asked_for():
    assert (read().model, read(model="").model) == ("m", None)


def test_an_error_is_told_in_the_shape_of_the_providers_events():
    event = orjson.loads(error_event(UpstreamBroken("It broke.")))
    assert (event["type"], event["event_id"][:6]) == ("error", "event_")
    assert event["error"] == {
        "type": "upstream_broken", "code": "upstream_broken", "message": "It broke.", "param": None, "event_id": None,
    }  # fmt: skip


@given(
    st.recursive(
        st.none() | st.integers(-9, 9) | st.text(max_size=5) | st.sampled_from(["response.done", "session.created"]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
            st.sampled_from(["type", "response", "usage", "session", "audio", "input", "input_tokens", "input_token_details"]),
            inner, max_size=4,
        ),
    )
)  # fmt: skip
def test_whatever_a_provider_says_breaks_nothing(event):
    assert read(done(), event).usage.input >= 100
