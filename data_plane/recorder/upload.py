"""Carries the spool to the control plane: in order, again and again until acknowledged, each record counted once.

One batch of a stream is in flight at a time; streams go in parallel.  A batch is addressed by (stream, first sequence
number), so sending it again is harmless.  What cannot be stored over there is set aside here and counted; what was
damaged or given up here is told as a DROPPED frame, so that the sequence has no silent hole.
"""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import structlog
import zstandard

from data_plane.recorder.backlog import Backlog, Batch, live_streams
from data_plane.upstream.control import ControlAnswer, ControlClient, ControlUnreachable
from shared import wire
from shared.bundle.trust import sha256

LOOK_EVERY_S: Final = 0.25
MAX_BACKOFF_S: Final = 60.0
REFUSED_FACTOR: Final = 5
PARALLEL: Final = 4
FULL_BYTES: Final = wire.MAX_BATCH_BYTES * 3 // 4

log = structlog.get_logger(module=__name__)


class Uploader:
    """Uploads every stream below `folder` until cancelled."""

    def __init__(
        self,
        client: ControlClient,
        folder: Path,
        *,
        on_ack: Callable[[], None] = lambda: None,
        max_backoff_s: float = MAX_BACKOFF_S,
    ) -> None:
        self._client = client
        self._folder = folder
        self._on_ack = on_ack
        self._max_backoff_s = max_backoff_s
        self._tasks: dict[Path, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(PARALLEL)
        self.quarantined = 0
        self.errors = 0

    async def run(self) -> None:
        """Look for streams and keep one task on each."""
        try:
            while True:
                for stream in await asyncio.to_thread(live_streams, self._folder):
                    if stream not in self._tasks or self._tasks[stream].done():
                        self._tasks[stream] = asyncio.create_task(self._carry(stream))
                await asyncio.sleep(LOOK_EVERY_S)
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _carry(self, folder: Path) -> None:
        """Upload one stream until it is finished and empty."""
        backlog = Backlog(folder)
        try:
            await self._carry_on(backlog)
        finally:
            backlog.close()

    async def _carry_on(self, backlog: Backlog) -> None:
        failures = 0
        while True:
            try:
                if await asyncio.to_thread(backlog.finish_if_done):
                    return
                pause_s = await self._step(backlog)
                failures = 0
            except FileNotFoundError:
                # The writer renamed a segment between a look and a read; another look finds it.
                pause_s = LOOK_EVERY_S
            except ControlUnreachable as fault:
                failures += 1
                most = self._max_backoff_s * (REFUSED_FACTOR if str(fault).startswith("status 4") else 1)
                pause_s = random.uniform(0.05, min(most, 0.25 * 2 ** min(failures, 12)))  # noqa: S311 -- spreads load
            except Exception:  # a stream that fails must be tried again, not forgotten
                self.errors += 1
                failures += 1
                log.exception("upload_failed", stream=backlog.folder.name)
                pause_s = min(self._max_backoff_s, 0.5 * 2 ** min(failures, 7))
            await asyncio.sleep(pause_s)

    async def _step(self, backlog: Backlog) -> float:
        """Send one batch; return the pause before the next, in seconds."""
        batch = await asyncio.to_thread(backlog.next_batch)
        if batch is None:
            return LOOK_EVERY_S
        async with self._slots:
            answer = await self._send(backlog, batch)
        await asyncio.to_thread(self._digest, backlog, batch, answer)
        # A call costs the same for one record as for a thousand: with no backlog, let some gather.
        return 0.0 if len(batch.content) >= FULL_BYTES else LOOK_EVERY_S

    async def _send(self, backlog: Backlog, batch: Batch) -> ControlAnswer:
        packed = await asyncio.to_thread(zstandard.ZstdCompressor(level=1).compress, batch.content)
        path = f"{wire.DP_PREFIX}/ingest/{backlog.stream_id}/{batch.first_seq}"
        headers = {
            wire.LAST_SEQ: str(batch.last_seq),
            wire.BODY_SHA256: sha256(packed),
            "content-type": "application/octet-stream",
        }
        answer = await self._client.call("POST", path, body=packed, headers=headers, timeout_s=120.0)
        if answer.status in {200, 409, 413, 422}:
            return answer
        raise ControlUnreachable(f"status {answer.status}")

    def _digest(self, backlog: Backlog, batch: Batch, answer: ControlAnswer) -> None:
        if answer.status == 200:
            backlog.ack(msgspec.json.decode(answer.body, type=wire.IngestAnswer).acked)
            self._on_ack()
        elif answer.status == 409:
            backlog.seek(msgspec.json.decode(answer.body, type=wire.IngestConflict).expected)
        elif answer.status == 413:
            backlog.shrink()
        else:
            refused = msgspec.json.decode(answer.body, type=wire.IngestRefusal).bad_seq
            self.quarantined += backlog.set_aside(batch, refused)
