"""What a provider that speaks OpenAI's API is held to: address, key, bodies both ways, stream, price list."""

from email.parser import BytesParser as Parser

import orjson

from data_plane.core.form import FormFile
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
    "speech": "/audio/speech", "responses": "/responses", "rerank": "/rerank", "moderate": "/moderations", "ocr": "/ocr",
    "transcribe": "/audio/transcriptions", "translate": "/audio/translations", "edit_image": "/images/edits",
    "vary_image": "/images/variations",
}  # fmt: skip
BODIES = {
    "chat": {"messages": [{"role": "user", "content": "hi"}], "top_k": 5}, "complete": {"prompt": "hi"}, "embed": {"input": "hi"},
    "image": {"prompt": "a cat"}, "speech": {"input": "hi", "voice": "x"}, "responses": {"input": "hi"},
    "rerank": {"query": "hi", "documents": ["a", "b"]}, "moderate": {"input": "hi"}, "ocr": {"document": {"type": "document_url"}},
    "transcribe": {"file": FormFile("a.mp3", "audio/mpeg", b"\x00\xff"), "temperature": "0"},
    "translate": {"file": FormFile("a.mp3", "audio/mpeg", b"\x00\xff")},
    "edit_image": {"prompt": "a hat", "image[]": [FormFile("1.png", "image/png", b"1"), FormFile("2.png", "", b"2")]},
    "vary_image": {"image": FormFile("1.png", "image/png", b"1")}, "realtime": {},
}  # fmt: skip
ANSWERS = {
    "chat": {"choices": [{"index": 0, "message": {"role": "assistant", "content": "ho"}}]},
    "complete": {"choices": [{"text": "ho"}]},
    "embed": {"data": [{"embedding": [0.1]}]},
    "image": {"data": [{"url": "https://x.example/1.png"}]},
    "responses": {"output": []},
    "rerank": {"results": [{"index": 1, "relevance_score": 0.5}]},
    "moderate": {"results": []},
    "ocr": {"pages": []},
    "transcribe": {"text": "ho"},
    "translate": {"text": "ho"},
    "edit_image": {"data": [{"b64_json": "aa"}]},
    "vary_image": {"data": [{"b64_json": "aa"}]},
}
IMAGES = {"image", "edit_image", "vary_image"}  # fmt: skip
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


def holds(request, body):
    """Fail unless the request's body is `body`: as a form when there is a file in it, else as JSON."""
    if not any(
        isinstance(item, FormFile)
        for value in body.values()
        for item in ([value] if not isinstance(value, list) else value)
    ):
        assert orjson.loads(request.body) == body
        return
    told = Parser().parsebytes(
        b"content-type: " + request.headers["content-type"].encode() + b"\r\n\r\n" + b"".join(request.body)
    )
    assert told.get_content_type() == "multipart/form-data"
    sent_fields = [
        (part.get_param("name", header="content-disposition"), part.get_filename(), part.get_payload(decode=True))
        for part in told.get_payload()
    ]
    meant = [(name, item) for name, value in body.items() for item in (value if isinstance(value, list) else [value])]
    assert sorted(sent_fields, key=str) == sorted(
        (
            (name, item.name, item.content) if isinstance(item, FormFile) else (name, None, item.encode())
            for name, item in meant
        ),
        key=str,
    )


def opens_sessions(provider, base_url):
    """Fail unless the provider's realtime sessions are opened as OpenAI's are."""
    request = sent(provider, "realtime")
    assert (request.method, request.url, request.body) == ("GET", f"{base_url}/realtime?model=m", b"")
    assert request.headers["authorization"] == "Bearer the-key"


def speaks_openai(provider_id, base_url, *operations, own=()):
    """Fail unless the provider does exactly `operations`, at `base_url`, as OpenAI does them."""
    provider = load_providers()[provider_id]
    assert (provider.base_url, set(provider.operations)) == (base_url, {*operations, *own})
    for name in operations:
        if name == "realtime":
            opens_sessions(provider, base_url)
            continue
        request = sent(provider, name)
        assert request.url == base_url + PATHS[name]
        assert request.headers["authorization"] == "Bearer the-key"
        holds(request, {"model": "m", **BODIES[name]})
        if name != "speech":
            answer = provider.operations[name].decode(
                {**ANSWERS[name], "usage": USAGE}, CallFacts("m", False, True, {}, {})
            )
            # Ranking writes nothing, whatever a host says.
            counted = Usage(3, 0 if name == "rerank" else 2, images=1 if name in IMAGES else 0)
            assert (answer["provider"], provider.operations[name].usage(answer)) == (provider_id, counted)
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
