"""One attempt: locate, encode, send, decode.  What it returns says whether the plan should go on."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import orjson

from data_plane.core.exchange import Exchange
from data_plane.core.job import Job
from data_plane.core.types import Answer, Json, UpstreamBody, UpstreamRequest
from data_plane.pipeline.deps import Deps
from data_plane.pipeline.stream import StreamRelay
from data_plane.pipeline.target import Destination, locate
from data_plane.sync.snapshot import Snapshot
from shared import wire
from shared.errors import GatewayError, UpstreamInvalid, UpstreamTimeout
from shared.logs import scrub
from shared.routing.plan import Target
from shared.routing.walk import Attempt, AttemptResult

MAX_ERROR_BYTES: Final = 1024 * 1024
MAX_FAULT_CHARS: Final = 2000
#: Headers of the provider's answer that are about its connection or its bytes, not about the answer.
_NOT_PASSED_ON: Final = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "proxy-connection", "te", "trailer", "transfer-encoding",
     "upgrade", "content-length", "content-encoding", "content-type", "date", "server", "set-cookie", "alt-svc",
     "strict-transport-security", "nel", "report-to"}
)  # fmt: skip
#: Headers that are the gateway's to set on an upstream call, whatever a caller wants forwarded.
_NEVER_FORWARDED: Final = frozenset(
    {"host", "content-length", "content-type", "transfer-encoding", "connection", "metadata-flavor",
     "x-aws-ec2-metadata-token", "x-google-metadata-request", "accept-encoding"}
)  # fmt: skip


@dataclass(slots=True)
class Outcome:
    """What came of an attempt: the answer so far, and what the plan is told."""

    answer: Answer
    result: AttemptResult
    error: GatewayError | None = None
    relay: StreamRelay | None = None

    def discard(self) -> None:
        """Drop the answer: another attempt follows."""
        if self.relay is not None:
            self.relay.close()


def error_answer(error: GatewayError) -> Answer:
    """Return the answer that tells a caller of the gateway's own refusal or failure."""
    return Answer(error.status, orjson.dumps(error.body()), {wire.GATEWAY_EXCEPTION: "true"})


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return how long the provider asks to wait, in seconds; None when it does not say or it cannot be read.

    `retry-after-ms` and `x-ms-retry-after-ms` are milliseconds and win over `retry-after` in whole seconds.
    """
    for name, unit in (("retry-after-ms", 1000.0), ("x-ms-retry-after-ms", 1000.0), ("retry-after", 1.0)):
        text = headers.get(name, "").strip()
        if text:
            try:
                value = float(text) / unit
            except ValueError:
                continue
            if 0 <= value < float("inf"):
                return value
    return None


def _request_headers(destination: Destination, target: Target, job: Job) -> dict[str, str]:
    provider, caller = destination.provider, destination.facts.headers
    headers = {"content-type": "application/json", **provider.default_headers}
    for name in provider.caller_headers:
        value = caller.get(wire.PREFIX + name) or caller.get(name)
        if value:
            headers[name] = value
    if provider.headers is not None:
        headers.update(provider.headers(destination.facts))
    forwarded = job.forward_headers if job.forward_headers is not None else target.forward_headers
    # Alone, these headers carry the caller's key to this gateway, which no provider may see.
    ours = () if wire.API_KEY in caller else ("authorization", "x-api-key")
    for name in forwarded:
        if name in caller and name not in _NEVER_FORWARDED and name not in ours and not name.startswith(wire.PREFIX):
            headers[name] = caller[name]
    if destination.credential.key is not None:
        provider.authorise(destination.credential.key, headers)
    return headers


def _upstream_request(destination: Destination, target: Target, job: Job) -> UpstreamRequest:
    operation, facts = destination.operation, destination.facts
    return UpstreamRequest(
        url=destination.base_url + operation.path,
        headers=_request_headers(destination, target, job),
        body=orjson.dumps(operation.encode(destination.body, facts)),
        stream=facts.stream,
        timeout_ms=job.timeout_ms if job.timeout_ms is not None else target.timeout_ms,
    )


def _answer_headers(upstream: Mapping[str, str]) -> dict[str, str]:
    passed = {}
    for name, value in upstream.items():
        lowered = name.lower()
        if lowered not in _NOT_PASSED_ON and not lowered.startswith(wire.PREFIX):
            passed[lowered] = value
    return passed


def _decode_object(content: bytes) -> Json | None:
    try:
        decoded: Any = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return decoded if isinstance(decoded, dict) else None


async def _failed(destination: Destination, response: UpstreamBody) -> Outcome:
    """Normalise a provider's error; its status is kept."""
    provider, status = destination.provider, response.status
    fault = destination.operation.fault(status, _decode_object(await response.read(MAX_ERROR_BYTES)))
    message = scrub(fault.message)[:MAX_FAULT_CHARS]
    body = {
        "error": {
            "message": f"{provider.id} error: {message}",
            "type": fault.type,
            "param": fault.param,
            "code": fault.code,
        },
        "provider": provider.id,
    }
    answer = Answer(status, orjson.dumps(body), _answer_headers(response.headers))
    return Outcome(answer, AttemptResult(status, retry_after_s(response.headers)))


async def _whole(destination: Destination, response: UpstreamBody, exchange: Exchange) -> Outcome:
    content = await response.read(128 * 1024 * 1024)
    decoded = _decode_object(content)
    if decoded is None:
        raise UpstreamInvalid(f"Invalid response received from {destination.provider.id}.")
    body = destination.operation.decode(decoded, destination.facts)
    exchange.usage = destination.operation.usage(body)
    served = body.get("model")
    exchange.model_served = served if isinstance(served, str) else None
    exchange.answer_body = body
    encoded = orjson.dumps(body)
    exchange.answer_json, exchange.answer_bytes = encoded, len(encoded)
    return Outcome(Answer(response.status, encoded, _answer_headers(response.headers)), AttemptResult(response.status))


async def _open(relay: StreamRelay, limit_ms: int | None, spent_s: float) -> None:
    """Wait for the first chunk within what is left of the limit: it ends with the first chunk, not with the head."""
    if limit_ms is None:
        await relay.open()
        return
    try:
        async with asyncio.timeout(max(0.0, limit_ms / 1000 - spent_s)):
            await relay.open()
    except TimeoutError:
        raise UpstreamTimeout(limit_ms) from None


async def _streamed(
    destination: Destination,
    response: UpstreamBody,
    exchange: Exchange,
    deps: Deps,
    *,
    limit_ms: int | None,
    started: float,
) -> Outcome:
    if not response.headers.get("content-type", "").startswith("text/event-stream"):
        raise UpstreamInvalid(f"Invalid response received from {destination.provider.id}: not an event stream.")
    decoder = destination.operation.decoder(destination.facts)
    relay = StreamRelay(response, decoder, exchange, deps.clock)
    await _open(relay, limit_ms, deps.clock() - started)
    answer = Answer(
        response.status, headers=_answer_headers(response.headers), content_type="text/event-stream",
        frames=relay.frames(),
    )  # fmt: skip
    return Outcome(answer, AttemptResult(response.status), relay=relay)


def _note(exchange: Exchange, destination: Destination, target: Target) -> None:
    row = destination.virtual_key
    exchange.provider = destination.provider.id
    exchange.price_source = destination.provider.price_source or destination.provider.id
    exchange.virtual_key = row.slug if row else None
    exchange.integration = row.integration if row else None
    exchange.model_served = destination.facts.model
    exchange.target_path = target.path


async def make_attempt(step: Attempt, job: Job, exchange: Exchange, snapshot: Snapshot, deps: Deps) -> Outcome:
    """Make one upstream call and return its outcome; raises GatewayError for what never got an answer."""
    assert exchange.principal is not None  # noqa: S101 -- authenticated before any attempt, for the type checker
    destination = locate(
        step.target, job, exchange.principal, snapshot, denied=deps.holder.denied,
        headers=exchange.call.headers, providers=deps.providers, trusted_hosts=deps.trusted_hosts,
    )  # fmt: skip
    _note(exchange, destination, step.target)
    call = _upstream_request(destination, step.target, job)
    started = deps.clock()
    response = await deps.client.send(call)
    kept = False
    try:
        if not 200 <= response.status < 300:
            return await _failed(destination, response)
        if not job.stream:
            return await _whole(destination, response, exchange)
        outcome = await _streamed(destination, response, exchange, deps, limit_ms=call.timeout_ms, started=started)
        kept = True
        return outcome
    finally:
        if not kept:
            response.close()
