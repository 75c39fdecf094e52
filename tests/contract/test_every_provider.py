"""What holds for every provider that exists or will exist, found through the registry."""

import copy
import re
from pathlib import Path

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_plane.core.types import NO_USAGE, CallFacts, Usage
from data_plane.providers.registry import load_providers
from shared.errors import BadRequest, UpstreamBroken, UpstreamInvalid
from shared.redact import Secret

PROVIDERS = load_providers()
TESTS = Path(__file__).parents[1] / "data_plane" / "providers"

#: A right answer, and a right stream, in OpenAI's words and in those of each provider with a translation of its own.
ANSWERS = {
    "openai": {
        "id": "c", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    },
    "anthropic": {
        "id": "c", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
        "content": [{"type": "text", "text": "hi"}], "usage": {"input_tokens": 3, "output_tokens": 2},
    },
    "bedrock": {
        "output": {"message": {"role": "assistant", "content": [{"text": "hi"}]}}, "stopReason": "end_turn",
        "usage": {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5}, "metrics": {"latencyMs": 1},
    },
    "cohere": {
        "id": "c", "finish_reason": "COMPLETE",
        "message": {"role": "assistant", "content": [{"type": "text", "text": "hi"}]},
        "usage": {"billed_units": {"input_tokens": 3, "output_tokens": 2}},
    },
    "google": {
        "responseId": "c", "modelVersion": "m", "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2},
        "candidates": [{"content": {"role": "model", "parts": [{"text": "hi"}]}, "finishReason": "STOP"}],
    },
}  # fmt: skip
ANSWERS["vertex-ai"] = ANSWERS["palm"] = ANSWERS["google"]
ANSWERS["predibase"] = ANSWERS["sagemaker"] = ANSWERS["openai"]
ANSWERS["oracle"] = {
    "modelId": "m", "modelVersion": "1", "chatResponse": {
        "apiFormat": "GENERIC", "timeCreated": "2026-01-01T00:00:00Z",
        "choices": [{"index": 0, "finishReason": "stop",
                     "message": {"role": "ASSISTANT", "content": [{"type": "TEXT", "text": "hi"}]}}],
        "usage": {"promptTokens": 3, "completionTokens": 2, "totalTokens": 5},
    },
}  # fmt: skip
ANSWERS["replicate"] = {
    "id": "c", "model": "m", "status": "succeeded", "output": ["h", "i"], "error": None,
    "metrics": {"input_token_count": 3, "output_token_count": 2},
}  # fmt: skip
STREAMS = {
    "openai": [
        {"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": None}]},
        {"id": "c", "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {"id": "c", "model": "m", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}},
    ],
    "anthropic": [
        {"type": "message_start", "message": {"id": "c", "model": "m", "usage": {"input_tokens": 3}}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hi"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
        {"type": "message_stop"},
    ],
    "bedrock": [
        ("messageStart", {"role": "assistant"}),
        ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "hi"}}),
        ("messageStop", {"stopReason": "end_turn"}),
        ("metadata", {"usage": {"inputTokens": 3, "outputTokens": 2}, "metrics": {"latencyMs": 1}}),
    ],
    "cohere": [
        {"type": "message-start", "id": "c", "delta": {"message": {"role": "assistant"}}},
        {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "hi"}}}},
        {"type": "content-end", "index": 0},
        {
            "type": "message-end",
            "delta": {"finish_reason": "COMPLETE", "usage": {"billed_units": {"input_tokens": 3, "output_tokens": 2}}},
        },
    ],
    "google": [
        {"modelVersion": "m", "candidates": [{"content": {"parts": [{"text": "h"}]}}]},
        {"candidates": [{"content": {"parts": [{"text": "i"}]}, "index": 0}], "usageMetadata": {"promptTokenCount": 3}},
        {"candidates": [{"finishReason": "STOP"}], "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2}},
    ],
}
STREAMS["vertex-ai"] = STREAMS["palm"] = STREAMS["google"]
STREAMS["predibase"] = STREAMS["sagemaker"] = STREAMS["openai"]
STREAMS["oracle"] = [
    {"index": 0, "message": {"role": "ASSISTANT", "content": [{"type": "TEXT", "text": "h"}]}},
    {"index": 0, "message": {"role": "ASSISTANT", "content": [{"type": "TEXT", "text": "i"}]}},
    {"index": 0, "message": {"role": "ASSISTANT"}, "finishReason": "stop"},
    {"usage": {"promptTokens": 3, "completionTokens": 2, "totalTokens": 5}},
]
STREAMS["replicate"] = [ANSWERS["replicate"]]
BODY = {
    "model": "@slug/m", "temperature": 0.5, "max_tokens": 10, "stream": False, "user": "u",
    "messages": [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "hi"}]},
        {"role": "assistant", "content": None,
         "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "a", "content": "x"},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}],
}  # fmt: skip
#: Chats of models that know no tools.
WITHOUT_TOOLS = {"replicate"}
PLAIN = {**{name: value for name, value in BODY.items() if name != "tools"}, "messages": BODY["messages"][:2]}
#: What an account says of itself, where a call cannot be written without it.
ACCOUNT = {"oracle_compartment_id": "ocid1.compartment.oc1..c"}


def translation(provider):
    """What tells apart the chat operations that are not one piece of code with another name."""
    operation = provider.operations["chat"]
    parts = (operation.encode, operation.decode, operation.decoder, operation.fault)
    return tuple(getattr(getattr(part, "func", part), "__qualname__", part) for part in parts)


CHATTING = {name: provider for name, provider in PROVIDERS.items() if "chat" in provider.operations}
#: One provider of each translation: what is fuzzed once need not be fuzzed forty times.
DISTINCT = {translation(provider): provider for provider in CHATTING.values()}
registered = pytest.mark.parametrize("provider", PROVIDERS.values(), ids=PROVIDERS.keys())
every = pytest.mark.parametrize("provider", CHATTING.values(), ids=CHATTING.keys())
distinct = pytest.mark.parametrize("provider", DISTINCT.values(), ids=[provider.id for provider in DISTINCT.values()])
fuzz = settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow])


def chat(provider):
    return provider.operations["chat"]


def shape(provider):
    """Return whose words a provider's bodies are in."""
    return "openai" if chat(provider).passes_through else provider.id


def facts(*, stream=False, strict=True, include_usage=False):
    return CallFacts("m", stream, strict, {}, ACCOUNT, include_usage, BODY)


def body_for(provider):
    return PLAIN if provider.id in WITHOUT_TOOLS else BODY


def without_counts(told):
    """Return an answer without what it says of tokens, wherever that stands."""
    if not isinstance(told, dict):
        return told
    counts = {"usage", "usageMetadata", "metrics"}
    return {name: without_counts(value) for name, value in told.items() if name not in counts}


def names_model(provider, encoded, asked):
    """Return whether a request names the model: in its body, whatever it is called there, or in its path."""
    said = [encoded.get("model"), encoded.get("version"), *encoded.get("servingMode", {}).values()]
    return "m" in said or "m" in re.split("[/:]", chat(provider).path_for(asked))


@registered
def test_a_provider_module_has_its_test_file(provider):
    assert (TESTS / f"test_{provider.id.replace('-', '_')}.py").is_file()


@registered
def test_a_provider_writes_its_key_into_headers_and_nowhere_else(provider):
    headers = {}
    provider.authorise(Secret("the-key"), headers)
    assert any("the-key" in value for value in headers.values())
    assert all(name == name.lower() for name in [*headers, *provider.caller_headers, *provider.default_headers])


@every
def test_encoding_does_not_change_the_body(provider):
    for stream in (False, True):
        body = copy.deepcopy(body_for(provider))
        encoded = chat(provider).encode(body, facts(stream=stream))
        assert body == body_for(provider)
        assert names_model(provider, encoded, facts(stream=stream))
        orjson.dumps(encoded)


@every
def test_a_parameter_that_nobody_knows_yet_reaches_the_provider(provider):
    encoded = chat(provider).encode({**body_for(provider), "invented_tomorrow": {"x": [1]}}, facts())
    # Some providers keep what is a model's own in a member of its own.
    held = [encoded, *(value for value in encoded.values() if isinstance(value, dict))]
    assert [part["invented_tomorrow"] for part in held if "invented_tomorrow" in part] == [{"x": [1]}]


@every
def test_a_right_answer_is_decoded_named_and_counted(provider):
    decoded = chat(provider).decode(copy.deepcopy(ANSWERS[shape(provider)]), facts())
    assert decoded["choices"][0]["message"] == {"role": "assistant", "content": "hi"}
    assert list(decoded)[-1] == "provider"
    assert decoded["provider"] == provider.id
    assert chat(provider).usage(decoded) == Usage(3, 2)


@every
def test_an_answer_that_counts_nothing_has_no_usage(provider):
    told = ANSWERS[shape(provider)]
    answer = without_counts(copy.deepcopy(told))
    assert answer != told
    assert chat(provider).usage(chat(provider).decode(answer, facts())) is NO_USAGE


@every
@pytest.mark.parametrize("answer", [{}, {"choices": 1, "content": 1}, {"hello": []}, {"choices": {}, "content": {}}])
def test_a_malformed_answer_is_refused(provider, answer):
    with pytest.raises(UpstreamInvalid):
        chat(provider).decode(answer, facts())


@every
def test_a_right_stream_is_decoded_counted_and_finished(provider):
    decoder = chat(provider).decoder(facts(stream=True))
    named = [event if isinstance(event, tuple) else ("", event) for event in STREAMS[shape(provider)]]
    events = [(name, orjson.dumps(data)) for name, data in named]
    chunks = []
    for event in events[:-2]:
        chunks += decoder.feed(*event)
        assert not decoder.finished
    for event in events[-2:]:
        chunks += decoder.feed(*event)
    texts = [(orjson.loads(c)["choices"][0]["delta"].get("content") or "") for c in chunks]
    assert "".join(texts) == "hi"
    assert (decoder.finished, decoder.model, decoder.usage) == (True, "m", Usage(3, 2))


@every
def test_the_providers_own_sentence_is_found_in_its_error(provider):
    fault = chat(provider).fault(429, {"error": {"message": "slow down", "type": "rate_limit_error"}})
    assert (fault.message, fault.type) == ("slow down", "rate_limit_error")
    assert chat(provider).fault(502, None).message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False) | st.sampled_from(["", "text", "x"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["type", "text", "role", "content", "function", "name", "id", "choices", "usage", "error", "message",
             "delta", "index", "finish_reason", "tool_calls", "content_block", "stop_reason", "url", "image_url",
             "json_schema"]
        ),
        inner, max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip
OBJECTS = st.dictionaries(
    st.sampled_from(["choices", "content", "usage", "error", "message", "detail", "id", "model", "stop_reason"]), JSON
)
EVENTS = st.one_of(
    JSON,
    st.fixed_dictionaries(
        {"type": st.sampled_from(["message_start", "content_block_start", "content_block_delta", "content_block_stop",
                                  "message_delta", "message_stop", "error", "ping"])},
        optional=dict.fromkeys(("message", "content_block", "delta", "usage", "error"), JSON),
    ),
    st.fixed_dictionaries({"choices": JSON}, optional={"usage": JSON, "error": JSON, "model": JSON}),
)  # fmt: skip
PARAMETERS = [
    "messages", "system", "tools", "tool_choice", "parallel_tool_calls", "stop", "user", "metadata", "n", "thinking",
    "reasoning_effort", "response_format", "output_config", "service_tier", "stream_options", "max_tokens",
    "logit_bias", "modalities", "function_call", "functions", "logprobs", "safety_identifier", "web_search_options",
]  # fmt: skip


@distinct
@fuzz
@given(values=st.dictionaries(st.sampled_from(PARAMETERS), JSON, max_size=4), stream=st.booleans())
def test_whatever_a_caller_sends_is_encoded_or_refused_as_the_callers_fault(provider, values, stream):
    try:
        orjson.dumps(chat(provider).encode({**body_for(provider), **values}, facts(stream=stream)))
    except BadRequest as refusal:
        outcome = refusal.status
    else:
        outcome = 200
    assert outcome in {200, 400}


@distinct
@fuzz
@given(message=JSON)
def test_whatever_a_message_is_it_is_encoded_or_refused_with_a_path(provider, message):
    plain = body_for(provider)
    body = {**plain, "messages": [*plain["messages"], message]}
    path = "messages"
    try:
        orjson.dumps(chat(provider).encode(body, facts()))
    except BadRequest as refusal:
        path = refusal.path
    assert path.startswith("messages")


@distinct
@fuzz
@given(answer=OBJECTS, strict=st.booleans())
def test_whatever_a_provider_answers_is_decoded_or_refused_as_the_providers_fault(provider, answer, strict):
    operation = chat(provider)
    assert isinstance(operation.fault(500, answer).message, str)
    assert isinstance(operation.usage(answer), Usage)
    try:
        decoded = operation.decode(answer, facts(strict=strict))
    except UpstreamInvalid:
        decoded = {"provider": provider.id}
    assert decoded["provider"] == provider.id
    assert isinstance(operation.usage(decoded), Usage)
    orjson.dumps(decoded)


@distinct
@fuzz
@given(events=st.lists(EVENTS, max_size=5), strict=st.booleans(), asked=st.booleans())
def test_whatever_a_provider_streams_is_relayed_as_json_or_breaks_the_stream(provider, events, strict, asked):
    decoder = chat(provider).decoder(facts(stream=True, strict=strict, include_usage=asked))
    chunks = []
    try:
        for event in events:
            chunks += decoder.feed("", orjson.dumps(event))
    except UpstreamBroken as broken:
        assert broken.status == 502
    assert all(isinstance(orjson.loads(chunk), dict) for chunk in chunks)
