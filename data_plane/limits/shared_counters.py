"""Counters that all gateways share, in Redis: one script, so that looking and counting are one step.

All names of a call share a hash tag, so that a Redis Cluster keeps them together.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any, Final, cast

import redis.asyncio
from redis.exceptions import RedisError

#: A script that looks at every counter first, then counts in all of them, or in none.
#: KEYS: counters.  ARGV, for each: the most, how many to add, the least known of it, milliseconds that it lasts.
#: Returns {the number of the first that is full, or 0, then the counts as they are now}.
_ADMIT: Final = """
local counts, full = {}, 0
for i, key in ipairs(KEYS) do
  local at = (i - 1) * 4
  local count = math.max(tonumber(redis.call('GET', key) or '0'), tonumber(ARGV[at + 3]))
  counts[i] = count
  if full == 0 and count + math.max(tonumber(ARGV[at + 2]), 1) > tonumber(ARGV[at + 1]) then full = i end
end
if full == 0 then
  for i, key in ipairs(KEYS) do
    local at = (i - 1) * 4
    local add = tonumber(ARGV[at + 2])
    if add > 0 then
      counts[i] = counts[i] + add
      redis.call('SET', key, counts[i], 'PX', tonumber(ARGV[at + 4]))
    end
  end
end
table.insert(counts, 1, full)
return counts
"""
#: KEYS: counters.  ARGV, for each: how many to add, milliseconds that it lasts.
_ADD: Final = """
for i, key in ipairs(KEYS) do
  redis.call('INCRBY', key, ARGV[i * 2 - 1])
  redis.call('PEXPIRE', key, ARGV[i * 2])
end
return #KEYS
"""
PREFIX: Final = "gatehouse:{rates}:"
#: Longer than a Redis in the same network takes; a request does not wait for one that is ill.
TIMEOUT_S: Final = 0.25


class SharedUnavailable(RuntimeError):
    """Redis did not answer in time, or not as it should."""


class SharedCounters:
    """Counters in one Redis, which has `timeout_s` for each answer."""

    def __init__(self, url: str, timeout_s: float = TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._redis: redis.asyncio.Redis = redis.asyncio.Redis.from_url(
            url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, max_connections=64, retry=None
        )
        self._admit = self._redis.register_script(_ADMIT)
        self._add = self._redis.register_script(_ADD)

    async def admit(self, wanted: Sequence[tuple[str, int, int, int, int]]) -> tuple[int, list[int]]:
        """Count in all of the counters, unless one is full: (name, most, add, least known, milliseconds left) each.

        Returns (the index of the one that is full, or -1; the counts).  Raises SharedUnavailable.
        """
        names = [PREFIX + name for name, *_ in wanted]
        arguments = [number for _, *numbers in wanted for number in numbers]
        full, *counts = await self._run(self._admit(keys=names, args=arguments))
        return int(full) - 1, [int(count) for count in counts]

    async def add(self, counted: Sequence[tuple[str, int, int]]) -> None:
        """Count in the counters: (name, how many, milliseconds left) each.  Raises SharedUnavailable."""
        names = [PREFIX + name for name, *_ in counted]
        await self._run(self._add(keys=names, args=[number for _, *numbers in counted for number in numbers]))

    async def _run(self, call: Any) -> Any:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await cast("Awaitable[Any]", call)
        except (RedisError, OSError, TimeoutError, ValueError) as fault:
            raise SharedUnavailable(type(fault).__name__) from None

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()
