"""The one end of every request: price it and write its record.  Synchronous, and raises nothing."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

import msgspec
import orjson
import structlog

from data_plane.core.exchange import Exchange
from data_plane.core.job import MAX_MODEL_CHARS
from data_plane.core.parts import unfold
from data_plane.core.types import NO_USAGE, Usage
from data_plane.pipeline.budgets import charge, charge_whole, give_back, priced_call
from data_plane.pipeline.counting import counted
from data_plane.pipeline.deps import Deps
from data_plane.recorder.assemble import (
    assemble_chat,
    assemble_message,
    assemble_response,
    first_answer_text,
    last_message_text,
)
from data_plane.sync.snapshot import Snapshot
from shared import wire
from shared.errors import Quarantined
from shared.logs import scrub
from shared.own_prices import PricedCall
from shared.pricing import EXTRAS, MEASURES, cost_nano
from shared.schema.log_record import CACHE_HITS, PREVIEW_CHARS, BodyState, Charged, LogRecord, PriceStatus

Json = dict[str, Any]
#: What a record keeps of a usage under its own name.
UNITS: Final = (
    "audio_input", "audio_output", "cache_read_audio", "cache_write_1h", "image_input", "image_output", *MEASURES,
    *EXTRAS,
)  # fmt: skip
MAX_BODY_BYTES: Final = 4 * 1024 * 1024
#: What an answer from the cache takes: nobody has counted for it, and there was nothing to count.
NOTHING_USED: Final = Usage()
#: The status of a realtime session, whatever became of it later.
SESSION_HELD: Final = 101
#: As much as a record keeps of what an SDK says of itself.
MAX_SDK_CHARS: Final = 128
log = structlog.get_logger(module=__name__)


def price(snapshot: Snapshot, call: PricedCall, usage: Usage) -> tuple[int | None, str | None, PriceStatus]:
    """Return (nano-dollars, price id, status) of a call; an unknown price is None and "unpriced", never 0."""
    if usage.source == "none":
        return None, None, "unpriced" if call.source else "none"
    try:
        found = snapshot.own_prices.find(call)
    except Quarantined:
        # What the integration pays was said, and cannot be read: the list price would be a guess.
        return None, None, "unpriced"
    if found is None:
        return None, None, "unpriced" if call.source else "none"
    row, price_id, is_own = found
    if row is None:
        return None, price_id, "unpriced"
    if row.free:
        return 0, price_id, "free"
    cost = cost_nano(row, usage)
    if cost is None:
        return None, price_id, "unpriced"
    return cost, price_id, "override" if is_own else "priced"


class Paid(NamedTuple):
    """What an exchange cost or saved (nano-dollars), by which price, and what its budgets were charged in this run."""

    cost: int | None = None
    price_id: str | None = None
    status: PriceStatus = "none"
    boot: str = ""
    charges: tuple[Charged, ...] = ()
    saved: int = 0


def _is_answered(exchange: Exchange) -> bool:
    return bool(exchange.attempts) and (200 <= exchange.status < 300 or exchange.status == SESSION_HELD)


def _pay(exchange: Exchange, snapshot: Snapshot, deps: Deps) -> Paid:
    answered = _is_answered(exchange)
    cost, price_id, status = (
        price(snapshot, priced_call(exchange), exchange.usage) if answered else (None, None, "none")
    )
    charges = charge(exchange, snapshot, deps.budgets, cost, answered=answered)
    return Paid(cost, price_id, status, deps.boot, charges)


def _pay_hit(exchange: Exchange, snapshot: Snapshot, deps: Deps) -> Paid:
    """Book an answer from the cache: a request that used and cost nothing, and what the provider would have cost."""
    would_cost, price_id, _ = price(snapshot, priced_call(exchange), exchange.usage)
    exchange.usage = NOTHING_USED
    charges = charge(exchange, snapshot, deps.budgets, 0, answered=True)
    return Paid(0, price_id, "cached", deps.boot, charges, would_cost or 0)


def _units(usage: Usage) -> dict[str, int]:
    """Return what was used beside the tokens that a record has columns for."""
    return {name: count for name in UNITS if (count := getattr(usage, name))}


def _counts(usage: Usage) -> bool:
    return bool(usage.input or usage.output) or any(getattr(usage, name) for name in (*MEASURES, *EXTRAS))


def _preview(text: str) -> str | None:
    """Return the beginning of a text without anything that looks like a key.

    More is scrubbed than is kept, so that a key which the cut would halve is still recognised.
    """
    return scrub(text[: 3 * PREVIEW_CHARS])[:PREVIEW_CHARS] or None


def _asked_text(body: Json, size: int) -> str:
    # Messages that were too large to decode once are too large to decode for a few words of them.
    if size > MAX_BODY_BYTES and isinstance(body.get("messages"), msgspec.Raw):
        return ""
    try:
        return last_message_text(unfold(body))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return ""


#: How the pieces of a streamed answer are put together, where it is not a chat's.
_ASSEMBLE: Final[Mapping[str, Callable[[Sequence[bytes]], Json | None]]] = {
    "messages": assemble_message,
    "responses": assemble_response,
}


def _completion(exchange: Exchange) -> Json | None:
    if exchange.answer_body is not None:
        return exchange.answer_body
    if not exchange.answer_chunks:
        return None
    assemble = _ASSEMBLE.get(exchange.job.operation if exchange.job else "", assemble_chat)
    return assemble(exchange.answer_chunks)


def _payload(exchange: Exchange, completion: Json | None) -> Json:
    """Return the bodies of a request as JSON text: as it came where it can be, so that nothing is encoded twice."""
    principal = exchange.principal
    answered = exchange.answer_json or (orjson.dumps(completion) if completion is not None else None)
    return {
        "id": exchange.id,
        "ts_us": exchange.call.received_us,
        "org": principal.org.id if principal else "",
        "ws": principal.ws.id if principal else "",
        "request": (exchange.call.body or None) if exchange.job else None,
        "response": answered,
    }


def _source(usage: Usage) -> Literal["provider", "estimated", "none"]:
    return "provider" if usage.source == "provider" else "estimated" if usage.source == "estimated" else "none"


def _own_us(exchange: Exchange, latency_s: float) -> int:
    """Return the microseconds that the gateway itself took: not those of providers, nor pauses before retries.

    A stream counts up to its first chunk: what follows is the provider's pace.
    """
    first = exchange.first_byte_s
    until_s = latency_s if first is None else first - exchange.call.started_s
    return max(0, int((until_s - exchange.upstream_s - exchange.waited_s) * 1e6))


def build_record(
    exchange: Exchange,
    *,
    ended_s: float,
    gateway: str,
    texts: tuple[str | None, str | None],
    body: tuple[BodyState, int],
    paid: Paid,
) -> LogRecord:
    """Return the record of a finished exchange; `texts` are previews, `body` what becomes of the bodies."""
    call, job, principal, usage = exchange.call, exchange.job, exchange.principal, exchange.usage
    assert principal is not None  # noqa: S101 -- the caller checks; tells the type checker
    latency_s = ended_s - call.started_s
    ttft = exchange.first_byte_s
    headers = call.headers
    return LogRecord(
        id=exchange.id, ts_us=call.received_us, org=principal.org.id, ws=principal.ws.id,
        endpoint=job.operation if job else call.endpoint, status=exchange.status, api_key=principal.key.id or None,
        user_ref=job.metadata.get("_user") if job else None, gateway=gateway, bundle=exchange.bundle,
        method=call.method, url=call.path, provider=exchange.provider, virtual_key=exchange.virtual_key,
        integration=exchange.integration, model_requested=(job.model or None) if job else None,
        model_served=exchange.model_served and exchange.model_served[:MAX_MODEL_CHARS],
        stream=(job.stream if job else False) or exchange.is_streamed,
        error_class=exchange.error_class, error_type=exchange.error_type,
        tok_in=usage.input, tok_in_cache_read=usage.cache_read, tok_in_cache_write=usage.cache_write,
        tok_out=usage.output, tok_out_reasoning=usage.reasoning, usage_source=_source(usage),
        units=_units(usage),
        cost_nano=paid.cost, saved_nano=paid.saved, price_id=paid.price_id, price_status=paid.status,
        boot=paid.boot if paid.charges else "", charges=paid.charges,
        lat_ms=int(latency_s * 1000), ttft_ms=None if ttft is None else int((ttft - call.started_s) * 1000),
        upstream_ms=int(exchange.upstream_s * 1000),
        gw_us=_own_us(exchange, latency_s),
        phases_us=exchange.phases_us,
        mode=job.plan.mode if job else "single", config=job.plan.slug if job else None,
        config_version=job.plan.version if job else None, target_path=exchange.target_path,
        decision=tuple(exchange.decision.steps), attempts=tuple(exchange.attempts),
        cache_status=exchange.cache_status,
        retry_n=max(0, len(exchange.attempts) - 1 - exchange.fallback_count),
        fallback_n=exchange.fallback_count,
        trace_id=exchange.trace.trace_id, span_id=exchange.trace.span_id,
        parent_span_id=exchange.trace.parent_span_id, span_name=exchange.trace.span_name,
        in_preview=texts[0], out_preview=texts[1], body_state=body[0], body_bytes=body[1],
        metadata=dict(job.metadata) if job else {}, sdk=headers.get(wire.PACKAGE_VERSION, "")[:MAX_SDK_CHARS] or None,
        runtime=" ".join(filter(None, map(headers.get, (wire.RUNTIME, wire.RUNTIME_VERSION))))[:MAX_SDK_CHARS] or None,
    )  # fmt: skip


def _write(exchange: Exchange, snapshot: Snapshot, deps: Deps) -> None:
    principal, job = exchange.principal, exchange.job
    if principal is None:
        return
    if exchange.usage.source == "provider" and not _counts(exchange.usage):
        # A provider that counted nothing has not counted: no call is without tokens.
        exchange.usage = NO_USAGE
    if exchange.usage.source == "none":
        exchange.usage = counted(exchange, _completion(exchange))
    # No provider was asked, so there may be no attempt.
    is_hit = exchange.cache_status in CACHE_HITS and 200 <= exchange.status < 300
    paid = (_pay_hit if is_hit else _pay)(exchange, snapshot, deps)
    if exchange.limits:
        deps.admission.spent(exchange.limits, exchange.usage.input + exchange.usage.output)
    policy = principal.ws.payload if job is None or job.keep_bodies else "metrics"
    size = len(exchange.call.body) + exchange.answer_bytes
    texts: tuple[str | None, str | None] = (None, None)
    state: BodyState = "none" if policy == "metrics" else "dropped"
    shipped = kept = None
    if policy != "metrics" and job is not None:
        completion = _completion(exchange)
        texts = (
            _preview(_asked_text(job.body, size)),
            _preview(first_answer_text(completion)) if completion else None,
        )
        if size <= MAX_BODY_BYTES and not exchange.is_cut:
            payload = _payload(exchange, completion)
            shipped, kept = (payload, None) if policy == "full" else (None, payload)
            state = "stored" if policy == "full" else "gateway"
    record = build_record(
        exchange, ended_s=deps.clock(), gateway=deps.gateway, texts=texts, body=(state, size), paid=paid
    )
    deps.recorder.record(record, shipped, kept, size if shipped or kept else 0)


def settle(exchange: Exchange, snapshot: Snapshot | None, deps: Deps) -> None:
    """Write the record of a finished request; a request without a known caller has none."""
    try:
        if snapshot is not None:
            _write(exchange, snapshot, deps)
    except Exception:
        log.exception("settle_failed", id=exchange.id)
        charge_whole(exchange, deps.budgets, answered=_is_answered(exchange))
    finally:
        # What was charged is no longer held; this is for a request that got no record.
        give_back(exchange, deps.budgets)
        deps.kept.give_back(exchange.kept_bytes)
        exchange.kept_bytes = 0


def now_us() -> int:
    """Return the wall time in Unix microseconds."""
    return time.time_ns() // 1000
