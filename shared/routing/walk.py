"""Which target next: a generator that yields attempts and is sent their results.

It knows no clock, network or event loop: the gateway drives it with real calls, tests and simulations drive it with a
list of statuses.  Nesting is `yield from`.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Final, NamedTuple

from shared.errors import BadRequest
from shared.routing.breaker import Breakers
from shared.routing.decision import ABSENT as ABSENT_TEXT
from shared.routing.decision import MAX_FACTS, DecisionTrace
from shared.routing.facts import ABSENT, Facts, holds
from shared.routing.plan import Conditional, Fallback, LoadBalance, Node, Target
from shared.routing.sticky import StickyMemory, rendezvous, sticky_key
from shared.schema.log_record import Rejected

#: Back-off before retry 1, 2, …; seconds, without jitter, as clients of the peer expect.
BACKOFF_S: Final = (1.0, 2.0, 4.0, 8.0, 16.0)
#: A provider that asks for a longer wait than this, in one go or in all, is not waited for.
MAX_RETRY_AFTER_S: Final = 60.0
#: 200 to this one are never retried, listed or not.
LAST_SUCCESS: Final = 204
OPEN: Final = "its circuit breaker is open"
ALL_OPEN: Final = "every circuit breaker is open, so none counts"


class Attempt(NamedTuple):
    """One upstream call to make: `retry` counts from 0 for each target, `wait_s` passes before the call."""

    target: Target
    retry: int
    wait_s: float


class AttemptResult(NamedTuple):
    """What came of an attempt.  `final` ends the walk: the request itself was refused by the gateway.

    `exhausted` is the walk's own word in its last result: retrying was allowed and did not help.
    """

    status: int
    retry_after_s: float | None = None
    final: bool = False
    exhausted: bool = False


@dataclass(slots=True)
class Route:
    """What a walk may use: facts of the request, dice, memories, and the trace that it writes.

    `draw` returns a float in [0, 1).  `retries` overrides every target's number of extra tries.  `jitter` spreads the
    waits before them over half to whole their length.
    """

    facts: Facts
    draw: Callable[[], float]
    breakers: Breakers
    sticky: StickyMemory
    trace: DecisionTrace
    retries: int | None = None
    jitter: bool = False


Walk = Generator[Attempt, AttemptResult, AttemptResult]


class NoTarget(BadRequest):
    """No condition holds, and there is no default."""

    code = "no_target"


def pick(cumulative: Sequence[float], point: float) -> int:
    """Return the index at `point`, a float in [0, 1) of all weights; one of weight 0 is never chosen.

    `cumulative` are the sums of the weights up to each; the last one is positive.
    """
    total = cumulative[-1]
    # Rounding can take the product to the sum itself; the last one with a weight is the answer then.
    return min(bisect_right(cumulative, point * total), bisect_left(cumulative, total))


def _retries(target: Target, route: Route) -> Walk:
    waited_s = 0.0
    wait_s = 0.0
    retry = 0
    policy = target.retry
    attempts = policy.attempts if route.retries is None else route.retries
    while True:
        result = yield Attempt(target, retry, wait_s)
        status = result.status
        if result.final or attempts == 0 or status not in policy.on_status_codes or 200 <= status <= LAST_SUCCESS:
            return result
        if retry >= attempts:
            return result._replace(exhausted=True)
        wait_s = BACKOFF_S[min(retry, len(BACKOFF_S) - 1)]
        if route.jitter:
            wait_s *= 0.5 + route.draw() / 2
        if policy.use_retry_after and result.status == 429 and result.retry_after_s is not None:
            wait_s = result.retry_after_s
            waited_s += wait_s
            if wait_s >= MAX_RETRY_AFTER_S or waited_s > MAX_RETRY_AFTER_S:
                why = f"{result.status}, but the provider asks to wait {wait_s:g} s"
                route.trace.add("retry", target.path, "give up", why)
                return result._replace(exhausted=True)
        retry += 1
        route.trace.add(
            "retry",
            target.path,
            f"retry {retry}",
            f"{result.status} after {retry} of {attempts + 1} tries",
            facts={"wait_s": wait_s},
        )


def _target(target: Target, route: Route) -> Walk:
    result = yield from _retries(target, route)
    if (
        target.breaker is not None
        and not result.final
        and route.breakers.note(target.breaker_id, target.breaker, result.status)
    ):
        route.trace.add("breaker", target.path, "open", f"{result.status} reached the threshold")
    return result


def _is_open(node: Node, breakers: Breakers) -> bool:
    """Return whether every leaf that `node` could choose is to be left alone."""
    if isinstance(node, Target):
        return node.breaker is not None and breakers.is_open(node.breaker_id)
    if isinstance(node, Conditional) or not node.guarded:
        return False
    if isinstance(node, Fallback):
        return all(_is_open(child, breakers) for child in node.children)
    return all(
        _is_open(child, breakers) for child, weight in zip(node.children, node.weights, strict=True) if weight > 0
    )


def _falls_through(node: Fallback, result: AttemptResult) -> bool:
    if result.final:
        return False
    if node.on_status_codes is None:
        return not 200 <= result.status < 300
    return result.status in node.on_status_codes


def _usable(node: Fallback, route: Route) -> tuple[Node, ...]:
    """Return the children whose breaker is closed; all of them when none is."""
    closed: list[Node] = []
    rejected: list[Rejected] = []
    for child in node.children:
        if _is_open(child, route.breakers):
            rejected.append(Rejected(child.path, OPEN))
        else:
            closed.append(child)
    if not closed:
        route.trace.add("breaker", node.path, "all", ALL_OPEN)
    if not closed or not rejected:
        return node.children
    route.trace.add("breaker", node.path, closed[0].path, OPEN, rejected=tuple(rejected))
    return tuple(closed)


def _fallback(node: Fallback, route: Route) -> Walk:
    children = _usable(node, route) if node.guarded else node.children
    result = yield from walk(children[0], route)
    for previous, child in pairwise(children):
        if not _falls_through(node, result):
            if not 200 <= result.status < 300:
                route.trace.add(
                    "fallback",
                    node.path,
                    previous.path,
                    _stays(result),
                    rejected=(Rejected(child.path, "not tried"),),
                )
            break
        why = f"{result.status} is no success" if node.on_status_codes is None else f"{result.status} is listed"
        route.trace.add(
            "fallback", node.path, child.path, why, rejected=(Rejected(previous.path, f"answered {result.status}"),)
        )
        result = yield from walk(child, route)
    return result


def _stays(result: AttemptResult) -> str:
    if result.final:
        return f"{result.status} is a refusal by the gateway"
    return f"{result.status} is not listed"


def _usable_weights(node: LoadBalance, route: Route) -> tuple[tuple[float, ...], tuple[Rejected, ...]]:
    """Return the weights with 0 where a breaker is open, and what that leaves out; as given when none is closed."""
    weights = tuple(
        0.0 if weight > 0 and _is_open(child, route.breakers) else weight
        for child, weight in zip(node.children, node.weights, strict=True)
    )
    if weights == node.weights:
        return node.weights, ()
    if not any(weights):
        route.trace.add("breaker", node.path, "all", ALL_OPEN)
        return node.weights, ()
    changed = zip(node.children, node.weights, weights, strict=True)
    return weights, tuple(Rejected(child.path, OPEN) for child, before, after in changed if before != after)


def _load_balance(node: LoadBalance, route: Route) -> Walk:
    weights, rejected = _usable_weights(node, route) if node.guarded else (node.weights, ())
    key = sticky_key(node.id, node.sticky, route.facts) if node.sticky else None
    if key is None:
        point = route.draw()
        index = pick(node.cumulative if weights is node.weights else tuple(accumulate(weights)), point)
        facts = {"draw": round(point, 6), "weights": node.weights[:MAX_FACTS]}
        route.trace.add(
            "loadbalance", node.path, node.children[index].path, "drawn by weight", facts=facts, rejected=rejected
        )
    else:
        index = _stick(node, key, weights, rejected, route)
    return (yield from walk(node.children[index], route))


def _stick(
    node: LoadBalance, key: str, weights: tuple[float, ...], rejected: tuple[Rejected, ...], route: Route
) -> int:
    assert node.sticky is not None  # noqa: S101 -- asked before, for the type checker
    paths = [child.path for child in node.children]
    facts = {
        ".".join(path): _shown(route, path[0], route.facts.at(path)) for path in node.sticky.fields[:MAX_FACTS]
    } | {"key": key}
    kept = route.sticky.recall(key)
    index = paths.index(kept) if kept in paths else None
    if index is not None and weights[index] > 0:
        route.trace.add("sticky", node.path, paths[index], "remembered", facts=facts, rejected=rejected)
        return index
    chosen = rendezvous(key, route.sticky.seed(node.sticky.ttl_s), paths, weights)
    # A target that only rests behind its breaker is not forgotten: its requests come back to it.
    if index is None or node.weights[index] <= 0:
        route.sticky.remember(key, paths[chosen], node.sticky.ttl_s)
    route.trace.add(
        "sticky", node.path, paths[chosen], f"drawn for {node.sticky.ttl_s} s", facts=facts, rejected=rejected
    )
    return chosen


def _shown(route: Route, root: str, value: object) -> object:
    return ABSENT_TEXT if value is ABSENT else route.trace.shown(root, value)


def _conditional(node: Conditional, route: Route) -> Walk:
    facts: dict[str, object] = {}
    rejected: list[Rejected] = []
    chosen, why = node.default, "no condition holds, so the default"
    for number, (condition, child) in enumerate(node.arms):
        for root, key, path in condition.paths:
            if path not in facts and len(facts) < MAX_FACTS:
                facts[path] = _shown(route, root, route.facts.value(root, key))
        if holds(condition.query, route.facts):
            chosen, why = child, f"condition {number} holds"
            break
        if len(rejected) < MAX_FACTS:
            rejected.append(Rejected(child.path, f"condition {number} does not hold"))
    route.trace.add("condition", node.path, chosen.path if chosen else "", why, facts=facts, rejected=tuple(rejected))
    if chosen is None:
        raise NoTarget("Query router did not resolve to any valid target", path="strategy.conditions")
    return (yield from walk(chosen, route))


def walk(node: Node, route: Route) -> Walk:
    """Yield attempts for `node` until a result stands; raises NoTarget."""
    if isinstance(node, Target):
        return (yield from _target(node, route))
    if isinstance(node, Fallback):
        return (yield from _fallback(node, route))
    if isinstance(node, LoadBalance):
        return (yield from _load_balance(node, route))
    return (yield from _conditional(node, route))
