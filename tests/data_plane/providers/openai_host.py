"""What a provider that speaks OpenAI's API is held to: address, key, bodies both ways, stream, price list."""

import orjson

from data_plane.core.job import Choice, Job
from data_plane.core.types import CallFacts, Credential, Usage
from data_plane.pipeline.encode import upstream_request
from data_plane.pipeline.target import Destination
from data_plane.providers.registry import load_providers
from shared.redact import Secret
from shared.routing.plan import DEFAULT_PLAN, Target
from shared.trace import Trace

PATHS = {
    "chat": "/chat/completions", "complete": "/completions", "embed": "/embeddings", "image": "/images/generations",
    "speech": "/audio/speech", "responses": "/responses",
}  # fmt: skip
BODIES = {
    "chat": {"messages": [{"role": "user", "content": "hi"}], "top_k": 5}, "complete": {"prompt": "hi"}, "embed": {"input": "hi"},
    "image": {"prompt": "a cat"}, "speech": {"input": "hi", "voice": "x"}, "responses": {"input": "hi"},
}  # fmt: skip
ANSWERS = {
    "chat": {"choices": [{"index": 0, "message": {"role": "assistant", "content": "ho"}}]}, "complete": {"choices": [{"text": "ho"}]},
    "embed": {"data": [{"embedding": [0.1]}]}, "image": {"data": [{"url": "https://x.example/1.png"}]},
    "responses": {"output": []},
}  # fmt: skip
USAGE = {"prompt_tokens": 3, "completion_tokens": 2}


def sent(provider, operation, *, stream=False):
    """Return the request of one call, with a credential."""
    body = {"model": "@slug/m", **BODIES[operation], **({"stream": True} if stream else {})}
    job = Job(operation, DEFAULT_PLAN, body, "@slug/m", stream, Choice())
    facts = CallFacts("m", stream, True, {}, {})
    place = Destination(
        provider, provider.operations[operation], Credential(Secret("the-key")), provider.base_url, body, facts, None
    )
    return upstream_request(place, Target("config"), job, Trace("t", "s", None, None), frozenset())


def speaks_openai(provider_id, base_url, *operations):
    """Fail unless the provider does exactly `operations`, at `base_url`, as OpenAI does them."""
    provider = load_providers()[provider_id]
    assert (provider.base_url, set(provider.operations)) == (base_url, set(operations))
    for name in operations:
        request = sent(provider, name)
        assert request.url == base_url + PATHS[name]
        assert request.headers["authorization"] == "Bearer the-key"
        assert orjson.loads(request.body) == {"model": "m", **BODIES[name]}
        if name != "speech":
            answer = provider.operations[name].decode(
                {**ANSWERS[name], "usage": USAGE}, CallFacts("m", False, True, {}, {})
            )
            assert (answer["provider"], provider.operations[name].usage(answer)) == (provider_id, Usage(3, 2))
    assert orjson.loads(sent(provider, "chat", stream=True).body)["stream"] is True
    decoder = provider.operations["chat"].decoder(CallFacts("m", True, True, {}, {}, include_usage=True))
    chunks = [
        {"model": "m-1", "choices": [{"index": 0, "delta": {"content": "ho"}, "finish_reason": "stop"}]},
        {"model": "m-1", "choices": [], "usage": USAGE},
    ]
    relayed = [orjson.loads(out) for chunk in chunks for out in decoder.feed("", orjson.dumps(chunk))]
    decoder.feed("", b"[DONE]")
    assert [chunk["choices"] for chunk in relayed] == [chunk["choices"] for chunk in chunks]
    assert (decoder.finished, decoder.usage, decoder.model) == (True, Usage(3, 2), "m-1")
