"""The queue between requests and the spool: bounded, never waits, counts what it drops.

`record` is called on the event loop and only appends to a deque; one thread encodes and writes.  The thread is woken
at most once every few milliseconds, so that a busy gateway writes in batches.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import msgspec
import structlog

from data_plane.recorder.spool import SYNC_S, SpoolWriter
from shared.frames import PAYLOAD, RECORD
from shared.schema.log_record import LogRecord

PAYLOAD_SYNC_S: Final = 1.0
MAX_QUEUED: Final = 10_000
MAX_QUEUED_BYTES: Final = 64 * 1024 * 1024
BATCH_S: Final = 0.015
BATCH_RECORDS: Final = 512

Json = dict[str, Any]
log = structlog.get_logger(module=__name__)


class Recorder:
    """Takes finished records and, by policy, their bodies."""

    def __init__(self, records: SpoolWriter, payloads: SpoolWriter, keep: Callable[[Json], None]) -> None:
        """Write records and shipped bodies to two streams; `keep` stores bodies that stay here (in the thread)."""
        self._records = records
        self._payloads = payloads
        self._keep = keep
        self._queue: deque[tuple[LogRecord, Json | None, Json | None, int]] = deque()
        self._queued_bytes = 0
        self.dropped: dict[str, int] = {}
        self._wake = threading.Event()
        self._wake_due = False
        self._closing = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)

    def start(self) -> None:
        """Start the writing thread; call it on the event loop that will record."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def record(self, record: LogRecord, shipped: Json | None = None, kept: Json | None = None, size: int = 0) -> None:
        """Queue a record with the body to ship or to keep (`size` bytes); never waits, never raises.

        With a full queue the body is given up first, then the record; both are counted.
        """
        if len(self._queue) >= MAX_QUEUED:
            self._count("queue_full")
            return
        if size and self._queued_bytes + size > MAX_QUEUED_BYTES:
            self._count("payload_queue_full")
            shipped = kept = None
            size = 0
        self._queued_bytes += size
        self._queue.append((record, shipped, kept, size))
        if not self._wake_due and self._loop is not None:
            self._wake_due = True
            self._loop.call_later(BATCH_S, self._wake.set)

    def _count(self, reason: str) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + 1

    def _run(self) -> None:
        while not self._closing or self._queue:
            self._wake.wait(SYNC_S)
            self._wake.clear()
            self._wake_due = False
            while self._queue:
                self._write_batch()
            self._records.sync(SYNC_S)
            self._payloads.sync(PAYLOAD_SYNC_S)

    def _write_batch(self) -> None:
        records: list[tuple[int, bytes]] = []
        payloads: list[tuple[int, bytes]] = []
        for _ in range(min(BATCH_RECORDS, len(self._queue))):
            record, shipped, kept, size = self._queue.popleft()
            self._queued_bytes -= size
            try:
                records.append((RECORD, msgspec.msgpack.encode(record)))
                if shipped is not None:
                    payloads.append((PAYLOAD, msgspec.msgpack.encode(shipped)))
                if kept is not None:
                    self._keep(kept)
            except Exception:
                log.exception("record_lost")
                self._count("record_failed")
        self._records.append(records)
        self._payloads.append(payloads)

    def totals(self) -> dict[str, int]:
        """Return how many were dropped, by reason, since the start."""
        total = dict(self.dropped)
        for writer in (self._records, self._payloads):
            for reason, count in writer.dropped.items():
                total[reason] = total.get(reason, 0) + count
        return total

    def close(self, timeout_s: float = 20.0) -> None:
        """Write out what is queued and seal the spool."""
        self._closing = True
        self._wake.set()
        self._thread.join(timeout_s)
        self._records.close()
        self._payloads.close()
