import copy

import orjson
import pytest
from anthropic.types import MessageParam
from pydantic import TypeAdapter

from data_plane.core.types import Usage
from data_plane.providers._anthropic_stream import MessageDecoder
from data_plane.providers._gemini_stream import CandidateDecoder
from data_plane.providers._vertex_chat import vertex_chat
from shared.errors import BadRequest, UpstreamInvalid
from tests.contract.test_every_provider import ANSWERS, STREAMS

CHAT = vertex_chat()
BODY = {"model": "@x/y", "messages": [{"role": "user", "content": "q"}], "service_tier": "flex", "top_k": 3}
MODELS = {
    "gemini-2.5-pro": "google", "claude-sonnet-4-5@1": "anthropic", "meta/llama": "openai", "mistralai/m@2": "openai",
    "endpoints.7": "openai",
}  # fmt: skip
every = pytest.mark.parametrize(("model", "words"), MODELS.items())


@pytest.mark.parametrize(("model", "path", "streamed"), [
    ("gemini-x", "/publishers/google/models/gemini-x:generateContent", "/publishers/google/models/gemini-x:streamGenerateContent?alt=sse"),
    ("claude-x", "/publishers/anthropic/models/claude-x:rawPredict", "/publishers/anthropic/models/claude-x:streamRawPredict"),
    ("mistralai/m", "/publishers/mistralai/models/m:rawPredict", "/publishers/mistralai/models/m:streamRawPredict"),
    ("meta/llama", "/endpoints/openapi/chat/completions", "/endpoints/openapi/chat/completions"),
    ("endpoints.7", "/endpoints/7/chat/completions", "/endpoints/7/chat/completions"),
    ("endpoints/7", "/endpoints/7:generateContent", "/endpoints/7:streamGenerateContent?alt=sse"),
])  # fmt: skip
def test_each_model_is_called_where_it_stands(facts, model, path, streamed):
    assert CHAT.path_for(facts(model)) == path
    assert CHAT.path_for(facts(model, stream=True)) == streamed


def test_claude_is_asked_in_anthropics_words_and_named_by_the_path(facts):
    made = CHAT.encode(copy.deepcopy(BODY), facts("anthropic.claude-opus-4-7@1", stream=True))
    assert made == {
        "anthropic_version": "vertex-2023-10-16", "max_tokens": 8192, "stream": True, "top_k": 3,
        "messages": [{"role": "user", "content": "q"}],
    }  # fmt: skip
    TypeAdapter(list[MessageParam]).validate_python(made["messages"])


def test_claude_thinks_as_its_generation_does_however_it_is_named(facts):
    made = CHAT.encode({**BODY, "reasoning_effort": "high"}, facts("anthropic.claude-opus-4-7@1"))
    assert made["output_config"] == {"effort": "high"}


@pytest.mark.parametrize(("model", "name"), [
    ("meta.llama", "meta/llama"), ("endpoints.7", "7"), ("mistralai/m@2", "m"),
])  # fmt: skip
def test_open_models_are_asked_in_openais_words(facts, model, name):
    assert CHAT.encode(BODY, facts(model)) == {**BODY, "model": name}


def test_tokens_of_open_models_are_asked_for_where_that_is_understood(facts):
    assert CHAT.encode(BODY, facts("meta/llama", stream=True))["stream_options"] == {"include_usage": True}
    assert "stream_options" not in CHAT.encode(BODY, facts("mistralai/m", stream=True))


def test_gemini_is_asked_in_its_own_words_without_a_tier(facts):
    assert CHAT.encode(BODY, facts("google/gemini-x")) == {
        "contents": [{"role": "user", "parts": [{"text": "q"}]}], "generationConfig": {"topK": 3},
    }  # fmt: skip


@every
def test_each_answer_is_read_in_the_words_of_its_model(facts, model, words):
    made = CHAT.decode(copy.deepcopy(ANSWERS[words]), facts(model))
    assert (made["choices"][0]["message"]["content"], made["provider"]) == ("hi", "vertex-ai")
    assert CHAT.usage(made) == Usage(3, 2)
    with pytest.raises(UpstreamInvalid, match="vertex-ai"):
        CHAT.decode({"error": {"message": "no"}}, facts(model))


@every
def test_each_stream_is_read_in_the_words_of_its_model(facts, model, words):
    decoder = CHAT.decoder(facts(model, stream=True))
    chunks = [orjson.loads(chunk) for one in STREAMS[words] for chunk in decoder.feed("", orjson.dumps(one))]
    assert "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk["choices"]) == "hi"
    assert (decoder.finished, decoder.usage) == (True, Usage(3, 2))


def test_decoders_are_those_of_the_families(facts):
    assert isinstance(CHAT.decoder(facts("gemini-x")), CandidateDecoder)
    assert isinstance(CHAT.decoder(facts("claude-x")), MessageDecoder)


def test_a_name_that_is_none_is_refused_before_anything_is_sent(facts):
    with pytest.raises(BadRequest):
        CHAT.encode(BODY, facts("../x"))
    with pytest.raises(BadRequest):
        CHAT.path_for(facts("a/b/c"))


def test_claudes_and_googles_errors_are_both_read():
    claude = CHAT.fault(400, {"type": "error", "error": {"type": "invalid_request_error", "message": "m"}})
    google = CHAT.fault(403, {"error": {"code": 403, "status": "PERMISSION_DENIED", "message": "m"}})
    assert (claude.type, google.type, google.code) == ("invalid_request_error", "PERMISSION_DENIED", 403)
