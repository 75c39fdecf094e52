"""What holds for every operation of every provider, found through the registry; most about chats is in `test_every_provider.py`.

An operation without an exchange here fails: none is left out by being new.
"""

import copy
from base64 import b64decode
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_plane.core.endpoint import ENDPOINTS
from data_plane.core.form import Binary, FormFile
from data_plane.core.types import NO_USAGE, CallFacts, Usage
from data_plane.providers.registry import load_providers
from shared.errors import BadRequest, UpstreamBroken, UpstreamInvalid


@dataclass(frozen=True)
class Exchange:
    """What a caller asks, what a provider answers and what that used; None for what is answered with no JSON."""

    asked: dict[str, Any]
    answer: dict[str, Any] | None = None
    used: Usage = NO_USAGE
    model: str = "m"
    settings: dict[str, Any] = field(default_factory=dict)


FILE = FormFile("a.png", "image/png", b"\x00")
TOKENS = {"prompt_tokens": 3, "total_tokens": 3}
RANKS = [{"index": 0, "relevance_score": 0.5}]
TURNS = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9}
TEXT, ORDER, SOUND, CHANGE = {"input": "hi"}, {"prompt": "a duck"}, {"file": FILE}, {"prompt": "a hat", "image": FILE}
RANKED = {"query": "q", "documents": ["a", {"text": "b"}]}
CLAUDE = {"id": "c", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": "end_turn"}
COUNTED = Exchange(TURNS, {"input_tokens": 3})
IMAGE = {"created": 1, "data": [{"b64_json": "AAAA"}]}
HEARD = {"result": {"text": "ho", "transcription_info": {"duration": 2}}}
STABLE = {"image": "AAAA", "finish_reason": "SUCCESS"}
COMPARTMENT = {"oracle_compartment_id": "ocid1.compartment.oc1..c"}
LISTENER = "@cf/openai/whisper-large-v3-turbo"
#: By operation: an exchange in OpenAI's words, and one for each provider that has words of its own.
EXCHANGES = {
    "chat": {
        "openai": Exchange(TURNS, {"choices": [{"index": 0, "message": {"role": "assistant", "content": "ho"}}]}),
        "azure-ai": Exchange(
            TURNS, {**CLAUDE, "content": [{"type": "text", "text": "ho"}], "usage": {"input_tokens": 3, "output_tokens": 2}},
            Usage(3, 2),
        ),
    },
    "messages": {"openai": Exchange(TURNS, {**CLAUDE, "usage": {"input_tokens": 3, "output_tokens": 2}}, Usage(3, 2))},
    "count_tokens": {
        "openai": COUNTED,
        "bedrock": Exchange(TURNS, {"inputTokens": 3}),
        "google": Exchange(TURNS, {"totalTokens": 3}),
    },
    "responses": {
        "openai": Exchange(TEXT, {"id": "r", "output": [], "usage": {"input_tokens": 3, "output_tokens": 2}}, Usage(3, 2)),
    },
    "complete": {
        "openai": Exchange(
            ORDER, {"choices": [{"text": "ho"}], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}, Usage(3, 2)
        ),
        "triton": Exchange(ORDER, {"text_output": "ho"}),
    },
    "embed": {
        "openai": Exchange(TEXT, {"data": [{"index": 0, "embedding": [0.5]}], "usage": TOKENS}, Usage(3)),
        "nomic": Exchange(TEXT, {"embeddings": [[0.5]], "usage": TOKENS}, Usage(3)),
        "cohere": Exchange(
            TEXT, {"embeddings": {"float": [[0.5]]}, "meta": {"billed_units": {"input_tokens": 3}}}, Usage(3)
        ),
        "bedrock": Exchange(
            TEXT, {"embedding": [0.5], "inputTextTokenCount": 3}, Usage(3), model="amazon.titan-embed-text-v2:0"
        ),
        "google": Exchange(TEXT, {"embeddings": [{"values": [0.5]}]}),
        "oracle": Exchange(
            TEXT, {"embeddings": [[0.5]], "usage": {"promptTokens": 3, "totalTokens": 3}}, Usage(3), settings=COMPARTMENT
        ),
        "vertex-ai": Exchange(
            TEXT, {"predictions": [{"embeddings": {"values": [0.5], "statistics": {"token_count": 3}}}]}, Usage(3),
            model="text-embedding-005",
        ),
    },
    "image": {
        "openai": Exchange(ORDER, IMAGE, Usage(images=1)),
        "stability-ai": Exchange(ORDER, STABLE, Usage(images=1), model="core"),
        "workers-ai": Exchange(ORDER, {"success": True, "result": {"image": "AAAA"}}, Usage(images=1)),
        "replicate": Exchange(
            ORDER, {"status": "succeeded", "output": ["https://x.example/1.png"]}, Usage(images=1), model="owner/name"
        ),
        "vertex-ai": Exchange(
            ORDER, {"predictions": [{"bytesBase64Encoded": "AAAA"}]}, Usage(images=1), model="imagen-4.0-generate-001"
        ),
        "fireworks-ai": Exchange(ORDER, {"base64": ["AAAA"]}, Usage(images=1)),
        "hyperbolic": Exchange(ORDER, {"images": [{"image": "AAAA"}]}, Usage(images=1)),
        "segmind": Exchange(ORDER, {"image": "AAAA"}, Usage(images=1)),
        "bedrock": Exchange(ORDER, {"images": ["AAAA"]}, Usage(images=1), model="amazon.nova-canvas-v1:0"),
    },
    "edit_image": {
        "openai": Exchange(CHANGE, IMAGE, Usage(images=1)),
        "stability-ai": Exchange(CHANGE, STABLE, Usage(images=1), model="ultra"),
    },
    "vary_image": {"openai": Exchange({"image": FILE}, IMAGE, Usage(images=1))},
    "speech": {"openai": Exchange({**TEXT, "voice": "x"})},
    "rerank": {
        "openai": Exchange(RANKED, {"results": RANKS, "usage": {"total_tokens": 3}}, Usage(3)),
        "cohere": Exchange(RANKED, {"results": RANKS, "meta": {"billed_units": {"search_units": 1}}}, Usage(searches=1)),
        "bedrock": Exchange(RANKED, {"results": RANKS}, model="amazon.rerank-v1:0"),
        "workers-ai": Exchange(RANKED, {"result": {"response": [{"id": 0, "score": 0.5}]}}),
        "vertex-ai": Exchange(
            RANKED, {"records": [{"id": "0", "score": 0.5}]}, model="semantic-ranker-default@latest",
            settings={"vertex_project_id": "p"},
        ),
        "oracle": Exchange(RANKED, {"documentRanks": [{"index": 0, "relevanceScore": 0.5}]}, settings=COMPARTMENT),
    },
    "moderate": {"openai": Exchange(TEXT, {"results": [{"flagged": False}]})},
    "ocr": {"openai": Exchange({"document": {"type": "document_url"}}, {"pages": [{"index": 0}]})},
    "transcribe": {
        "openai": Exchange(SOUND, {"text": "ho", "usage": {"type": "duration", "seconds": 2}}, Usage(audio_ms=2000)),
        "workers-ai": Exchange(SOUND, HEARD, Usage(audio_ms=2000), model=LISTENER),
    },
    "translate": {
        "openai": Exchange(SOUND, {"text": "ho"}),
        "workers-ai": Exchange(SOUND, HEARD, Usage(audio_ms=2000), model=LISTENER),
    },
    "models": {
        "openai": Exchange({}, {"data": [{"id": "m"}]}),
        "cohere": Exchange({}, {"models": [{"name": "m"}]}),
        "google": Exchange({}, {"models": [{"name": "models/m"}]}),
        "workers-ai": Exchange({}, {"result": [{"name": "m"}]}),
    },
    "realtime": {"openai": Exchange({"model": "m"})},
}  # fmt: skip
EXCHANGES["chat"]["cortex"] = EXCHANGES["chat"]["azure-ai"]
for _operation in ("embed", "count_tokens", "models"):
    EXCHANGES[_operation]["palm"] = EXCHANGES[_operation]["google"]
#: Answers that clients read as another vendor's own, without a member of ours.
NATIVE = {"messages", "responses", "count_tokens"}
#: Models of the kind that a provider has operations for which others of its models do not have.
CHOSEN = {"bedrock": "anthropic.claude-sonnet-5-v1:0", "vertex-ai": "anthropic.claude-sonnet-5"}
USUALLY_CHOSEN = "claude-sonnet-5"


def part_name(part):
    """Return the name of a piece of code, and of those that it is made of."""
    inner = [*getattr(part, "args", ()), *getattr(part, "keywords", {}).values()] if hasattr(part, "func") else []
    names = [part_name(each) for each in inner if callable(each)]
    own = getattr(part, "func", part)
    return (getattr(own, "__module__", ""), getattr(own, "__qualname__", repr(own)), *names)


def translation(name, operation):
    """What tells apart the operations that are not one piece of code with another name."""
    parts = (operation.encode, operation.decode, operation.decode_binary, operation.write, operation.usage)
    return (name, *map(part_name, (*parts, operation.decoder, operation.fault)))


def chosen_model(provider):
    """Return a model for which a provider has operations that it has for no other."""
    return CHOSEN.get(provider.id, USUALLY_CHOSEN)


def found():
    """Return (provider, name, operation) of every operation, but of each provider's usual chat."""
    for provider in load_providers().values():
        for name, operation in provider.operations.items():
            if name != "chat":
                yield provider, name, operation
        for name, choose in provider.chosen.items():
            yield provider, name, choose(chosen_model(provider))


FOUND = list(found())
OPERATIONS = [each for each in FOUND if each[2] is not None]
DISTINCT = list(
    {translation(name, operation): (provider, name, operation) for provider, name, operation in OPERATIONS}.values()
)
ANSWERED = [each for each in OPERATIONS if not (each[2].binary or each[2].is_socket)]


def each_of(operations):
    """Return a decorator that runs a test with each of `operations`."""
    ids = [f"{provider.id}-{name}" for provider, name, _ in operations]
    return pytest.mark.parametrize(("provider", "name", "operation"), operations, ids=ids)


every, answered = each_of(OPERATIONS), each_of(ANSWERED)
distinct = each_of(DISTINCT)
fuzz = settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])


def exchange(provider, name):
    kit = EXCHANGES[name]
    return kit.get(provider.id, kit["openai"])


def facts(provider, name, *, stream=False, strict=True, asked=None):
    model = chosen_model(provider) if name in provider.chosen else exchange(provider, name).model
    known = {"azure_api_version": "2025-01-01", "azure_deployment_id": "m"} if "azure" in provider.id else {}
    known |= exchange(provider, name).settings
    return CallFacts(model, stream, strict, {}, known, False, asked or {})


def written(operation, encoded):
    """Return what goes out, as text; fails for what could not."""
    if operation.write is None:
        # Bedrock counts what it would be asked: a body within the body.
        inner = encoded.get("input", {}).get("invokeModel") if isinstance(encoded.get("input"), dict) else None
        if inner is not None:
            return b64decode(inner["body"]).decode()
        return orjson.dumps(encoded, lambda file: file.name, orjson.OPT_PASSTHROUGH_DATACLASS).decode()
    binary = operation.write(encoded)
    assert isinstance(binary, Binary)
    return b"".join(binary.parts).decode("latin-1")


def test_every_endpoint_has_an_exchange():
    assert set(EXCHANGES) == set(ENDPOINTS)


def test_every_operation_is_that_of_an_endpoint():
    assert {name for _, name, _ in OPERATIONS} <= set(EXCHANGES)
    # A provider that chooses by other models than these has its own among them.
    assert FOUND == OPERATIONS


@every
def test_encoding_does_not_change_the_body_and_makes_one_that_can_be_sent(provider, name, operation):
    body = {"model": "@slug/m", **exchange(provider, name).asked}
    before = copy.deepcopy(body)
    assert written(operation, operation.encode(body, facts(provider, name)))
    assert body == before
    assert operation.url_for("https://x.example/v1", facts(provider, name)).startswith("https://x.example/")


# What has no tokens need not be counted.
@each_of([each for each in OPERATIONS if each[1] != "count_tokens"])
def test_a_parameter_that_nobody_knows_yet_reaches_the_provider(provider, name, operation):
    endpoint = ENDPOINTS[name]
    asked = {**exchange(provider, name).asked, "invented_tomorrow": "xyz"}
    sent = written(operation, operation.encode({"model": "@slug/m", **asked}, facts(provider, name)))
    # The parameters of an address are known, and a list is asked for with none.
    assert ("invented_tomorrow" in sent and "xyz" in sent) is not bool(endpoint.query or endpoint.is_list)


@answered
def test_a_right_answer_is_decoded_named_and_counted(provider, name, operation):
    told = exchange(provider, name)
    for strict in (True, False):
        decoded = operation.decode(copy.deepcopy(told.answer), facts(provider, name, strict=strict, asked=told.asked))
        assert orjson.dumps(decoded)
        assert operation.usage(decoded) == told.used
        assert name in NATIVE or (list(decoded)[-1], decoded["provider"]) == ("provider", provider.id)


@answered
@pytest.mark.parametrize("answer", [
    {}, {"hello": []}, dict.fromkeys(("data", "results", "choices", "output", "text", "content", "models", "pages"), 1),
    {"result": 1, "embeddings": 1, "images": 1, "predictions": 1, "artifacts": 1}, {"result": {"text": 1, "image": 1, "response": 1}},
])  # fmt: skip
def test_a_malformed_answer_is_refused(provider, name, operation, answer):
    with pytest.raises(UpstreamInvalid):
        operation.decode(copy.deepcopy(answer), facts(provider, name))


@every
def test_the_providers_own_sentence_is_found_in_its_error(provider, name, operation):
    fault = operation.fault(429, {"error": {"message": "slow down", "type": "rate_limit_error"}})
    assert (fault.message, fault.type) == ("slow down", "rate_limit_error")
    assert operation.fault(502, None).message


NAMES = sorted(
    {"text", "image", "url", "index", "id", "score", "relevance_score", "embedding", "values", "usage", "total_tokens",
     "prompt_tokens", "input_tokens", "response", "result", "statistics", "token_count", "b64_json", "base64", "content",
     "duration", "segments", "message", "code", "billed_units", "search_units", "type", "role", "document", "name"}
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False) | st.sampled_from(["", "text", "1x1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=10,
)
HOLDERS = sorted(
    {"data", "results", "result", "choices", "output", "text", "pages", "embeddings", "embedding", "predictions", "images",
     "image", "artifacts", "finish_reason", "finish_reasons", "usage", "meta", "tokens", "error", "errors", "message", "detail",
     "model", "id", "success", "inputTextTokenCount", "models", "content", "input_tokens", "duration"}
)  # fmt: skip
ANSWERS = st.dictionaries(st.sampled_from(HOLDERS), JSON, max_size=5)
PARAMETERS = sorted(
    {"input", "prompt", "query", "documents", "document", "file", "image", "image[]", "mask", "messages", "n", "size", "quality",
     "response_format", "encoding_format", "dimensions", "top_n", "return_documents", "rank_fields", "language", "user",
     "negative_prompt", "input_type", "temperature", "stream_options", "strength", "texts", "inputs", "voice", "style"}
)  # fmt: skip


@distinct
@fuzz
@given(values=st.dictionaries(st.sampled_from(PARAMETERS), JSON | st.just(FILE), max_size=4), stream=st.booleans())
def test_whatever_a_caller_sends_is_encoded_or_refused_as_the_callers_fault(provider, name, operation, values, stream):
    # A file comes only where forms do.
    files = ENDPOINTS[name].takes_form
    values = {key: value for key, value in values.items() if files or not isinstance(value, FormFile)}
    body = {"model": "@slug/m", **exchange(provider, name).asked, **values}
    try:
        outcome = written(operation, operation.encode(body, facts(provider, name, stream=stream)))
    except BadRequest as refusal:
        outcome = refusal.message
    assert outcome


@distinct
@fuzz
@given(answer=ANSWERS, asked=st.dictionaries(st.sampled_from(PARAMETERS), JSON), strict=st.booleans())
def test_whatever_a_provider_answers_is_decoded_or_refused_as_the_providers_fault(
    provider, name, operation, answer, asked, strict
):
    assert isinstance(operation.fault(500, copy.deepcopy(answer)).message, str)
    assert isinstance(operation.usage(copy.deepcopy(answer)), Usage)
    try:
        decoded = operation.decode(answer, facts(provider, name, strict=strict, asked=asked))
    except UpstreamInvalid as refusal:
        decoded = refusal.body()
    assert isinstance(operation.usage(decoded), Usage)
    assert orjson.dumps(decoded)


READING_BYTES = [each for each in DISTINCT if each[2].decode_binary is not None]


@each_of(READING_BYTES)
@fuzz
@given(
    content=st.binary(max_size=12) | JSON.map(orjson.dumps) | ANSWERS.map(orjson.dumps),
    kind=st.sampled_from(["", "application/json", "image/png", "text/html; charset=utf-8"]),
)
def test_whatever_bytes_a_provider_answers_are_decoded_or_refused_as_its_fault(
    provider, name, operation, content, kind
):
    try:
        outcome = operation.decode_binary(content, kind, facts(provider, name))
    except UpstreamInvalid as refusal:
        outcome = refusal.body()
    assert orjson.dumps(outcome)


STREAMED = [each for each in DISTINCT if ENDPOINTS[each[1]].streams or each[2].is_socket]


@each_of(STREAMED)
@fuzz
@given(events=st.lists(JSON | ANSWERS, max_size=4), strict=st.booleans())
def test_whatever_a_provider_streams_is_relayed_as_json_or_breaks_the_stream(provider, name, operation, events, strict):
    decoder = operation.decoder(facts(provider, name, stream=True, strict=strict))
    pieces = []
    try:
        for event in events:
            pieces += decoder.feed("", orjson.dumps(event))
    except UpstreamBroken as broken:
        assert broken.status == 502
    for piece in pieces:
        orjson.loads(piece)
    assert decoder.usage is None or isinstance(decoder.usage, Usage)
