"""Ask the plan, make the attempt, tell the plan; until a result stands."""

import asyncio

from data_plane.core.exchange import Exchange
from data_plane.core.job import MAX_MODEL_CHARS, Job
from data_plane.core.types import Answer
from data_plane.pipeline.attempt import Outcome, error_answer, make_attempt
from data_plane.pipeline.authenticate import check_denied
from data_plane.pipeline.budgets import give_back, take_all
from data_plane.pipeline.deps import Deps, Relay
from data_plane.pipeline.target import UnknownProvider
from data_plane.sync.snapshot import Snapshot
from shared import wire
from shared.errors import GatewayError
from shared.routing.facts import Facts
from shared.routing.walk import Attempt, AttemptResult, Route, walk
from shared.schema.log_record import AttemptRecord


def _whom(exchange: Exchange) -> str:
    """Return whom an attempt was made at, as callers name it."""
    by = f"@{exchange.virtual_key}" if exchange.virtual_key else exchange.provider or ""
    return f"{by}/{exchange.model_served}" if exchange.model_served else by


async def _attempt(step: Attempt, job: Job, exchange: Exchange, snapshot: Snapshot, deps: Deps) -> Outcome:
    """Make one attempt and write it down; a failure becomes an outcome like any other."""
    started = deps.clock()
    exchange.begin_attempt(step.target.path)
    assert exchange.principal is not None  # noqa: S101 -- authenticated before any attempt, for the type checker
    try:
        check_denied(exchange.principal, deps.holder.denied)
        outcome = await make_attempt(step, job, exchange, snapshot, deps)
    except GatewayError as error:
        if isinstance(error, UnknownProvider) and not exchange.attempts:
            raise
        final = error.final or (job.raw is not None and job.raw.is_spent())
        outcome = Outcome(error_answer(error), AttemptResult(error.status, final=final), error)
    took = deps.clock() - started
    exchange.model_served = exchange.model_served and exchange.model_served[:MAX_MODEL_CHARS]
    exchange.decision.add(
        "attempt", step.target.path, _whom(exchange), exchange.named_by, facts={"status": outcome.result.status}
    )
    exchange.upstream_s += took
    failed = not 200 <= outcome.result.status < 300
    exchange.attempts.append(
        AttemptRecord(
            n=len(exchange.attempts),
            provider=exchange.provider or "",
            path=step.target.path,
            status=outcome.result.status,
            start_us=int((started - exchange.call.started_s) * 1e6),
            dur_ms=int(took * 1000),
            error=(outcome.error.code if outcome.error else "provider_error") if failed else None,
            model=exchange.model_served,
        )
    )
    return outcome


def _route(job: Job, exchange: Exchange, deps: Deps) -> Route:
    call = exchange.call
    return Route(
        Facts(call.path, job.metadata, job.body, call.headers), deps.draw, deps.breakers, deps.sticky,
        exchange.decision, job.retries, deps.jitter,
    )  # fmt: skip


async def drive(job: Job, exchange: Exchange, snapshot: Snapshot, deps: Deps) -> Answer:
    """Return the answer of the plan's last attempt; raises NoTarget when the plan leads nowhere."""
    steps = walk(job.plan.root, _route(job, exchange, deps))
    step = next(steps)
    while True:
        if step.wait_s:
            exchange.waited_s += step.wait_s
            await asyncio.sleep(step.wait_s)
        outcome = await _attempt(step, job, exchange, snapshot, deps)
        try:
            following = steps.send(outcome.result)
        except StopIteration as end:
            return _finish(step, outcome, exchange, deps, exhausted=end.value.exhausted)
        except BaseException:
            outcome.discard()
            raise
        outcome.discard()
        exchange.forget_answer()
        if 200 <= outcome.result.status < 300:
            take_all(exchange)
        give_back(exchange, deps.budgets)
        if following.target is not step.target:
            exchange.fallback_count += 1
        step = following


def _finish(step: Attempt, outcome: Outcome, exchange: Exchange, deps: Deps, *, exhausted: bool) -> Answer:
    answer, status = outcome.answer, outcome.result.status
    failed = not 200 <= status < 300
    if failed:
        exchange.error_class = type(outcome.error).__name__ if outcome.error else "ProviderFault"
        exchange.error_type = outcome.error.code if outcome.error else "provider_error"
    exchange.retry_count = -1 if exhausted else step.retry
    if failed and answer.frames is None:
        exchange.answer_json, exchange.answer_bytes = answer.body, len(answer.body)
    answer.headers[wire.RETRY_COUNT] = str(exchange.retry_count)
    answer.headers[wire.OPTION_INDEX] = step.target.path
    answer.headers[wire.CACHE_STATUS] = "DISABLED"
    if exchange.provider:
        answer.headers[wire.PROVIDER] = exchange.provider
    if outcome.relay is not None:
        deps.streams.add(outcome.relay)
        relay = outcome.relay
        answer.on_close = lambda: _end_stream(relay, deps)
        # Whoever was revoked while the provider was asked was on no list yet.
        if relay.is_denied(deps.holder.denied):
            relay.refuse()
    return answer


def _end_stream(relay: Relay, deps: Deps) -> None:
    deps.streams.discard(relay)
    relay.close()
