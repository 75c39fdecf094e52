"""Routes, nodes and walks for tests: a walk driven with made-up answers."""

from itertools import accumulate

from shared.routing.breaker import Breakers
from shared.routing.compile import compile_plan
from shared.routing.decision import DecisionTrace
from shared.routing.facts import Facts
from shared.routing.plan import Fallback, LoadBalance, Target
from shared.routing.sticky import StickyMemory
from shared.routing.walk import AttemptResult, Route, walk
from shared.schema.config import Retry, parse_config


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self, now_s=1_000_000.0):
        self.now_s = now_s

    def __call__(self):
        return self.now_s


def route(facts=None, *, draw=lambda: 0.0, clock=None, breakers=None, sticky=None, retries=None, jitter=False):
    clock = clock or Clock()
    return Route(
        facts or Facts(),
        draw,
        breakers or Breakers(clock),
        sticky or StickyMemory(clock),
        DecisionTrace(clock),
        retries,
        jitter,
    )


def target(path, attempts=0, codes=frozenset({429, 500}), *, waits=False, **fields):
    return Target(path=path, retry=Retry(attempts, codes, waits), **fields)


def fallback(*children, codes=None, path="f", guarded=False):
    return Fallback(path, children, codes, guarded)


def balance(weights, *, path="l", sticky=None, guarded=False):
    """A load balance over targets (by path, or nodes), given as {target: weight} or [(target, weight)]."""
    pairs = list(weights.items()) if isinstance(weights, dict) else list(weights)
    children = tuple(target(child) if isinstance(child, str) else child for child, _ in pairs)
    shares = tuple(float(weight) for _, weight in pairs)
    return LoadBalance(path, children, shares, tuple(accumulate(shares)), guarded, sticky, f"key|{path}")


def compiled(body, **named):
    return compile_plan(parse_config(body), **named).root


def play(node, results, on=None):
    """Return the attempts as (path, retry, wait) and the last result; `results` are statuses or AttemptResults."""
    steps = walk(node, on or route())
    attempts = []
    waiting = iter(results)
    try:
        step = next(steps)
        while True:
            attempts.append((step.target.path, step.retry, step.wait_s))
            result = next(waiting, None)
            assert result is not None, f"the walk wants more than {len(attempts) - 1} results"
            step = steps.send(result if isinstance(result, AttemptResult) else AttemptResult(result))
    except StopIteration as stop:
        assert next(waiting, None) is None, "the walk ended early"
        return attempts, stop.value


def chosen(node, on=None):
    """Return the path of the first target that a walk of `node` tries."""
    return next(walk(node, on or route())).target.path


def steps_of(on, kind):
    """Return the steps of one kind that a walk wrote."""
    return [step for step in on.trace.steps if step.step == kind]
