"""Keeps the leases of this gateway: hears what its workers need and spend, and asks the control plane for more.

One report at a time is on its way, so that what the control plane answers is about what it was told last.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Final

import msgspec
import structlog

from data_plane.limits.lease import Asked, Leases
from data_plane.limits.slices import Draw, Granted, Refused, Reply, Returned, Spent
from data_plane.upstream.control import ControlClient, ControlUnreachable
from shared import wire

LOOK_EVERY_S: Final = 0.1
CALL_TIMEOUT_S: Final = 2.0
#: As many asks as a report may have, with room for what is past.
MOST_ASKS: Final = wire.MAX_ASKS - 10
#: Of a control plane that does not answer in time as little as this is asked at a time.
LEAST_ASKS: Final = 20
END_ROUNDS: Final = 50

log = structlog.get_logger(module=__name__)


def now_s() -> float:
    """Return seconds of a clock that is never set, and that goes on while the machine sleeps where there is one."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class LeaseKeeper:
    """The leases of one run of a gateway, `boot`.

    `reply` tells a worker (by its line) what it waits for, `recall` tells all of them what to hand back, and
    `is_drained` says whether no records of earlier runs are left.
    """

    def __init__(
        self,
        client: ControlClient,
        instance: str,
        boot: str,
        *,
        reply: Callable[[int, list[Granted], list[Refused]], None],
        recall: Callable[[list[str]], None],
        is_drained: Callable[[], bool],
        clock: Callable[[], float] = now_s,
    ) -> None:
        self._client = client
        self._instance = instance
        self.boot = boot
        self._reply = reply
        self._recall = recall
        self._is_drained = is_drained
        self._was_drained = False
        self._is_away = False
        self._clock = clock
        self._seq = 0
        self._most = MOST_ASKS
        self._stir = asyncio.Event()
        self.leases = Leases()

    # workers

    def heard(self, line: int, draws: Iterable[Draw], spent: Iterable[Spent], returned: Iterable[Returned]) -> None:
        """Take what a worker says."""
        now = self._clock()
        self.leases.told(line, spent, now)
        replies = self.leases.returned(line, returned)
        for draw in draws:
            reply = self.leases.draw(line, draw, now)
            if reply is None:
                self._stir.set()
            else:
                replies.append((line, reply))
        self._send(replies)

    def _send(self, replies: Iterable[tuple[int, Reply]]) -> None:
        granted: dict[int, list[Granted]] = defaultdict(list)
        refused: dict[int, list[Refused]] = defaultdict(list)
        for line, reply in replies:
            if isinstance(reply, Granted):
                granted[line].append(reply)
            else:
                refused[line].append(reply)
        for line in granted.keys() | refused.keys():
            self._reply(line, granted[line], refused[line])
        if self.leases.recalled:
            keys, self.leases.recalled = sorted(self.leases.recalled), set()
            self._recall(keys)

    # the control plane

    async def run(self) -> None:
        """Report for ever: when there is something to tell, and at once when a call waits."""
        while True:
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._stir.wait()
            except TimeoutError:
                pass
            self._stir.clear()
            try:
                await self._step()
            except Exception:  # the loop is an edge: nothing may end it
                log.exception("lease_report_failed")
                self._send(self.leases.unreachable(self._clock()))
                await asyncio.sleep(1.0)

    async def _step(self) -> None:
        asked = self.leases.due(self._clock(), self._most)
        self._send(())
        drained = not self._was_drained and await asyncio.to_thread(self._is_drained)
        if not (asked or drained):
            return
        try:
            await self._report(asked, drained=drained)
        except ControlUnreachable as fault:
            if not self._is_away:
                log.warning("budgets_not_confirmed", reason=str(fault))
            self._is_away = True
            self._send(self.leases.unreachable(self._clock()))
            self._most = max(LEAST_ASKS, self._most // 2)
            if not asked:
                await asyncio.sleep(1.0)
        else:
            self._was_drained = self._was_drained or drained
            if self._is_away:
                log.info("budgets_confirmed_again")
            self._is_away = False

    async def _report(self, asked: list[Asked], *, drained: bool = False, ended: bool = False) -> None:
        self._seq += 1
        asks = tuple(ask for _, ask in asked)
        report = wire.UsageReport(self._instance, self.boot, self._seq, asks, ended=ended, drained=drained)
        answer = await self._client.call(
            "POST", f"{wire.DP_PREFIX}/usage", body=msgspec.json.encode(report),
            headers={"content-type": "application/json"}, timeout_s=CALL_TIMEOUT_S,
        )  # fmt: skip
        if answer.status != 200:
            raise ControlUnreachable(f"status {answer.status}")
        try:
            told = msgspec.json.decode(answer.body, type=wire.UsageAnswer).answers
        except msgspec.DecodeError:
            raise ControlUnreachable("an answer that is none") from None
        if told is None or len(told) != len(asked):
            raise ControlUnreachable("an answer to another report")
        self._send(self.leases.absorb(asked, told, self._clock()))
        self._most = min(MOST_ASKS, 2 * self._most)

    async def end(self, *, is_shipped: bool = False) -> None:
        """Tell what was spent and hand back the rest; raises ControlUnreachable, and then it stays set aside.

        So does what a worker held that is gone, unless all records are there (`is_shipped`), which say what it spent.
        """
        for _ in range(END_ROUNDS):
            most = self._most
            asked = self.leases.due(self._clock(), most, at_end=True)
            is_last = len(asked) < most // 2
            await self._report(asked, ended=is_last and (is_shipped or self.leases.is_certain))
            if is_last:
                return
