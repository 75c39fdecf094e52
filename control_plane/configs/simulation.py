"""What would gateways do with a request under a config?  The code that they run is run here, and nothing is called.

The work is bounded: by the sizes of what is asked, and by the time that one question may take.
"""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import chain, repeat
from typing import Any, Final

import msgspec
import orjson
from django.conf import settings

from control_plane.configs.models import Config
from control_plane.configs.question import Question, moment_s, refuse
from control_plane.core.errors import Invalid
from shared.routing.compile import compile_plan
from shared.routing.plan import Conditional, Node, Plan, Target
from shared.routing.simulate import MadeUpAnswer, Simulation, simulate
from shared.schema.config import parse_config
from shared.schema.values import Faults

Json = dict[str, Any]

MAX_CPU_S: Final = 2.0
#: More would let one attempt take longer than the whole question may.
MAX_DROPPED_PARAMS: Final = 100
#: The share of runs that end without any target.
NO_TARGET: Final = "none"
_SHOWN_TARGETS: Final = 10


class TooLong(Invalid):
    """The simulation takes more time than it may."""


class _AnswersInTime(Mapping[str, Sequence[MadeUpAnswer]]):
    """Answers by path; asked for one when the time is over, it raises: that is once for each attempt."""

    def __init__(self, answers: Mapping[str, Sequence[MadeUpAnswer]], until_s: float) -> None:
        self._answers = answers
        self._until_s = until_s

    def __getitem__(self, path: str) -> Sequence[MadeUpAnswer]:
        if time.thread_time() > self._until_s:
            raise TooLong(f"The simulation takes longer than {MAX_CPU_S:g} s.")
        return self._answers[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._answers)

    def __len__(self) -> int:
        return len(self._answers)


def plan_of_body(body: Json) -> Plan:
    """Return the plan of a config in the question; raises InvalidConfig with every fault."""
    parsed = parse_config(body, trusted_hosts=settings.TRUSTED_CUSTOM_HOSTS)
    return compile_plan(parsed, key=sha256(orjson.dumps(body)).hexdigest()[:16])


def plan_of_row(config: Config) -> Plan:
    """Return the plan of a saved config; sticky draws are those that gateways make.  Raises InvalidConfig."""
    version = str(config.active_id)
    key = f"{config.workspace_id}/{config.slug}@{version}"
    return compile_plan(parse_config(config.body), slug=config.slug, version=version, key=key)


def leaves(root: Node) -> Iterator[Target]:
    """Yield every target that can be called, once, in the order of the config."""
    waiting, seen = [root], {root.path}
    while waiting:
        node = waiting.pop()
        if isinstance(node, Target):
            yield node
            continue
        below = _below(node) if isinstance(node, Conditional) else node.children
        # Many conditions may lead to one node, on every level: followed each time, that would be without end.
        fresh = {child.path: child for child in below if child.path not in seen}
        seen |= fresh.keys()
        waiting += reversed(fresh.values())


def _below(node: Conditional) -> list[Node]:
    return [child for _, child in node.arms] + ([node.default] if node.default else [])


class _Targets:
    """The targets of a plan by all that they may be called: path, number at the root, name."""

    def __init__(self, plan: Plan) -> None:
        self.by_path = {target.path: target for target in leaves(plan.root)}
        self._paths: dict[str, set[str]] = {}
        for path, target in self.by_path.items():
            number = path.removeprefix("config.targets[").removesuffix("]")
            also = [number, f"target {number}"] if number.isdecimal() else []
            for word in (*also, target.name):
                if word is not None:
                    self._paths.setdefault(word, set()).add(path)

    def find(self, word: str, where: tuple[str, ...], faults: Faults) -> Target | None:
        """Return the target that `word` names; what is wrong with it is noted.  A path comes before a name."""
        target = self.by_path.get(word) or self.by_path.get(f"config.{word}")
        if target is not None:
            return target
        paths = sorted(self._paths.get(word, ()))
        if len(paths) == 1:
            return self.by_path[paths[0]]
        if paths:
            faults.add(where, f"Several targets are called so; say which: {_listed(paths)}")
        else:
            faults.add(where, f"No target that can be reached; those that can: {_listed(list(self.by_path))}")
        return None


def _listed(paths: Sequence[str]) -> str:
    more = ["…"] if len(paths) > _SHOWN_TARGETS else []
    return ", ".join([*paths[:_SHOWN_TARGETS], *more])


def _answers(question: Question, targets: _Targets, faults: Faults) -> dict[str, Sequence[MadeUpAnswer]]:
    found: dict[str, Sequence[MadeUpAnswer]] = {}
    for word, answers in question.answers.items():
        target = targets.find(word, ("answers", word), faults)
        if target is None:
            continue
        if target.path in found:
            faults.add(("answers", word), f"The answers of {target.path} are given twice")
        found[target.path] = answers
    return found


def _open_breakers(question: Question, targets: _Targets, faults: Faults) -> frozenset[str]:
    found = set()
    for number, word in enumerate(question.open_breakers):
        where = ("open_breakers", str(number))
        target = targets.find(word, where, faults)
        if target is not None and target.breaker is None:
            faults.add(where, f"{target.path} has no circuit breaker (cb_config)")
        elif target is not None:
            found.add(target.path)
    return frozenset(found)


def answer_question(question: Question, plan: Plan) -> Json:
    """Return what gateways would do.

    Raises Invalid for targets that the plan does not have, TooLong when it takes too long, BadRequest for more
    attempts than are simulated.
    """
    faults, targets = Faults(), _Targets(plan)
    for path, target in targets.by_path.items():
        if len(target.drop_params) > MAX_DROPPED_PARAMS:
            faults.add((path, "drop_params"), f"More than {MAX_DROPPED_PARAMS} parameters are not simulated")
    answers = _answers(question, targets, faults)
    breakers = _open_breakers(question, targets, faults)
    refuse(faults.lines)
    until_s, now_s = time.thread_time() + MAX_CPU_S, moment_s(question)

    def run(draw: Callable[[], float]) -> Simulation:
        request = question.request
        return simulate(
            plan, request.facts, answers=_AnswersInTime(answers, until_s), draw=draw, asked=request.asked, now_s=now_s,
            open_breakers=breakers, retries=request.retries,
        )  # fmt: skip

    found: Json = {"object": "simulation", **msgspec.to_builtins(run(_dice(question)))}
    return found | _distribution(question, run) if question.runs else found


def _rolled(question: Question) -> Callable[[], float]:
    return random.Random(question.seed).random  # noqa: S311 -- dice that can be thrown again, not a secret


def _dice(question: Question) -> Callable[[], float]:
    if question.draws:
        return chain(question.draws, repeat(question.draws[-1])).__next__
    return _rolled(question)


def _distribution(question: Question, run: Callable[[Callable[[], float]], Simulation]) -> Json:
    """Return each final target's share of many runs with one set of dice; of fewer runs when the time is over."""
    draw, ended = _rolled(question), Counter[str]()
    try:
        for _ in range(question.runs):
            ended[run(draw).target or NO_TARGET] += 1
    except TooLong:
        if not ended:
            raise
    made = ended.total()
    told: Json = {"distribution": {path: count / made for path, count in sorted(ended.items())}, "runs": made}
    if made < question.runs:
        told["note"] = f"{made} of {question.runs} runs were made: there was no time for more."
    return told
