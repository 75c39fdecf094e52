"""The current head of every group, in memory; waiting polls are woken by the database's notifications.

A poll costs a future and a few kilobytes.  When the notification line is down the heads are read again every second,
so a change is late by that at most.
"""

import asyncio
from typing import Any, Final, NamedTuple
from uuid import UUID

import psycopg
import structlog
from django.db import connection

from control_plane.edge.database import in_database
from control_plane.gateways.models import GatewayGroup
from control_plane.gateways.publish import HEAD_CHANNEL

REREAD_S: Final = 5.0
RETRY_S: Final = 1.0

log = structlog.get_logger(module=__name__)


class CurrentHead(NamedTuple):
    """A group's newest head: its version, and the signed bytes that are served."""

    epoch: int
    seq: int
    head_no: int
    content: bytes

    def is_newer(self, epoch: int, seq: int, head_no: int) -> bool:
        """Return whether a gateway that knows these numbers lacks this head."""
        return (self.epoch, self.seq, self.head_no) > (epoch, seq, head_no)


class Heads:
    """Follows the heads of all groups."""

    def __init__(self) -> None:
        self._heads: dict[UUID, CurrentHead] = {}
        self._changed: dict[UUID, asyncio.Event] = {}

    def _read(self) -> list[tuple[UUID, CurrentHead]]:
        rows = GatewayGroup.objects.filter(status="active", head__isnull=False)
        return [
            (pk, CurrentHead(epoch, seq, head_no, bytes(head or b"")))
            for pk, epoch, seq, head_no, head in rows.values_list("pk", "epoch", "seq", "head_no", "head")
        ]

    async def reread(self) -> None:
        """Read all heads and wake the polls of those that changed."""
        for group, head in await in_database(self._read):
            if self._heads.get(group) != head:
                self._heads[group] = head
                waiting = self._changed.pop(group, None)
                if waiting is not None:
                    waiting.set()

    async def wait(self, group: UUID, known: tuple[int, int, int], wait_s: float) -> bytes | None:
        """Return the head as soon as it is newer than `known`, else the current one after `wait_s`."""
        try:
            async with asyncio.timeout(wait_s):
                while not (head := self._heads.get(group)) or not head.is_newer(*known):
                    await self._changed.setdefault(group, asyncio.Event()).wait()
        except TimeoutError:
            pass
        head = self._heads.get(group)
        return head.content if head else None

    async def follow(self) -> None:
        """Keep the heads current until cancelled."""
        while True:
            try:
                await self._listen()
            except (psycopg.Error, OSError, TimeoutError) as fault:
                log.warning("head_line_down", reason=type(fault).__name__)
                await asyncio.sleep(RETRY_S)
            except Exception:  # the loop that feeds every gateway is an edge: nothing may end it
                log.exception("head_line_failed")
                await asyncio.sleep(RETRY_S)

    async def _listen(self) -> None:
        database = connection.settings_dict
        line: psycopg.AsyncConnection[Any] = await psycopg.AsyncConnection.connect(
            host=database["HOST"], port=database["PORT"], user=database["USER"], password=database["PASSWORD"],
            dbname=database["NAME"], autocommit=True, connect_timeout=10,
        )  # fmt: skip
        async with line:
            await line.execute(f"LISTEN {HEAD_CHANNEL}")
            while True:
                await self.reread()
                async for _ in line.notifies(timeout=REREAD_S, stop_after=1):
                    pass
