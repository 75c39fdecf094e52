"""Keeps what runs out, and gets it anew before it does: once for all requests that need the same.

While one request asks, the others wait for its answer.  A refusal is remembered for a moment, so that a wrong
credential does not become a flood at somebody's door.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from shared.errors import GatewayError

REFUSED_S: Final = 5.0
MOST: Final = 1000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Held(Generic[T]):
    until_s: float
    value: T


@dataclass(frozen=True, slots=True)
class _Refused:
    until_s: float
    fault: GatewayError


class Renewed(Generic[T]):
    """Things that run out, by name; each is got again `early_s` before it ends."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, early_s: float) -> None:
        self._clock = clock
        self._early_s = early_s
        self._held: OrderedDict[str, _Held[T] | _Refused] = OrderedDict()
        self._asking: dict[str, asyncio.Task[T]] = {}

    async def get(self, name: str, ask: Callable[[], Awaitable[tuple[T, float]]]) -> T:
        """Return what is held under `name`, or what `ask` returns with how many seconds it holds.

        Raises the GatewayErrors of `ask`, and the last one of them again for a moment.
        """
        held = self._held.get(name)
        if held is not None and held.until_s > self._clock():
            if isinstance(held, _Refused):
                raise held.fault.with_traceback(None)
            return held.value
        asking = self._asking.get(name)
        if asking is None:
            asking = asyncio.create_task(self._ask(name, ask))
            self._asking[name] = asking
            asking.add_done_callback(lambda done: self._forget(name, done))
        # A caller that leaves must not take the answer from those who wait beside it.
        return await asyncio.shield(asking)

    def _forget(self, name: str, done: asyncio.Task[T]) -> None:
        self._asking.pop(name, None)
        if not done.cancelled():
            # When everybody who waited has left, nobody else looks at the error.
            done.exception()

    async def _ask(self, name: str, ask: Callable[[], Awaitable[tuple[T, float]]]) -> T:
        try:
            value, life_s = await ask()
        except GatewayError as fault:
            self._hold(name, _Refused(self._clock() + REFUSED_S, fault))
            raise
        self._hold(name, _Held(self._clock() + max(1.0, life_s - self._early_s), value))
        return value

    def _hold(self, name: str, held: _Held[T] | _Refused) -> None:
        self._held[name] = held
        self._held.move_to_end(name)
        if len(self._held) > MOST:
            self._held.popitem(last=False)
