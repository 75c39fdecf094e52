"""Sticky load balancing: requests that agree in their hash fields keep their target for a while.

The first choice is drawn by a weighted rendezvous hash, so that every worker and every gateway draws the same one and
a changed list of targets moves no more requests than it must; then it is remembered for the whole time to live, and
told to the other workers.  No store outside the process is needed.
"""

import hashlib
import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from shared.routing.facts import ABSENT, Facts
from shared.schema.strategy import StickyFields

MAX_REMEMBERED: Final = 65_536
_UNIT: Final = 1 << 64


class StickyChoice(msgspec.Struct, frozen=True, array_like=True):
    """A choice as workers tell it each other; `until_s` is Unix seconds."""

    key: str
    path: str
    until_s: float


def sticky_key(strategy_id: str, sticky: StickyFields, facts: Facts) -> str | None:
    """Return what a request is remembered by, None when it has none of the fields."""
    values = [facts.at(path) for path in sticky.fields]
    if all(value is ABSENT for value in values):
        return None
    told = "\x1f".join("" if value is ABSENT else _spelt(value) for value in values)
    return hashlib.blake2b(f"{strategy_id}\x1e{told}".encode("utf-8", "replace"), digest_size=16).hexdigest()


def _spelt(value: Any) -> str:
    # 1 and 1.0 are one number; "1" is another value.
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return f"{type(value).__name__}:{value}"


def rendezvous(key: str, seed: int, names: Sequence[str], weights: Sequence[float]) -> int:
    """Return the index drawn for `key`: each with its weight's share of all keys, the same one everywhere."""
    best, chosen = -1.0, 0
    for index, (name, weight) in enumerate(zip(names, weights, strict=True)):
        if weight <= 0:
            continue
        drawn = hashlib.blake2b(f"{key}\x1e{seed}\x1e{name}".encode("utf-8", "replace"), digest_size=8).digest()
        point = (int.from_bytes(drawn) + 1) / (_UNIT + 1)
        score = weight / -math.log(point)
        if score > best:
            best, chosen = score, index
    return chosen


class StickyMemory:
    """The choices of one process; the oldest are forgotten when there are too many."""

    def __init__(self, clock: Callable[[], float], most: int = MAX_REMEMBERED) -> None:
        """`clock` returns Unix seconds."""
        self._clock = clock
        self._most = most
        self._choices: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._untold: list[StickyChoice] = []
        self.forgotten = 0

    def recall(self, key: str) -> str | None:
        """Return the path of the target remembered for `key`, None when there is none or its time is over."""
        found = self._choices.get(key)
        if found is None:
            return None
        if found[1] <= self._clock():
            del self._choices[key]
            return None
        return found[0]

    def seed(self, ttl_s: int) -> int:
        """Return what the draw changes by from one time to live to the next, the same everywhere."""
        return int(self._clock() // ttl_s)

    def remember(self, key: str, path: str, ttl_s: int) -> None:
        """Keep a choice for `ttl_s` seconds from now."""
        until_s = self._clock() + ttl_s
        self._put(key, path, until_s)
        self._untold.append(StickyChoice(key, path, until_s))
        if len(self._untold) > self._most:
            self._untold = self._untold[self._most // 2 :]

    def _put(self, key: str, path: str, until_s: float) -> None:
        self._choices[key] = (path, until_s)
        self._choices.move_to_end(key)
        if len(self._choices) > self._most:
            self._choices.popitem(last=False)
            self.forgotten += 1

    def take_untold(self) -> list[StickyChoice]:
        """Return the choices made here since the last time, for the other workers."""
        untold, self._untold = self._untold, []
        return untold

    def absorb(self, choices: list[StickyChoice]) -> None:
        """Take over what other workers chose; of two choices the one that was made first counts, everywhere."""
        now = self._clock()
        for choice in choices:
            path, until_s = self._choices.get(choice.key, ("", 0.0))
            told_first = until_s <= now or (choice.until_s, choice.path) < (until_s, path)
            if choice.until_s > now and told_first:
                self._put(choice.key, choice.path, choice.until_s)
