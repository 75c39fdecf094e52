"""Ask the plan, make the attempt, tell the plan; until a result stands."""

import asyncio

from data_plane.core.exchange import Exchange
from data_plane.core.job import Job
from data_plane.core.types import Answer
from data_plane.pipeline.attempt import Outcome, error_answer, make_attempt
from data_plane.pipeline.deps import Deps
from data_plane.pipeline.stream import StreamRelay
from data_plane.pipeline.target import UnknownProvider
from data_plane.sync.snapshot import Snapshot
from shared import wire
from shared.errors import GatewayError
from shared.routing.walk import Attempt, AttemptResult, walk
from shared.schema.log_record import AttemptRecord


async def _attempt(step: Attempt, job: Job, exchange: Exchange, snapshot: Snapshot, deps: Deps) -> Outcome:
    """Make one attempt and write it down; a failure becomes an outcome like any other."""
    started = deps.clock()
    exchange.target_path = step.target.path
    try:
        outcome = await make_attempt(step, job, exchange, snapshot, deps)
    except UnknownProvider:
        raise
    except GatewayError as error:
        outcome = Outcome(error_answer(error), AttemptResult(error.status, final=error.final), error)
    took = deps.clock() - started
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


async def drive(job: Job, exchange: Exchange, snapshot: Snapshot, deps: Deps) -> Answer:
    """Return the answer of the plan's last attempt."""
    steps = walk(job.plan.root, deps.draw)
    step = next(steps)
    while True:
        if step.wait_s:
            exchange.waited_s += step.wait_s
            await asyncio.sleep(step.wait_s)
        outcome = await _attempt(step, job, exchange, snapshot, deps)
        try:
            following = steps.send(outcome.result)
        except StopIteration:
            break
        outcome.discard()
        if following.target is not step.target:
            exchange.fallback_count += 1
        step = following
    return _finish(step, outcome, exchange, deps)


def _finish(step: Attempt, outcome: Outcome, exchange: Exchange, deps: Deps) -> Answer:
    answer, status = outcome.answer, outcome.result.status
    failed = not 200 <= status < 300
    if failed:
        exchange.error_class = type(outcome.error).__name__ if outcome.error else "ProviderFault"
        exchange.error_type = outcome.error.code if outcome.error else "provider_error"
    exhausted = failed and step.target.retry.attempts > 0 and status in step.target.retry.on_status_codes
    exchange.retry_count = -1 if exhausted else step.retry
    answer.headers[wire.RETRY_COUNT] = str(exchange.retry_count)
    answer.headers[wire.OPTION_INDEX] = step.target.path
    answer.headers[wire.CACHE_STATUS] = "DISABLED"
    if exchange.provider:
        answer.headers[wire.PROVIDER] = exchange.provider
    if outcome.relay is not None:
        deps.streams.add(outcome.relay)
        relay = outcome.relay
        answer.on_close = lambda: _end_stream(relay, deps)
    return answer


def _end_stream(relay: StreamRelay, deps: Deps) -> None:
    deps.streams.discard(relay)
    relay.close()
