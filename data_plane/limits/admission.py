"""May this call go on?  All limits of rate that hold for it are looked at and counted in one step.

With Redis the counts are those of all gateways.  Without it, or while it is away, each gateway keeps to its share of
every limit, at least 1, and never to none: a limit that cannot be counted together still holds.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from data_plane.core.limit import NAMES, Limit
from data_plane.limits.counters import Counters
from data_plane.limits.shared_counters import SharedCounters, SharedUnavailable
from shared.errors import ProviderRateLimited, RateLimited

#: How long Redis is left alone after it failed: requests do not wait for it one by one.
REST_S: Final = 1.0
#: Tokens on their way to Redis, by counter.
MOST_PENDING: Final = 20_000

log = structlog.get_logger(module=__name__)


class Admission:
    """Counts calls against limits; `gateways` share a limit where there is no Redis.

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
        self._gateways = max(1, gateways)
        self._clock = clock
        self._monotonic = monotonic
        self._rests_until_s = float("-inf")
        self._pending: dict[str, tuple[int, float]] = {}

    async def admit(self, limits: Sequence[Limit]) -> None:
        """Count a call; raises RateLimited when one of its limits is full, and then counts it in none."""
        if not limits:
            return
        now = self._clock()
        windows = [limit.window(now) for limit in limits]
        full: tuple[int, list[int], list[int]] | None = None
        if self._shared is not None and self._monotonic() >= self._rests_until_s:
            full = await self._ask_shared(self._shared, limits, windows, now)
        if full is None:
            full = self._ask_own(limits, windows)
        index, counts, most = full
        if index >= 0:
            self.refused[limits[index].kind] += 1
            raise _refusal(limits[index], counts[index], most[index], windows[index][1] - now)
        for limit, (name, ends) in zip(limits, windows, strict=True):
            if limit.kind == "requests":
                self.counters.add(name, 1, ends)

    def _ask_own(
        self, limits: Sequence[Limit], windows: Sequence[tuple[str, float]]
    ) -> tuple[int, list[int], list[int]]:
        counts = [self.counters.get(name) for name, _ in windows]
        most = [max(1, limit.value // self._gateways) for limit in limits]
        full = next((n for n, (count, value) in enumerate(zip(counts, most, strict=True)) if count >= value), -1)
        return full, counts, most

    async def _ask_shared(
        self, shared: SharedCounters, limits: Sequence[Limit], windows: Sequence[tuple[str, float]], now: float
    ) -> tuple[int, list[int], list[int]] | None:
        wanted = [
            (
                name,
                limit.value,
                1 if limit.kind == "requests" else 0,
                self.counters.get(name),
                int((ends - now) * 1000) + 1000,
            )
            for limit, (name, ends) in zip(limits, windows, strict=True)
        ]
        try:
            full, counts = await shared.admit(wanted)
        except SharedUnavailable as fault:
            self._failed(str(fault))
            return None
        return full, counts, [limit.value for limit in limits]

    def _failed(self, reason: str) -> None:
        self.failures += 1
        self._rests_until_s = self._monotonic() + REST_S
        log.warning("rate_limits_counted_here", reason=reason)

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
            if name in self._pending or len(self._pending) < MOST_PENDING:
                self._pending[name] = (self._pending.get(name, (0, ends))[0] + tokens, ends)
            else:
                self.counters.dropped += 1

    async def flush(self) -> None:
        """Tell Redis what calls took; what it does not take stays for the next time, until its window ends."""
        if self._shared is None or not self._pending or self._monotonic() < self._rests_until_s:
            return
        pending, self._pending = self._pending, {}
        now = self._clock()
        counted = [
            (name, count, int((ends - now) * 1000) + 1000) for name, (count, ends) in pending.items() if ends > now
        ]
        try:
            if counted:
                await self._shared.add(counted)
        except SharedUnavailable as fault:
            self._failed(str(fault))
            for name, (count, ends) in pending.items():
                self._pending[name] = (self._pending.get(name, (0, ends))[0] + count, ends)

    async def close(self) -> None:
        """Tell Redis the rest, and hang up."""
        await self.flush()
        if self._shared is not None:
            await self._shared.close()


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
