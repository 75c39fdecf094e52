"""Counters in the memory of one worker, which tell the others of their host what they counted.

They hold a gateway's share where there is no Redis, and stand in while it is away.
"""

import time
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

#: More counters than callers of one gateway have; what ended is dropped first.
MOST: Final = 200_000


class RateCount(msgspec.Struct, frozen=True, array_like=True):
    """What a worker counted in one window since it last told: `ends` is Unix time."""

    name: str
    count: int
    ends: float


class Counters:
    """Counts by the name of a window; `dropped` is how many were forgotten because there were too many."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._counts: dict[str, tuple[int, float]] = {}
        self._untold: dict[str, tuple[int, float]] = {}
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._counts)

    def get(self, name: str) -> int:
        """Return what was counted in a window."""
        found = self._counts.get(name)
        return found[0] if found is not None else 0

    def add(self, name: str, count: int, ends: float) -> None:
        """Count in a window that ends at `ends`, and tell the other workers."""
        self._add(self._counts, name, count, ends)
        self._add(self._untold, name, count, ends)

    def _add(self, counts: dict[str, tuple[int, float]], name: str, count: int, ends: float) -> None:
        if name not in counts and len(counts) >= MOST:
            self._make_room(counts)
        before = counts.get(name)
        counts[name] = ((before[0] if before is not None else 0) + count, ends)

    def _make_room(self, counts: dict[str, tuple[int, float]]) -> None:
        now = self._clock()
        for name in [name for name, (_, ends) in counts.items() if ends <= now]:
            del counts[name]
        if len(counts) >= MOST:
            self.dropped += len(counts)
            counts.clear()

    def raise_to(self, name: str, count: int, ends: float) -> None:
        """Know that at least so much was counted in a window; nobody is told."""
        more = count - self.get(name)
        if more > 0:
            self._add(self._counts, name, more, ends)

    def live(self) -> list[RateCount]:
        """Return the counts of windows that are not over."""
        now = self._clock()
        return [RateCount(name, count, ends) for name, (count, ends) in self._counts.items() if ends > now]

    def take_untold(self) -> list[RateCount]:
        """Return what was counted here since the last call."""
        told = [RateCount(name, count, ends) for name, (count, ends) in self._untold.items()]
        self._untold.clear()
        return told

    def absorb(self, told: Iterable[RateCount]) -> None:
        """Count what another worker told."""
        for each in told:
            self._add(self._counts, each.name, each.count, each.ends)
