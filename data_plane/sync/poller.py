"""The loop that keeps asking for a newer head; it survives everything, and traffic never waits for it.

Long polls by default; where something on the way cuts them off, short polls, and now and then a long one again.
Failures back off with full jitter.  No answer of any kind deletes anything here.
"""

import asyncio
import random
import time
from collections.abc import Callable
from typing import Final

import structlog

from data_plane.sync.pull import Puller
from data_plane.upstream.control import ControlClient, ControlUnreachable
from shared import wire
from shared.bundle.model import MAX_HEAD_BYTES, BundleRejected

MAX_BACKOFF_S: Final = 60.0
#: A refusal is not cured by asking often: such pauses grow this many times longer.
REFUSED_FACTOR: Final = 5
BROKEN_LONG_POLLS: Final = 3
LONG_AGAIN_S: Final = 600.0

log = structlog.get_logger(module=__name__)


class Poller:
    """Polls the head of one group until cancelled."""

    def __init__(
        self,
        client: ControlClient,
        puller: Puller,
        group: str,
        *,
        on_rejected: Callable[[], None],
        on_connected: Callable[[bool], None],
        max_backoff_s: float = MAX_BACKOFF_S,
    ) -> None:
        self._client = client
        self._puller = puller
        self._group = group
        self._on_rejected = on_rejected
        self._on_connected = on_connected
        self._max_backoff_s = max_backoff_s
        self._failures = 0
        self._broken = 0
        self._short_until = 0.0
        self.errors = 0
        self.last_attempt = time.monotonic()

    async def run(self) -> None:
        """Poll for ever; anything that goes wrong is logged, counted and tried again."""
        while True:
            self.last_attempt = time.monotonic()
            try:
                pause_s = await self._round()
            except BundleRejected as fault:
                self.errors += 1
                log.error("bundle_rejected", code=fault.code, detail=fault.detail, section=fault.section)  # noqa: TRY400 -- a verdict, not a crash
                self._on_rejected()
                pause_s = self._backoff_s(1)
            except ControlUnreachable as fault:
                pause_s = self._unreachable(str(fault))
            except Exception:  # the poll loop is an edge: nothing may end it
                self.errors += 1
                log.exception("poll_failed")
                pause_s = self._backoff_s(1)
            await asyncio.sleep(pause_s)

    def _unreachable(self, reason: str) -> float:
        self._on_connected(False)
        log.warning("control_plane_unreachable", reason=reason, failures=self._failures)
        return self._backoff_s(REFUSED_FACTOR if reason.startswith("status 4") else 1)

    def _backoff_s(self, factor: int) -> float:
        self._failures += 1
        most = self._max_backoff_s * factor
        return random.uniform(0.05, min(most, 0.5 * 2 ** min(self._failures, 12)))  # noqa: S311 -- spreads load

    def _wait_s(self) -> int:
        if self._short_until > time.monotonic():
            return 0
        return self._puller.head.poll.wait if self._puller.head else 0

    async def _round(self) -> float:
        """Make one poll; return the pause before the next, in seconds."""
        head, wait_s = self._puller.head, self._wait_s()
        known = f"{head.epoch}.{head.seq}" if head else "0.0"
        number = head.head_no if head else 0
        path = f"{wire.DP_PREFIX}/groups/{self._group}/head?known={known}&head_no={number}&wait={wait_s}"
        started = time.monotonic()
        try:
            answer = await self._client.call("GET", path, timeout_s=wait_s + 15.0, limit=MAX_HEAD_BYTES)
        except ControlUnreachable:
            self._note_broken(wait_s, time.monotonic() - started)
            raise
        if answer.status != 200:
            raise ControlUnreachable(f"status {answer.status}")
        changed = await self._puller.take(answer.body)
        self._on_connected(True)
        took_s = time.monotonic() - started
        self._failures = self._broken = 0
        if changed:
            return 0.0
        if self._short_until > time.monotonic() and self._puller.head is not None:
            return self._puller.head.poll.short * random.uniform(0.8, 1.2)  # noqa: S311 -- spreads load
        # A server that answers at once although nothing changed must not be asked in a tight loop.
        newer = head is not None and self._puller.head is not None and self._puller.head.head_no > head.head_no
        if took_s < 1.0 and not newer and wait_s:
            return random.uniform(1.0, 2.0)  # noqa: S311 -- spreads load
        return 0.0

    def _note_broken(self, wait_s: int, took_s: float) -> None:
        """Count long polls that are cut off before their time; three in a row mean short polls for a while."""
        if not wait_s or took_s < 5.0:
            return
        self._broken += 1
        if self._broken >= BROKEN_LONG_POLLS:
            self._broken = 0
            self._short_until = time.monotonic() + LONG_AGAIN_S
