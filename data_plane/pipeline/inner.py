"""Calls that the gateway makes for a caller who waits on no connection: answered, settled and recorded alike."""

import contextlib
from collections.abc import AsyncIterator, Mapping

from data_plane.core.exchange import Call, Exchange
from data_plane.core.types import Answer
from data_plane.pipeline.answer import Identify, answer, refuse
from data_plane.pipeline.authenticate import authenticate
from data_plane.pipeline.deps import Deps
from data_plane.pipeline.settle import now_us, settle
from shared import wire
from shared.errors import GatewayError
from shared.ids import uuid7
from shared.metadata import read_metadata
from shared.routing.decision import DecisionTrace
from shared.trace import read_trace


def inner_call(
    endpoint: str, target: str, headers: Mapping[str, str], started_s: float, *, method: str = "POST", body: bytes = b""
) -> Call:
    """Return a call as if it had come in at `target`, path and query; `headers` have lower-case names."""
    path = target.partition("?")[0]
    return Call(endpoint, method, path, headers, body, now_us(), started_s, target)


@contextlib.asynccontextmanager
async def answered(call: Call, deps: Deps, identify: Identify = authenticate) -> AsyncIterator[tuple[Answer, Exchange]]:
    """Answer a call and yield (answer, exchange); its record is written when the block is left.

    A refusal of the gateway's is an answer like any other.  `identify` says who calls.
    """
    sent = call.headers.get(wire.METADATA)
    trace = read_trace(call.headers, read_metadata(sent) if sent else None, f"{call.method} {call.path}")
    exchange = Exchange(str(uuid7()), call, trace, DecisionTrace(deps.clock))
    result: Answer | None = None
    try:
        try:
            result = await answer(exchange, deps, identify)
        except GatewayError as error:
            result = refuse(exchange, error)
        exchange.status = result.status
        yield result, exchange
    finally:
        if result is not None and result.on_close is not None:
            result.on_close()
        settle(exchange, deps.holder.current, deps)


async def whole_body(answer: Answer) -> bytes:
    """Return the body of an answer; raises GatewayError when it breaks off."""
    if answer.frames is None:
        return answer.body
    return b"".join([piece async for piece in answer.frames])
