"""Circuit breakers: a target that fails too often is left alone for a while.

CLOSED counts; reaching a threshold makes it OPEN; the cooldown over, it is CLOSED again and counts from zero.  What
was counted longer ago than one cooldown does not count, or a failure a week would open it one day.  Worker processes
tell each other what they counted, so that a threshold is one for the whole gateway.  Source: `contract.md` 1.6.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from shared.schema.strategy import BreakerPolicy

MAX_BREAKERS: Final = 10_000


class BreakerCount(msgspec.Struct, frozen=True, array_like=True):
    """What one worker counted since it last told, and whether that opened the breaker there.

    The policy comes along, so that a worker that never saw the target can count too.
    """

    id: str
    ok: int
    failed: int
    cooldown_ms: int
    failures: int | None
    percentage: int | None
    minimum: int
    opened: bool = False


@dataclass(slots=True)
class _State:
    since_s: float
    ok: int = 0
    failed: int = 0
    open_until_s: float = 0.0


def is_failure(policy: BreakerPolicy, status: int) -> bool:
    """Return whether an answer with `status` counts against its target."""
    return status in policy.statuses if policy.statuses is not None else status > 500


class Breakers:
    """The breakers of one process, by id; the longest unused are forgotten when there are too many."""

    def __init__(self, clock: Callable[[], float], most: int = MAX_BREAKERS) -> None:
        """`clock` returns seconds that never run back."""
        self._clock = clock
        self._most = most
        self._states: OrderedDict[str, _State] = OrderedDict()
        self._untold: dict[str, tuple[BreakerPolicy, int, int, bool]] = {}
        self.forgotten = 0

    def is_open(self, breaker_id: str) -> bool:
        """Return whether the target is to be left alone now."""
        state = self._states.get(breaker_id)
        return state is not None and state.open_until_s > self._clock()

    def open_count(self) -> int:
        """Return how many breakers are open now."""
        now = self._clock()
        return sum(state.open_until_s > now for state in self._states.values())

    def note(self, breaker_id: str, policy: BreakerPolicy, status: int) -> bool:
        """Count one answer; return whether it opened the breaker."""
        if self.is_open(breaker_id):
            # Calls that were under way when it opened, or that bypass it: they neither prolong nor shorten the pause.
            return False
        failed = is_failure(policy, status)
        opened = self._count(breaker_id, policy, ok=int(not failed), failed=int(failed))
        _, ok_before, failed_before, opened_before = self._untold.pop(breaker_id, (policy, 0, 0, False))
        self._untold[breaker_id] = (policy, ok_before + (not failed), failed_before + failed, opened or opened_before)
        if len(self._untold) > self._most:
            del self._untold[next(iter(self._untold))]
        return opened

    def _state(self, breaker_id: str) -> _State:
        state = self._states.get(breaker_id)
        if state is None:
            state = self._states[breaker_id] = _State(self._clock())
            if len(self._states) > self._most:
                self._states.popitem(last=False)
                self.forgotten += 1
        else:
            self._states.move_to_end(breaker_id)
        return state

    def _count(self, breaker_id: str, policy: BreakerPolicy, *, ok: int, failed: int) -> bool:
        now, cooldown_s, state = self._clock(), policy.cooldown_ms / 1000, self._state(breaker_id)
        if state.open_until_s or now - state.since_s > cooldown_s:
            state.since_s, state.ok, state.failed, state.open_until_s = now, 0, 0, 0.0
        state.ok += ok
        state.failed += failed
        if not _is_over(policy, state):
            return False
        state.open_until_s = now + cooldown_s
        return True

    def take_untold(self) -> list[BreakerCount]:
        """Return what was counted here since the last time, for the other workers."""
        untold, self._untold = self._untold, {}
        return [
            BreakerCount(
                name, ok, failed, policy.cooldown_ms, policy.failures, policy.percentage, policy.minimum, opened
            )
            for name, (policy, ok, failed, opened) in untold.items()
        ]

    def absorb(self, counts: list[BreakerCount]) -> None:
        """Count what another worker counted; what opened there opens here, whatever was counted here."""
        for count in counts:
            if self.is_open(count.id):
                continue
            policy = BreakerPolicy(count.cooldown_ms, count.failures, count.percentage, count.minimum)
            if not self._count(count.id, policy, ok=count.ok, failed=count.failed) and count.opened:
                self._state(count.id).open_until_s = self._clock() + count.cooldown_ms / 1000


def _is_over(policy: BreakerPolicy, state: _State) -> bool:
    if policy.failures is not None and state.failed >= policy.failures:
        return True
    total = state.ok + state.failed
    if policy.percentage is None or total < policy.minimum:
        return False
    return state.failed * 100 >= policy.percentage * total
