"""What would the gateway do?  The plan is walked as the gateway walks it, with answers that are made up.

Nothing is called.  `answers` says what each target answers, one after the other, the last one again and again; a target
without an entry answers 200.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

import msgspec

from shared.errors import BadRequest
from shared.routing.breaker import Breakers
from shared.routing.decision import DecisionTrace, step_json, summarise
from shared.routing.facts import Facts
from shared.routing.naming import name_provider, split_model
from shared.routing.plan import Plan, Target
from shared.routing.sticky import StickyMemory
from shared.routing.walk import Attempt, AttemptResult, NoTarget, Route, walk
from shared.schema.params import shape_params

MAX_ATTEMPTS: Final = 1000
#: What the gateway answers where nobody says which provider to call.
NO_PROVIDER: Final = AttemptResult(400, final=True)


class MadeUpAnswer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a target answers: a status, and for how long it asks to be left alone."""

    status: int
    retry_after_s: float | None = None


class SimulatedAttempt(msgspec.Struct, frozen=True):
    """One call that would be made."""

    path: str
    name: str | None
    provider: str | None
    virtual_key: str | None
    named_by: str
    model: str | None
    retry: int
    wait_s: float
    status: int


class Asked(msgspec.Struct, frozen=True):
    """What a simulated request says of its provider."""

    provider: str | None = None
    virtual_key: str | None = None


class Simulation(msgspec.Struct, frozen=True):
    """What would happen: the caller's status, the target that gives it, each attempt, each step of the decision."""

    status: int
    target: str | None
    summary: str
    attempts: tuple[SimulatedAttempt, ...]
    steps: tuple[dict[str, Any], ...]
    error: str | None = None


class _OpenBreakers(Breakers):
    """Breakers of which some are open, whatever is counted; none of them remembers anything."""

    def __init__(self, paths: Collection[str]) -> None:
        super().__init__(lambda: 0.0)
        self._paths = paths

    def is_open(self, breaker_id: str) -> bool:
        """Return whether the path behind the breaker's id is among those that are open."""
        return breaker_id.rpartition("|")[2] in self._paths


def _attempt(step: Attempt, facts: Facts, asked: Asked, answer: MadeUpAnswer) -> SimulatedAttempt:
    target = step.target
    body = shape_params(dict(facts.params), target.default_params, target.override_params, target.drop_params)
    model, asked_model = str(body.get("model") or ""), str(facts.params.get("model") or "")
    named = name_provider(
        target, model=model, asked_model=asked_model, provider=asked.provider, virtual_key=asked.virtual_key
    )
    return SimulatedAttempt(
        target.path, target.name, named.provider, named.virtual_key, named.why, split_model(model)[1] or None,
        step.retry, step.wait_s, answer.status if named.provider or named.virtual_key else NO_PROVIDER.status,
    )  # fmt: skip


class _Answers:
    def __init__(self, answers: Mapping[str, Sequence[MadeUpAnswer]]) -> None:
        self._answers = answers
        self._given: dict[str, int] = {}

    def next_of(self, target: Target) -> MadeUpAnswer:
        listed = self._answers.get(target.path) or (MadeUpAnswer(200),)
        number = self._given.get(target.path, 0)
        self._given[target.path] = number + 1
        return listed[min(number, len(listed) - 1)]


def simulate(
    plan: Plan,
    facts: Facts,
    *,
    answers: Mapping[str, Sequence[MadeUpAnswer]],
    draw: Callable[[], float],
    asked: Asked,
    now_s: float,
    open_breakers: Collection[str] = (),
    retries: int | None = None,
) -> Simulation:
    """Return what the gateway would do with a request; raises BadRequest for more than MAX_ATTEMPTS attempts.

    `draw` stands for the dice, `now_s` for the time (Unix seconds) that sticky draws depend on, `open_breakers` are
    paths of targets whose circuit breaker is taken as open.
    """
    trace = DecisionTrace(lambda: 0.0)
    route = Route(facts, draw, _OpenBreakers(open_breakers), StickyMemory(lambda: now_s), trace, retries)
    made = _Answers(answers)
    attempts: list[SimulatedAttempt] = []
    steps = walk(plan.root, route)
    try:
        step = next(steps)
        while True:
            if len(attempts) >= MAX_ATTEMPTS:
                raise BadRequest(f"The simulation ends after {MAX_ATTEMPTS} attempts.", path="answers")
            answer = made.next_of(step.target)
            made_now = _attempt(step, facts, asked, answer)
            attempts.append(made_now)
            by = made_now.virtual_key or made_now.provider
            trace.add(
                "attempt",
                step.target.path,
                by or "",
                made_now.named_by if by else "nobody names a provider",
                facts={"status": made_now.status},
            )
            step = steps.send(AttemptResult(answer.status, answer.retry_after_s) if by else NO_PROVIDER)
    except StopIteration as end:
        return _told(end.value.status, attempts, trace, None)
    except NoTarget as error:
        return _told(error.status, attempts, trace, error.message)


def _told(status: int, attempts: list[SimulatedAttempt], trace: DecisionTrace, error: str | None) -> Simulation:
    last = attempts[-1] if attempts else None
    target = last.path if last and error is None else None
    by = (last.virtual_key or last.provider) if last else None
    summary = summarise(trace.steps, status=status, provider=by, model=last.model if last else None)
    return Simulation(status, target, summary, tuple(attempts), tuple(map(step_json, trace.steps)), error)
