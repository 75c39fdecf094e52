import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_plane.core.types import CallFacts, Usage
from data_plane.providers._openai_media import TypedEvents, forms, image_usage, moderation, transcription
from shared.errors import GatewayError, UpstreamBroken, UpstreamInvalid

FACTS = CallFacts("m", False, True, {}, {})
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "usage", "seconds", "data", "error"]), inner, max_size=4),
    max_leaves=10,
)  # fmt: skip


@pytest.mark.parametrize(("answer", "counted"), [
    ({"text": "", "usage": {"type": "duration", "seconds": 3}}, {"audio_ms": 3000}),
    ({"text": "", "duration": 2.5, "segments": []}, {"audio_ms": 2500}),
    ({"text": "", "usage": {"type": "tokens", "input_tokens": 5, "input_token_details": {"audio_tokens": 4}, "output_tokens": 2}},
     {"input": 5, "audio_input": 4, "output": 2}),
    ({"text": "", "usage": {"input_tokens": 5, "input_token_details": {"audio_tokens": 9}, "output_tokens": 2}}, {"input": 5, "output": 2}),
    ({"text": ""}, {"source": "none"}), ({"text": "", "duration": -1}, {"source": "none"}),
])  # fmt: skip
def test_what_was_heard_is_counted_in_tokens_or_time(answer, counted):
    assert transcription("openai").usage(answer) == Usage(**counted)


@pytest.mark.parametrize(("answer", "counted"), [
    ({"data": [{}, {}]}, {"images": 2}),
    ({"data": [{}], "usage": {"input_tokens": 7, "output_tokens": 1000}}, {"images": 1, "input": 7, "output": 1000}),
    ({"data": None}, {"images": 0}),
])  # fmt: skip
def test_pictures_are_counted(answer, counted):
    assert image_usage(answer) == Usage(**counted)


def test_a_transcript_without_a_text_is_invalid():
    with pytest.raises(UpstreamInvalid, match="Invalid response received from groq"):
        transcription("groq").decode({"segments": []}, FACTS)
    with pytest.raises(UpstreamInvalid, match="groq error: too long"):
        transcription("groq").decode({"error": {"message": "too long"}}, FACTS)


def test_a_judgement_needs_no_model():
    assert moderation("openai").encode({"input": "x"}, CallFacts("", False, True, {}, {})) == {"input": "x"}
    assert moderation("openai").decode({"results": []}, FACTS) == {"results": [], "provider": "openai"}


def test_forms_are_named():
    assert set(forms("groq", "transcribe", "translate")) == {"transcribe", "translate"}


def test_pictures_that_come_in_pieces_are_counted_when_they_are_complete():
    decoder = TypedEvents(FACTS, provider="openai")
    partial = {"type": "image_generation.partial_image", "b64_json": "aa"}
    done = {"type": "image_generation.completed", "b64_json": "aa", "usage": {"input_tokens": 5, "output_tokens": 9}}
    assert decoder.feed("", orjson.dumps(partial)) == [orjson.dumps(partial)]
    assert not decoder.finished
    decoder.feed("", orjson.dumps(done))
    assert (decoder.finished, decoder.usage) == (True, Usage(5, 9, images=1))
    assert decoder.feed("", b"[DONE]") == decoder.feed("", b" ") == []


@pytest.mark.parametrize(
    "event",
    [{"type": "error", "message": "no"}, {"type": "error", "error": {"message": "no"}}, {"type": "x", "error": "no"}],
)
def test_an_error_inside_a_stream_is_one(event):
    with pytest.raises(UpstreamBroken, match="openai error: no"):
        TypedEvents(FACTS, provider="openai").feed("", orjson.dumps(event))


@given(value=JSON)
def test_whatever_a_provider_sends_is_read_or_refused(value):
    try:
        TypedEvents(FACTS, provider="openai").feed("", orjson.dumps(value))
        if isinstance(value, dict):
            transcription("openai").decode(value, FACTS)
    except GatewayError:
        pass
    if isinstance(value, dict):
        assert transcription("openai").usage(value).input >= 0
        assert image_usage(value).images >= 0
