"""Do runs of models reach Workers AI as each model takes them, and come back in OpenAI's words?"""

import copy
from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import ImagesResponse

from data_plane.core.form import FormFile
from data_plane.core.types import CallFacts
from data_plane.providers import _workers_run as run
from shared.errors import BadRequest, GatewayError, Unsupported, UpstreamInvalid

FLUX, FORMS = "@cf/black-forest-labs/flux-1-schnell", "@cf/black-forest-labs/flux-2-dev"
TURBO, FIRST = "@cf/openai/whisper-large-v3-turbo", "@cf/openai/whisper"
RANKER = "@cf/baai/bge-reranker-base"
SOUND = FormFile("a.mp3", "audio/mpeg", b"\x00\x00\x00")
W = "workers-ai"


def sent(request):
    binary = run.write_run(request)
    return binary.content_type, b"".join(binary.parts)


def test_the_model_stands_in_the_path(facts):
    assert run.run_path(facts(FLUX)) == "/run/@cf/black-forest-labs/flux-1-schnell"
    assert run.run_path(facts("a?b#c")) == "/run/a%3Fb%23c"


@pytest.mark.parametrize("model", ["", "..", "@cf/../x", "@cf//x", "a/."])
def test_a_model_that_is_a_step_is_refused(facts, model):
    with pytest.raises(BadRequest):
        run.run_path(facts(model))


# images


def test_an_image_is_ordered_as_json_without_the_model(facts):
    body = {"model": "@x/y", "prompt": "a duck", "n": 1, "size": "512x768", "num_steps": 4, "seed": 7, "user": "u"}
    before = copy.deepcopy(body)
    made = run.encode_image(body, facts(FLUX), provider=W)
    assert body == before
    kind, content = sent(made)
    assert (kind, orjson.loads(content)) == (
        "application/json",
        {"prompt": "a duck", "num_steps": 4, "seed": 7, "width": 512, "height": 768},
    )


def test_newer_models_get_a_form(facts):
    kind, content = sent(run.encode_image({"prompt": "a duck"}, facts(FORMS), provider=W))
    assert kind.startswith("multipart/form-data; boundary=")
    assert b'name="prompt"\r\n\r\na duck\r\n' in content
    assert b'name="model"' not in content


def test_what_changes_nothing_is_left_out_of_an_order(facts):
    plain = run.encode_image({"prompt": "x"}, facts(FLUX), provider=W)
    assert run.encode_image({"prompt": "x", **dict.fromkeys(run.LEFT_OUT, "y")}, facts(FLUX), provider=W) == plain


def test_several_images_and_streams_are_unsupported(facts):
    with pytest.raises(Unsupported, match="workers-ai makes one image per call"):
        run.encode_image({"prompt": "x", "n": 2}, facts(FLUX), provider=W)
    with pytest.raises(Unsupported, match="stream"):
        run.encode_image({"prompt": "x"}, facts(FLUX, stream=True), provider=W)


@pytest.mark.parametrize("model", [FLUX, FORMS])
def test_a_value_that_no_body_can_hold_is_refused(facts, model):
    with pytest.raises(BadRequest):
        sent(run.encode_image({"prompt": "x", "seed": 10**40}, facts(model), provider=W))


def test_an_image_comes_as_base64_or_as_itself(facts):
    made = run.decode_image({"success": True, "result": {"image": "AAAA"}, "errors": []}, facts(), provider=W)
    ImagesResponse.model_validate(made)
    assert made["data"] == [{"b64_json": "AAAA"}]
    assert run.decode_image_bytes(b"\x00\x00\x00", "image/png", facts(), provider=W)["data"] == made["data"]


@pytest.mark.parametrize(("content", "kind"), [(b"x", "text/html"), (b"", "image/png"), (b"[]", "application/json")])
def test_bytes_that_are_no_image_are_refused(facts, content, kind):
    with pytest.raises(UpstreamInvalid):
        run.decode_image_bytes(content, kind, facts(), provider=W)


# sound


def test_the_newer_listener_gets_json(facts):
    body = {
        "model": "@x/y",
        "file": SOUND,
        "language": "de",
        "prompt": "Ente",
        "temperature": "0",
        "vad_filter": "true",
    }
    made = run.encode_sound(body, facts(TURBO), provider=W, task="translate")
    kind, content = sent(made)
    assert (kind, orjson.loads(content)) == (
        "application/json",
        {"audio": "AAAA", "task": "translate", "language": "de", "initial_prompt": "Ente", "vad_filter": "true"},
    )


def test_the_first_listener_gets_nothing_but_the_sound(facts):
    made = run.encode_sound({"file": SOUND, "response_format": "json"}, facts(FIRST), provider=W, task="transcribe")
    assert sent(made) == ("audio/mpeg", SOUND.content)
    assert sent({**made, "file": replace(SOUND, content_type="")})[0] == "application/octet-stream"


@pytest.mark.parametrize(("model", "task", "body", "told"), [
    (FIRST, "translate", {}, "translate is not supported by workers-ai with the model"), (FLUX, "transcribe", {}, "transcribe is not"),
    (FIRST, "transcribe", {"language": "de"}, "no language"), (FIRST, "transcribe", {"prompt": "x"}, "no prompt"),
    (TURBO, "transcribe", {"response_format": "srt"}, "as json or verbose_json"),
])  # fmt: skip
def test_what_a_listener_cannot_do_is_unsupported(facts, model, task, body, told):
    with pytest.raises(Unsupported, match=told):
        run.encode_sound({"file": SOUND, **body}, facts(model), provider=W, task=task)


def test_a_transcript_needs_a_sound_and_is_not_streamed(facts):
    with pytest.raises(BadRequest, match="file"):
        run.encode_sound({"file": "x"}, facts(TURBO), provider=W, task="transcribe")
    with pytest.raises(Unsupported, match="stream"):
        run.encode_sound({"file": SOUND}, facts(TURBO, stream=True), provider=W, task="transcribe")


HEARD = {
    "success": True,
    "result": {
        "text": "ho", "word_count": 1, "transcription_info": {"language": "en", "duration": 1.5},
        "segments": [{"start": 0, "end": 1, "text": "ho", "words": [{"word": "ho", "start": 0, "end": 1}]}],
    },
}  # fmt: skip


def test_a_transcript_is_the_text_and_how_long_it_took(facts):
    made = run.decode_sound(copy.deepcopy(HEARD), facts(), provider=W, task="transcribe")
    assert made == {"text": "ho", "usage": {"type": "duration", "seconds": 1.5}, "provider": W}
    assert run.decode_sound({"result": {"text": "ho"}}, facts(), provider=W, task="transcribe") == {
        "text": "ho", "provider": W,
    }  # fmt: skip


def test_a_verbose_transcript_has_its_times(facts):
    asked = replace(facts(), asked={"response_format": "verbose_json"})
    made = run.decode_sound(copy.deepcopy(HEARD), asked, provider=W, task="transcribe")
    assert (made["task"], made["language"], made["duration"]) == ("transcribe", "en", 1.5)
    assert made["segments"][0]["id"] == 0
    assert made["words"] == [{"word": "ho", "start": 0, "end": 1}]


# ranks


def test_ranks_are_asked_for_and_read_by_ids(facts):
    asked = {"model": "@x/y", "query": "q", "documents": ["a", {"text": "b"}], "top_n": 2, "return_documents": True}
    known = replace(facts(RANKER), asked=asked)
    made = run.encode_ranks(asked, known, provider=W)
    assert orjson.loads(sent(made)[1]) == {"query": "q", "contexts": [{"text": "a"}, {"text": "b"}], "top_k": 2}
    answer = {"success": True, "result": {"response": [{"id": 0, "score": 0.1}, {"id": 1, "score": 0.9}]}}
    assert run.decode_run_ranks(answer, known, provider=W)["results"][0] == {
        "index": 1, "relevance_score": 0.9, "document": {"text": "b"},
    }  # fmt: skip


# whatever comes

DECODERS = (
    run.decode_image,
    lambda answer, facts, provider: run.decode_sound(answer, facts, provider=provider, task="transcribe"),
    run.decode_run_ranks,
)


@pytest.mark.parametrize("decode", DECODERS)
@pytest.mark.parametrize(("answer", "told"), [
    ({"success": False, "result": {"text": "x", "image": "x"}, "errors": [{"code": 3, "message": "no"}]}, "workers-ai error: no"),
    ({"result": {}}, "Invalid response"), ({}, "Invalid response"), ({"result": {"response": [1]}}, "Invalid response"),
])  # fmt: skip
def test_a_run_that_made_nothing_says_why(facts, decode, answer, told):
    with pytest.raises(UpstreamInvalid, match=told):
        decode(answer, facts(), provider=W)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.floats() | st.sampled_from(["", "a", "verbose_json"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["text", "image", "response", "id", "score", "segments", "words", "transcription_info", "duration"]), inner),
    max_leaves=8,
)  # fmt: skip


@given(
    model=st.sampled_from([FLUX, FORMS, TURBO, FIRST, "x", ""]),
    body=st.dictionaries(st.sampled_from(["file", "prompt", "n", "size", "documents", "query", "response_format"]), JSON | st.just(SOUND)),
    answer=st.fixed_dictionaries({}, optional={"result": JSON, "success": JSON, "errors": JSON}),
    content=st.binary(max_size=3),
)  # fmt: skip
def test_whatever_comes_is_translated_or_refused(model, body, answer, content):
    facts = CallFacts(model, False, True, {}, {}, False, body)
    outcomes = []
    for attempt in (
        lambda: run.encode_image(body, facts, provider=W),
        lambda: run.encode_sound(body, facts, provider=W, task="transcribe"),
        lambda: run.encode_ranks(body, facts, provider=W),
        lambda: {"path": run.run_path(facts)},
        lambda: run.decode_image_bytes(content, "image/png", facts, provider=W),
        *(lambda decode=decode: decode(answer, facts, provider=W) for decode in DECODERS),
    ):
        try:
            outcomes.append(attempt())
        except GatewayError as refusal:
            outcomes.append(refusal.body())
    assert all(isinstance(outcome, dict) for outcome in outcomes)
