"""Authenticate, resolve, drive: in that order and nowhere else."""

from collections.abc import Callable

from data_plane.core.exchange import Call, Exchange
from data_plane.core.job import Principal
from data_plane.core.types import Answer
from data_plane.pipeline.attempt import error_answer
from data_plane.pipeline.authenticate import REQUIRED_SCOPE, UnknownKey, authenticate, require_scope
from data_plane.pipeline.deps import Deps
from data_plane.pipeline.drive import drive
from data_plane.pipeline.plans import UnknownConfig
from data_plane.pipeline.resolve import resolve
from data_plane.pipeline.signed_token import UnknownTokenKey
from data_plane.pipeline.target import UnknownProvider
from data_plane.sync.snapshot import Snapshot
from shared.errors import GatewayError, NotReady

#: What a snapshot may lack only because it is a moment old.
_PERHAPS_NEWER = (UnknownKey, UnknownTokenKey, UnknownConfig, UnknownProvider)


#: Says who makes a call, as `authenticate` does.
Identify = Callable[[Call, Snapshot, frozenset[str]], Principal]


async def _answer(exchange: Exchange, snapshot: Snapshot, deps: Deps, identify: Identify) -> Answer:
    call = exchange.call
    exchange.bundle = snapshot.name
    exchange.principal = identify(call, snapshot, deps.holder.denied)
    require_scope(exchange.principal, REQUIRED_SCOPE)
    exchange.job = resolve(call, exchange.principal, snapshot, deps.memo, rules=deps.rules, trace=exchange.decision)
    return await drive(exchange.job, exchange, snapshot, deps)


async def answer(exchange: Exchange, deps: Deps, identify: Identify = authenticate) -> Answer:
    """Return the answer of one call, whatever it is; the configuration is one snapshot from start to end.

    A call that names something unknown waits a moment for the revision that may bring it, while the gateway hears
    from the control plane: what was created a moment ago works at once, without asking anybody.
    """
    snapshot = deps.holder.current
    if snapshot is None:
        raise NotReady("The gateway has no configuration yet.")
    until = deps.clock() + deps.propagation_wait_s
    told = len(exchange.decision.steps)
    while True:
        try:
            return await _answer(exchange, snapshot, deps, identify)
        except _PERHAPS_NEWER as error:
            newer = None
            if deps.holder.connected:
                newer = await deps.holder.wait_newer(snapshot, max(0.0, until - deps.clock()))
            if newer is None:
                return refuse(exchange, error)
            # What was decided by the older revision decided nothing.
            del exchange.decision.steps[told:]
            snapshot = newer
        except GatewayError as error:
            return refuse(exchange, error)


def refuse(exchange: Exchange, error: GatewayError) -> Answer:
    """Note the gateway's refusal on the exchange and return its answer."""
    exchange.error_class, exchange.error_type = type(error).__name__, error.code
    exchange.decision.add("refusal", error.path or "", str(error.status), error.message)
    return error_answer(error)
