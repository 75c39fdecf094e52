"""One attempt: locate, encode, send, decode.  What it returns says whether the plan should go on."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import msgspec
import orjson

from data_plane.core.exchange import Exchange
from data_plane.core.identity import IdentityAsk
from data_plane.core.job import Job
from data_plane.core.parts import unfolded
from data_plane.core.types import Answer, CallFacts, Json, UpstreamBody, UpstreamRequest
from data_plane.pipeline.answer_headers import answer_headers
from data_plane.pipeline.budgets import set_aside, top_up
from data_plane.pipeline.bulk.hosted import HostedRun, run_hosted
from data_plane.pipeline.bulk.route import Route, find_route
from data_plane.pipeline.bulk.run import Run, call_facts, check_identity_bound, run_bulk
from data_plane.pipeline.bulk.wire import ProviderRefused
from data_plane.pipeline.deps import Deps, Relay
from data_plane.pipeline.encode import upstream_request
from data_plane.pipeline.forward import RawRelay, path_below
from data_plane.pipeline.identity import with_identity
from data_plane.pipeline.rates import admit
from data_plane.pipeline.session import Session
from data_plane.pipeline.stream import StreamRelay
from data_plane.pipeline.target import Destination, check_model, locate
from data_plane.providers._bulk import Bulk
from data_plane.providers.base import Operation, ProviderFault
from data_plane.sync.snapshot import Snapshot
from data_plane.upstream.sockets import RefusedUpgrade
from shared import wire
from shared.errors import Forbidden, GatewayError, UpstreamInvalid, UpstreamTimeout
from shared.logs import scrub
from shared.pricing import tier_named
from shared.routing.plan import Target
from shared.routing.walk import Attempt, AttemptResult

MAX_ANSWER_BYTES: Final = 128 * 1024 * 1024
MAX_ERROR_BYTES: Final = 1024 * 1024
MAX_FAULT_CHARS: Final = 2000


@dataclass(slots=True)
class Outcome:
    """What came of an attempt: the answer so far, and what the plan is told."""

    answer: Answer
    result: AttemptResult
    error: GatewayError | None = None
    relay: Relay | None = None

    def discard(self) -> None:
        """Drop the answer: another attempt follows."""
        if self.relay is not None:
            self.relay.close()


def error_answer(error: GatewayError) -> Answer:
    """Return the answer that tells a caller of the gateway's own refusal or failure."""
    return Answer(error.status, orjson.dumps(error.body()), {wire.GATEWAY_EXCEPTION: "true", **error.headers()})


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


def _decode_object(content: bytes) -> Json | None:
    try:
        decoded: Any = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    if isinstance(decoded, list) and len(decoded) == 1:
        # Google's OpenAI-like endpoints put an error into an array.
        decoded = decoded[0]
    return decoded if isinstance(decoded, dict) else None


async def _failed(destination: Destination, operation: Operation, response: UpstreamBody) -> Outcome:
    """Normalise a provider's error; its status is kept."""
    status = response.status
    fault = operation.fault(status, _decode_object(await response.read(MAX_ERROR_BYTES)))
    body = _fault_body(destination.provider.id, fault)
    answer = Answer(status, orjson.dumps(body), answer_headers(response.headers))
    return Outcome(answer, AttemptResult(status, retry_after_s(response.headers)))


def _fault_body(provider: str, fault: ProviderFault) -> Json:
    message = f"{provider} error: {scrub(fault.message)[:MAX_FAULT_CHARS]}"
    error = {"message": message, "type": fault.type, "param": fault.param, "code": fault.code}
    return {"error": error, "provider": provider}


async def _whole(destination: Destination, operation: Operation, response: UpstreamBody, exchange: Exchange) -> Outcome:
    content = await response.read(MAX_ANSWER_BYTES)
    body = _body_of_answer(destination, operation, content, response.headers)
    exchange.usage = operation.usage(body)
    if operation.usage_of_headers is not None and exchange.usage.source == "none":
        exchange.usage = operation.usage_of_headers(response.headers)
    served = body.get("model")
    if isinstance(served, str):
        exchange.model_served = served
    exchange.answer_body = body
    try:
        encoded = orjson.dumps(body)
    except TypeError:
        raise UpstreamInvalid(f"Invalid response received from {destination.provider.id}.") from None
    exchange.answer_json, exchange.answer_bytes = encoded, len(encoded)
    return Outcome(Answer(response.status, encoded, answer_headers(response.headers)), AttemptResult(response.status))


def _body_of_answer(destination: Destination, operation: Operation, content: bytes, headers: Mapping[str, str]) -> Json:
    """Return an answer in OpenAI's shape; raises UpstreamInvalid for what is none."""
    kind = headers.get("content-type", "")
    if operation.decode_binary is not None and not _is_json(kind):
        return operation.decode_binary(content, kind, destination.facts)
    decoded = _decode_object(content)
    if decoded is None:
        if operation.decode_binary is not None:
            # An array is JSON, and no object.
            return operation.decode_binary(content, kind, destination.facts)
        raise UpstreamInvalid(f"Invalid response received from {destination.provider.id}.")
    return operation.decode(decoded, destination.facts)


def _is_json(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind in {"application/json", ""} or kind.endswith("+json")


def _is_recorded(exchange: Exchange) -> bool:
    principal, job = exchange.principal, exchange.job
    return principal is not None and principal.ws.payload != "metrics" and (job is None or job.keep_bodies)


@dataclass(frozen=True, slots=True)
class _Left:
    """What is left of an attempt's limit: it ends with the first chunk, not with the head."""

    limit_ms: int | None
    started_s: float
    clock: Callable[[], float]

    async def open(self, relay: StreamRelay) -> None:
        """Wait for the first chunk; raises UpstreamTimeout."""
        if self.limit_ms is None:
            await relay.open()
            return
        try:
            async with asyncio.timeout(max(0.0, self.limit_ms / 1000 - (self.clock() - self.started_s))):
                await relay.open()
        except TimeoutError:
            raise UpstreamTimeout(self.limit_ms) from None


def _answered_here(local: Callable[[Json, CallFacts], Json], destination: Destination, exchange: Exchange) -> Outcome:
    body = local(unfolded(destination.body), destination.facts)
    exchange.answer_body, exchange.answer_json = body, orjson.dumps(body)
    exchange.answer_bytes = len(exchange.answer_json)
    return Outcome(Answer(200, exchange.answer_json), AttemptResult(200))


async def _streamed(
    destination: Destination,
    operation: Operation,
    response: UpstreamBody,
    exchange: Exchange,
    deps: Deps,
    *,
    left: _Left,
) -> Outcome:
    if not response.headers.get("content-type", "").lower().startswith(operation.framing.content_type):
        raise UpstreamInvalid(f"Invalid response received from {destination.provider.id}: not an event stream.")
    relay = StreamRelay(
        response, operation.decoder(destination.facts), exchange, deps.clock, framing=operation.framing,
        kept=deps.kept if _is_recorded(exchange) else None,
    )  # fmt: skip
    await left.open(relay)
    answer = Answer(
        response.status, headers=answer_headers(response.headers), content_type="text/event-stream",
        frames=relay.frames(),
    )  # fmt: skip
    return Outcome(answer, AttemptResult(response.status), relay=relay)


def _note(exchange: Exchange, destination: Destination, target: Target) -> None:
    row = destination.virtual_key
    exchange.provider = destination.provider.id
    exchange.named_by = destination.named_by
    exchange.price_source = destination.provider.price_source or destination.provider.id
    exchange.virtual_key, exchange.credential_id = (row.slug, row.uid) if row else (None, "")
    exchange.integration = row.integration if row else None
    exchange.model_sent = exchange.model_served = destination.facts.model or None
    exchange.tier_asked = tier_named(destination.body.get("service_tier"))
    exchange.target_path = target.path


def _relayed(
    destination: Destination, response: UpstreamBody, exchange: Exchange, deps: Deps, *, final: bool
) -> Outcome:
    """Relay an answer as it comes; `final`: the request cannot be made again."""
    operation = destination.operation or _operation_at(destination, exchange)
    relay = RawRelay(response, exchange, deps.clock, operation=operation, facts=destination.facts)
    return Outcome(
        relay.answer(), AttemptResult(response.status, retry_after_s(response.headers), final=final), relay=relay
    )


def _operation_at(destination: Destination, exchange: Exchange) -> Operation | None:
    """Return the operation whose path a forwarded call has, so that its tokens are counted."""
    base_url, facts = destination.base_url, destination.facts
    url = base_url + path_below(exchange.call.target)
    operations = destination.provider.operations.values()
    return next((item for item in operations if item.passes_through and item.url_for(base_url, facts) == url), None)


async def _decoded(
    destination: Destination, response: UpstreamBody, exchange: Exchange, deps: Deps, *, left: _Left
) -> Outcome:
    operation = destination.operation
    assert operation is not None  # noqa: S101 -- the caller looked, for the type checker
    if not 200 <= response.status < 300:
        return await _failed(destination, operation, response)
    if operation.binary or (
        operation.text_too and not destination.facts.stream and not _is_json(response.headers.get("content-type", ""))
    ):
        return _relayed(destination, response, exchange, deps, final=False)
    if not destination.facts.stream:
        return await _whole(destination, operation, response, exchange)
    return await _streamed(destination, operation, response, exchange, deps, left=left)


async def _opened(
    destination: Destination, operation: Operation, call: UpstreamRequest, exchange: Exchange, deps: Deps
) -> Outcome:
    """Open a realtime session; a provider's refusal is an answer like any other error of its."""
    row = destination.virtual_key
    if row is not None and row.limits_models and not _names_model(call.url):
        raise Forbidden(f"The provider @{row.slug} allows certain models only, and this session names none.")
    provider = await deps.sockets.connect(call)
    if isinstance(provider, RefusedUpgrade):
        if provider.status < 400:
            # A redirect among them: a client that followed it would take the caller's key along.
            raise UpstreamInvalid(f"Invalid response received from {destination.provider.id}: not a WebSocket.")
        return await _failed(destination, operation, provider)
    exchange.is_streamed = True
    session = Session(
        provider, destination, exchange, cover=lambda: top_up(exchange, destination, deps.holder, deps.budgets),
        limits=deps.session_limits, clock=deps.clock,
    )  # fmt: skip
    current = deps.holder.current
    if current is not None and session.is_orphan(current):
        session.refuse()
    # To the plan this is a success; what the caller sees is a change of protocols.
    return Outcome(Answer(101, conversation=session), AttemptResult(200), relay=session)


def _names_model(url: str) -> bool:
    return not parse_qs(urlsplit(url).query).keys().isdisjoint({"model", "deployment"})


async def _with_token(destination: Destination, deps: Deps) -> Destination:
    """Return the destination with a token in the place of a credential that is changed for one."""
    provider, credential = destination.provider, destination.credential
    ask = provider.token(credential.key, destination.facts) if provider.token is not None else None
    if ask is None:
        return destination
    if isinstance(ask, IdentityAsk):
        return await with_identity(ask, destination, deps)
    return replace(destination, credential=replace(credential, key=await deps.tokens.get(ask)))


async def _in_bulk(
    route: Route, destination: Destination, target: Target, job: Job, exchange: Exchange, *, deps: Deps
) -> Outcome:
    """Do what a call asks of a provider's files, batches or fine-tuning jobs; nothing else is tried after it."""
    bulk = destination.provider.bulk
    assert bulk is not None  # noqa: S101 -- the caller looked, for the type checker
    try:
        if isinstance(bulk, Bulk):
            check_identity_bound(destination, bulk)
        destination = await _with_token(destination, deps)
        timeout_ms = job.timeout_ms if job.timeout_ms is not None else target.timeout_ms
        facts = call_facts(destination, target, job)
        if isinstance(bulk, Bulk):
            done = await run_bulk(Run(route, destination, facts, bulk, job, exchange, deps, timeout_ms))
        else:
            done = await run_hosted(HostedRun(route, destination, facts, bulk, job, exchange, deps, timeout_ms))
    except ProviderRefused as refused:
        body = orjson.dumps(_fault_body(destination.provider.id, refused.fault))
        return Outcome(Answer(refused.status, body), AttemptResult(refused.status, final=True))
    except GatewayError as error:
        return Outcome(error_answer(error), AttemptResult(error.status, final=True), error)
    return Outcome(done.answer, AttemptResult(done.answer.status, final=True), relay=done.relay)


async def make_attempt(step: Attempt, job: Job, exchange: Exchange, snapshot: Snapshot, deps: Deps) -> Outcome:
    """Make one upstream call and return its outcome; raises GatewayError for what never got an answer."""
    assert exchange.principal is not None  # noqa: S101 -- authenticated before any attempt, for the type checker
    route = find_route(job.raw.method, job.raw.target) if job.raw is not None and job.raw.target else None
    destination = locate(
        step.target, job, exchange.principal, snapshot, denied=deps.holder.denied,
        headers=exchange.call.headers, providers=deps.providers, trusted_hosts=deps.trusted_hosts,
        any_model=route is not None,
    )  # fmt: skip
    _note(exchange, destination, step.target)
    in_bulk = route is not None and destination.provider.bulk is not None
    await set_aside(exchange, destination, job, snapshot, deps.budgets, in_bulk=in_bulk)
    await admit(exchange, destination, job, snapshot.rate_policies_of(exchange.principal.ws), deps.admission)
    if route is not None and destination.provider.bulk is not None:
        return await _in_bulk(route, destination, step.target, job, exchange, deps=deps)
    if route is not None:
        # Only who translates such a call can tell its model otherwise than by its body.
        check_model(destination.facts.model, destination.virtual_key, job, exchange.principal.key.models)
    if destination.operation is not None and destination.operation.local is not None:
        return _answered_here(destination.operation.local, destination, exchange)
    destination = await _with_token(destination, deps)
    call = upstream_request(destination, step.target, job, exchange.trace, deps.propagates)
    if destination.operation is not None and destination.operation.is_socket:
        return await _opened(destination, destination.operation, call, exchange, deps)
    left = _Left(call.timeout_ms, deps.clock(), deps.clock)
    response = await deps.client.send(call)
    outcome: Outcome | None = None
    try:
        if job.raw is not None:
            outcome = _relayed(destination, response, exchange, deps, final=job.raw.upload is not None)
        else:
            outcome = await _decoded(destination, response, exchange, deps, left=left)
        return outcome
    finally:
        if outcome is None or outcome.relay is None:
            response.close()
