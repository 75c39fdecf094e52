"""May this call go on?  All limits of rate that hold for it are looked at and counted in one step.

With Redis the counts are those of all gateways.  Without it, or while it is away, each gateway keeps to its share of
every limit, at least 1, and never to none: a limit that cannot be counted together still holds.  Whatever was heard of
Redis is remembered, and told to one that lost it.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import structlog

from data_plane.core.limit import NAMES, Limit
from data_plane.limits.counters import Counters
from data_plane.limits.shared_counters import SETTLE_S, SharedCounters, SharedUnavailable, Wanted
from shared.errors import ProviderRateLimited, RateLimited

#: How long Redis is left alone after it failed: requests do not wait for it one by one.
REST_S: Final = 1.0
#: How often a gateway looks whether Redis still has what it had.
LOOK_S: Final = 1.0
#: Tokens on their way to Redis, by counter.
MOST_PENDING: Final = 20_000
#: Counters that are told at once to a Redis that lost them.
_CHUNK: Final = 500

log = structlog.get_logger(module=__name__)


class _Verdict(NamedTuple):
    """Which limit is full, -1 for none; what is counted of each, the most of each, and when to come back."""

    full: int
    counts: Sequence[int]
    most: Sequence[int]
    wait_s: float = float("inf")


class Admission:
    """Counts calls against limits, which gateways share where there is no Redis: at least `gateways` of them.

    `refused` counts refusals by kind, `failures` what went wrong with Redis.
    """

    def __init__(
        self,
        shared: SharedCounters | None = None,
        *,
        gateways: int = 1,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.counters = Counters(clock)
        self.refused: Counter[str] = Counter()
        self.failures = 0
        self._shared = shared
        self._least_gateways = self.gateways = max(1, gateways)
        self._clock = clock
        self._monotonic = monotonic
        self._rests_until_s = self._look_at_s = float("-inf")
        #: The most that is known of what all gateways counted.
        self._known = Counters(clock)
        self._since, self._told_since = 0, 0
        self._pending: dict[str, tuple[int, float]] = {}
        self._batch: dict[str, tuple[int, float]] = {}
        self._batch_number = 1
        self._is_behind = False

    def share_among(self, gateways: int) -> None:
        """Take that so many gateways share the limits; what was set is the least."""
        self.gateways = max(self._least_gateways, gateways)

    def _share(self, limit: Limit) -> int:
        return max(1, limit.value // self.gateways)

    async def admit(self, limits: Sequence[Limit]) -> None:
        """Count a call; raises RateLimited when one of its limits is full, and then counts it in none."""
        if not limits:
            return
        now = self._clock()
        windows = [limit.window(now) for limit in limits]
        verdict: _Verdict | None = None
        if self._shared is not None and self._may_ask(limits):
            verdict = await self._ask_shared(self._shared, limits, windows, now)
        if verdict is None:
            verdict = self._ask_own(limits, windows)
        full, counts, most, wait_s = verdict
        if full >= 0:
            self.refused[limits[full].kind] += 1
            raise _refusal(limits[full], counts[full], most[full], min(wait_s, windows[full][1] - now))
        for limit, (name, ends) in zip(limits, windows, strict=True):
            if limit.kind == "requests":
                self.counters.add(name, 1, ends)

    def _may_ask(self, limits: Sequence[Limit]) -> bool:
        if self._monotonic() < self._rests_until_s:
            return False
        # A Redis that can be read and not written to knows nothing of the tokens that calls take meanwhile.
        return not (self._is_behind and any(limit.kind == "tokens" for limit in limits))

    def _ask_own(self, limits: Sequence[Limit], windows: Sequence[tuple[str, float]]) -> _Verdict:
        counts = [self.counters.get(name) for name, _ in windows]
        most = [self._share(limit) for limit in limits]
        for number, (limit, (name, _)) in enumerate(zip(limits, windows, strict=True)):
            if counts[number] >= most[number] or self._known.get(name) >= limit.value:
                return _Verdict(number, counts, most)
        if self._shared is not None:
            for limit, (name, ends) in zip(limits, windows, strict=True):
                if limit.kind == "requests":
                    self._known.raise_to(name, self._known.get(name) + 1, ends)
        return _Verdict(-1, counts, most)

    async def _ask_shared(
        self, shared: SharedCounters, limits: Sequence[Limit], windows: Sequence[tuple[str, float]], now: float
    ) -> _Verdict | None:
        wanted = []
        for limit, (name, ends) in zip(limits, windows, strict=True):
            own = self.counters.get(name)
            known = max(own, self._known.get(name))
            add = 1 if limit.kind == "requests" else 0
            wanted.append(Wanted(name, limit.value, add, known, _left_ms(ends, now), self._share(limit) - own))
        try:
            seen = await shared.admit(wanted)
        except SharedUnavailable as fault:
            self._failed(str(fault))
            return None
        self._since = seen.since
        for (name, ends), count in zip(windows, seen.counts, strict=True):
            self._known.raise_to(name, count, ends)
        wait_s = SETTLE_S if seen.by_share else float("inf")
        return _Verdict(seen.full, seen.counts, [limit.value for limit in limits], wait_s)

    def _failed(self, reason: str) -> None:
        self.failures += 1
        now = self._monotonic()
        if now >= self._rests_until_s:
            # Whoever asked at the same time fails as well, and says nothing new.
            log.warning("rate_limits_counted_here", reason=reason, gateways=self.gateways)
        self._rests_until_s = now + REST_S

    def spent(self, limits: Sequence[Limit], tokens: int) -> None:
        """Count what a call took, where its limits are about tokens; Redis hears of it with the next `flush`."""
        now = self._clock()
        for limit in limits:
            if limit.kind != "tokens" or tokens <= 0:
                continue
            name, ends = limit.window(now)
            self.counters.add(name, tokens, ends)
            if self._shared is None:
                continue
            self._known.raise_to(name, self._known.get(name) + tokens, ends)
            if name in self._pending or len(self._pending) < MOST_PENDING:
                self._pending[name] = (self._pending.get(name, (0, ends))[0] + tokens, ends)
            else:
                self.counters.dropped += 1

    async def flush(self) -> None:
        """Tell Redis what calls took; what it does not take stays for the next time, until its window ends.

        One that has lost its counters is told, too, what is known of them here.
        """
        if self._shared is None or self._monotonic() < self._rests_until_s:
            return
        try:
            await self._restore(self._shared)
            was_behind = bool(self._batch)
            await self._tell(self._shared)
            if was_behind:
                await self._tell(self._shared)
        except SharedUnavailable as fault:
            self._is_behind = bool(self._batch or self._pending)
            self._failed(str(fault))

    async def _restore(self, shared: SharedCounters) -> None:
        now_s = self._monotonic()
        if now_s >= self._look_at_s and len(self._known):
            self._look_at_s = now_s + LOOK_S
            self._since = (await shared.admit([])).since
        since = self._since
        if since == self._told_since:
            return
        now = self._clock()
        known = []
        for told in self._known.live():
            # What is on its way comes by itself.
            coming = sum(waiting.get(told.name, (0, 0.0))[0] for waiting in (self._pending, self._batch))
            if told.count > coming:
                known.append((told.name, told.count - coming, _left_ms(told.ends, now)))
        for begin in range(0, len(known), _CHUNK):
            await shared.raise_to(known[begin : begin + _CHUNK])
        self._told_since = since

    async def _tell(self, shared: SharedCounters) -> None:
        if not self._batch:
            self._batch, self._pending = self._pending, {}
        now = self._clock()
        counted = [(name, count, _left_ms(ends, now)) for name, (count, ends) in self._batch.items() if ends > now]
        if counted:
            await shared.add(self._batch_number, counted)
            self._batch_number += 1
        self._batch, self._is_behind = {}, False

    async def close(self) -> None:
        """Tell Redis the rest, and hang up."""
        await self.flush()
        if self._shared is not None:
            await self._shared.close()


def _left_ms(ends: float, now: float) -> int:
    # Longer than the window, for clocks that are behind.
    return int((ends - now) * 1000) + 1000


def _refusal(limit: Limit, count: int, most: int, left_s: float) -> RateLimited:
    kind = RateLimited if limit.of_caller else ProviderRateLimited
    return kind(
        f"Rate limit exceeded: {limit.owner} allows {limit.value} {limit.kind} per {NAMES[limit.unit]}.",
        path=limit.scope,
        kind=limit.kind,
        limit=limit.value,
        remaining=max(0, most - count),
        reset_s=max(0.0, left_s),
    )
