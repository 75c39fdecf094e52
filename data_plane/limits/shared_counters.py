"""Counters that all gateways share, in Redis: one script, so that looking and counting are one step.

All names of a call share a hash tag, so that a Redis Cluster keeps them together.  Beside the counters lies the moment
since when they are counted: whoever meets another one than before knows that Redis has lost what was in it.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Sequence
from typing import Any, Final, NamedTuple, cast

#: A script that looks at every counter first, then counts in all of them, or in none.
#: KEYS: since when, then counters.  ARGV: how many milliseconds Redis is new; then for each counter: the most, how many
#: to add, the least known of it, milliseconds that it lasts, what is left of the gateway's own share.
#: Returns {the number of the first that is full, or 0, whether only by the share, since when, the counts now}.
_ADMIT: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local since = tonumber(redis.call('GET', KEYS[1]) or '0')
if since == 0 then
  since = now
  redis.call('SET', KEYS[1], string.format('%.0f', now))
end
local is_new = now >= since and now - since < tonumber(ARGV[1])
local counts, full, by_share = {}, 0, 0
for i = 1, #KEYS - 1 do
  local at = i * 5 - 4
  local count = math.max(tonumber(redis.call('GET', KEYS[i + 1]) or '0'), tonumber(ARGV[at + 3]))
  counts[i] = count
  if full == 0 and count + math.max(tonumber(ARGV[at + 2]), 1) > tonumber(ARGV[at + 1]) then
    full = i
  elseif full == 0 and is_new and tonumber(ARGV[at + 5]) <= 0 then
    full, by_share = i, 1
  end
end
if full == 0 then
  for i = 1, #KEYS - 1 do
    local add = tonumber(ARGV[i * 5 - 2])
    if add > 0 then
      counts[i] = counts[i] + add
      redis.call('SET', KEYS[i + 1], string.format('%.0f', counts[i]), 'PX', tonumber(ARGV[i * 5]))
    end
  end
end
return {full, by_share, since, unpack(counts)}
"""
#: Adds what a worker tells, once, however often it tells it.
#: KEYS: the number of what it told last, then counters.  ARGV: the number, how many milliseconds it is remembered; then
#: for each counter: how many to add, milliseconds that it lasts.
_ADD: Final = """
if tonumber(redis.call('GET', KEYS[1]) or '0') >= tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
for i = 2, #KEYS do
  redis.call('INCRBY', KEYS[i], ARGV[i * 2 - 1])
  redis.call('PEXPIRE', KEYS[i], ARGV[i * 2])
end
return #KEYS
"""
#: KEYS: counters.  ARGV, for each: the least that was counted, milliseconds that it lasts.
_RAISE: Final = """
for i, key in ipairs(KEYS) do
  if tonumber(redis.call('GET', key) or '0') < tonumber(ARGV[i * 2 - 1]) then
    redis.call('SET', key, ARGV[i * 2 - 1], 'PX', ARGV[i * 2])
  end
end
return #KEYS
"""
PREFIX: Final = "gatehouse:{rates}:"
SINCE: Final = f"{PREFIX}since"
#: How long a Redis is taken for new: longer than all gateways need to notice, and to tell it what they know.
SETTLE_S: Final = 5.0
#: How long Redis remembers what a worker told last: longer than an answer of it may be on its way.
TOLD_MS: Final = 24 * 3600 * 1000
#: Longer than a Redis in the same network takes; a request does not wait for one that is ill.
TIMEOUT_S: Final = 0.25


class SharedUnavailable(RuntimeError):
    """Redis did not answer in time, or not as it should."""


class Wanted(NamedTuple):
    """A counter that a call looks at, and counts in where `add` is 1.

    `known`: so much was counted at least.  `left_ms`: how long it lasts.  `own_left`: what is left of the gateway's own
    share of it.
    """

    name: str
    most: int
    add: int
    known: int
    left_ms: int
    own_left: int


class Seen(NamedTuple):
    """What was found: the index of the counter that is full, or -1; the counts; since when Redis counts.

    `by_share`: Redis is new, and until the others have told what they know, the gateway's own share holds.
    """

    full: int
    counts: list[int]
    since: int
    by_share: bool


class SharedCounters:
    """Counters in one Redis, which has `timeout_s` for each answer; for `settle_s` it is taken for new."""

    def __init__(self, url: str, timeout_s: float = TIMEOUT_S, *, settle_s: float = SETTLE_S) -> None:
        import redis.asyncio  # noqa: PLC0415 -- half a second of CPU, which a worker without a Redis starts without

        self._timeout_s = timeout_s
        self._faults = (redis.exceptions.RedisError, OSError, TimeoutError, ValueError)
        self._settle_ms = int(settle_s * 1000)
        # Calls beyond so many at once wait for a connection, within their time.
        pool = redis.asyncio.BlockingConnectionPool.from_url(
            url, max_connections=64, timeout=timeout_s, socket_timeout=timeout_s, socket_connect_timeout=timeout_s,
            retry=None,
        )  # fmt: skip
        self._redis: redis.asyncio.Redis = redis.asyncio.Redis.from_pool(pool)
        self._told = f"{PREFIX}told:{uuid.uuid4().hex}"
        self._admit = self._redis.register_script(_ADMIT)
        self._add = self._redis.register_script(_ADD)
        self._raise = self._redis.register_script(_RAISE)

    async def admit(self, wanted: Sequence[Wanted]) -> Seen:
        """Count in all of the counters, unless one is full.  Raises SharedUnavailable."""
        names = [SINCE, *(PREFIX + each.name for each in wanted)]
        arguments = [self._settle_ms, *(number for each in wanted for number in each[1:])]
        full, by_share, since, *counts = await self._run(self._admit(keys=names, args=arguments))
        return Seen(int(full) - 1, [int(count) for count in counts], int(since), bool(by_share))

    async def add(self, number: int, counted: Sequence[tuple[str, int, int]]) -> None:
        """Count in the counters: (name, how many, milliseconds left) each.  Raises SharedUnavailable.

        What is told again with the same `number`, or a lower one, counts once.
        """
        names = [self._told, *(PREFIX + name for name, *_ in counted)]
        arguments = [number, TOLD_MS, *(each for _, *numbers in counted for each in numbers)]
        await self._run(self._add(keys=names, args=arguments))

    async def raise_to(self, counted: Sequence[tuple[str, int, int]]) -> None:
        """Tell what was counted at least: (name, how many, milliseconds left) each.  Raises SharedUnavailable."""
        names = [PREFIX + name for name, *_ in counted]
        await self._run(self._raise(keys=names, args=[number for _, *numbers in counted for number in numbers]))

    async def _run(self, call: Any) -> Any:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await cast("Awaitable[Any]", call)
        except self._faults as fault:
            raise SharedUnavailable(type(fault).__name__) from None

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()
