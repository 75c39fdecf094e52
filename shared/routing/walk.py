"""Which target next: a generator that yields attempts and is sent their results.

It knows no clock, network or event loop: the gateway drives it with real calls, tests and simulations drive it with a
list of statuses.  Nesting is `yield from`.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from shared.routing.plan import Fallback, LoadBalance, Node, Target

#: Back-off before retry 1, 2, …; seconds, without jitter, as clients of the peer expect.
BACKOFF_S: Final = (1.0, 2.0, 4.0, 8.0, 16.0)
#: A provider that asks for a longer wait than this, in one go or in all, is not waited for.
MAX_RETRY_AFTER_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """One upstream call to make: `retry` counts from 0 for each target, `wait_s` passes before the call."""

    target: Target
    retry: int
    wait_s: float


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """What came of an attempt.  `final` ends the walk: the request itself was refused by the gateway."""

    status: int
    retry_after_s: float | None = None
    final: bool = False
    retries: int = 0


Walk = Generator[Attempt, AttemptResult, AttemptResult]


def pick(node: LoadBalance, point: float) -> Node:
    """Return the child at `point`, a float in [0, 1) of the weights' sum; a child of weight 0 is never chosen."""
    threshold = point * sum(node.weights)
    chosen = node.children[0]
    for child, weight, upto in zip(node.children, node.weights, accumulate(node.weights), strict=True):
        if weight > 0:
            chosen = child
            if threshold < upto:
                break
    # Rounding can leave the threshold a hair above the last sum; the last child with a weight is the answer then.
    return chosen


def _retries(target: Target) -> Walk:
    waited_s = 0.0
    wait_s = 0.0
    retry = 0
    policy = target.retry
    while True:
        result = yield Attempt(target, retry, wait_s)
        if result.final or result.status not in policy.on_status_codes:
            return result
        if retry >= policy.attempts:
            return result
        wait_s = BACKOFF_S[retry]
        if policy.use_retry_after and result.status == 429 and result.retry_after_s is not None:
            wait_s = result.retry_after_s
            waited_s += wait_s
            if wait_s >= MAX_RETRY_AFTER_S or waited_s > MAX_RETRY_AFTER_S:
                return result
        retry += 1


def _falls_through(node: Fallback, result: AttemptResult) -> bool:
    if result.final:
        return False
    if node.on_status_codes is None:
        return not 200 <= result.status < 300
    return result.status in node.on_status_codes


def walk(node: Node, draw: Callable[[], float]) -> Walk:
    """Yield attempts for `node` until a result stands; `draw` returns a float in [0, 1)."""
    match node:
        case Target():
            return (yield from _retries(node))
        case LoadBalance():
            return (yield from walk(pick(node, draw()), draw))
        case Fallback():
            result = yield from walk(node.children[0], draw)
            for child in node.children[1:]:
                if not _falls_through(node, result):
                    break
                result = yield from walk(child, draw)
            return result
