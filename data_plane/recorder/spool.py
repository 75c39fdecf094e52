"""The spool: append-only segments on disk between the gateway and the control plane.

Each process writes streams of its own, with a new id each time it starts, so a sequence number is never used twice.
One thread writes; whatever `write()` has returned survives the death of the process.  A full or failing disk costs
records, which are counted, and never a request.
"""

import fcntl
import os
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec
import structlog

from shared.frames import DROPPED, pack_frame

MAGIC: Final = b"GWSPOOL1"
HEADER_BYTES: Final = len(MAGIC) + 16 + 8
SYNC_S: Final = 0.2
ROTATE_S: Final = 30.0
REOPEN_S: Final = 1.0

log = structlog.get_logger(module=__name__)


def segment_header(stream_id: uuid.UUID, first_seq: int) -> bytes:
    """Return the bytes that a segment begins with."""
    return MAGIC + stream_id.bytes + first_seq.to_bytes(8, "big")


def read_segment_header(content: bytes) -> tuple[uuid.UUID, int] | None:
    """Return (stream id, first sequence number) of a segment, or None when its header is not whole."""
    if len(content) < HEADER_BYTES or content[: len(MAGIC)] != MAGIC:
        return None
    return uuid.UUID(bytes=content[8:24]), int.from_bytes(content[24:32], "big")


class SpoolWriter:
    """Writes one stream below `folder`; not shared between threads."""

    def __init__(
        self,
        folder: Path,
        *,
        segment_bytes: int,
        min_free_bytes: int = 64 * 1024 * 1024,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.stream_id = uuid.uuid4()
        self.folder = folder / self.stream_id.hex
        self.next_seq = 1
        self.dropped: dict[str, int] = {}
        self._untold = 0
        self._untold_bytes = 0
        self._segment_bytes = segment_bytes
        self._min_free_bytes = min_free_bytes
        self._clock = clock
        self._fd = -1
        self._size = 0
        self._opened_at = 0.0
        self._unsynced_since: float | None = None
        self._retry_at = 0.0
        self._path = self.folder
        self.folder.mkdir(parents=True, mode=0o700)
        # Held while this process lives: whoever can take it knows that nobody writes here any more.  Nobody sees it
        # before it is held, or a reader could take it first and clear the folder away.
        draft = self.folder / "lock.tmp"
        self._lock = os.open(draft, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        draft.rename(self.folder / "lock")

    def append(self, entries: Sequence[tuple[int, bytes]]) -> None:
        """Write frames of (kind, payload) with one `write()`; what cannot be written is counted as dropped."""
        if not entries:
            return
        now = self._clock()
        try:
            self._ensure_open(now)
            self._write(entries, now)
        except OSError as fault:
            self._fail(entries, fault, now)

    def _ensure_open(self, now: float) -> None:
        if now < self._retry_at:
            raise OSError("the spool is waiting to reopen")
        if self._fd >= 0 and (self._size >= self._segment_bytes or now - self._opened_at >= ROTATE_S):
            self.seal()
        if self._fd >= 0:
            return
        space = os.statvfs(self.folder)
        if space.f_bavail * space.f_frsize < self._min_free_bytes:
            raise OSError("too little free space for the spool")
        self._path = self.folder / f"{self.next_seq:020d}.open"
        self._fd = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size = 0
        self._put(segment_header(self.stream_id, self.next_seq))
        self._opened_at = now

    def _write(self, entries: Sequence[tuple[int, bytes]], now: float) -> None:
        seq = self.next_seq
        frames = []
        if self._untold:
            note = {"from": seq, "to": seq, "n": self._untold, "bytes": self._untold_bytes, "reason": "spool_failed"}
            frames.append(pack_frame(seq, DROPPED, msgspec.msgpack.encode(note)))
            seq += 1
        for kind, payload in entries:
            frames.append(pack_frame(seq, kind, payload))
            seq += 1
        self._put(b"".join(frames))
        self.next_seq = seq
        self._untold = self._untold_bytes = 0
        if self._unsynced_since is None:
            self._unsynced_since = now

    def _put(self, content: bytes) -> None:
        written = os.write(self._fd, content)
        if written != len(content):
            # A torn frame in mid-segment would hide what follows it.
            os.ftruncate(self._fd, self._size)
            raise OSError("the spool's disk took only a part of a batch")
        self._size += written

    def _fail(self, entries: Sequence[tuple[int, bytes]], fault: OSError, now: float) -> None:
        lost_bytes = sum(len(payload) for _, payload in entries)
        self._untold += len(entries)
        self._untold_bytes += lost_bytes
        self.dropped["spool_failed"] = self.dropped.get("spool_failed", 0) + len(entries)
        log.error("spool_failed", reason=fault.strerror or str(fault), lost=len(entries))
        if self._fd >= 0:
            self._close(".suspect" if self._size > HEADER_BYTES else ".seg")
        self._retry_at = max(self._retry_at, now + REOPEN_S)

    def sync(self, every_s: float = SYNC_S) -> None:
        """Make what was written survive a power loss, when the oldest of it has waited `every_s`."""
        now = self._clock()
        if self._fd < 0 or self._unsynced_since is None or now - self._unsynced_since < every_s:
            return
        try:
            os.fdatasync(self._fd)
            self._unsynced_since = None
        except OSError as fault:
            # A second fsync could claim success for pages that the first one dropped, so the file is given up.
            log.error("spool_sync_failed", reason=fault.strerror)  # noqa: TRY400 -- a failing disk needs no stack
            self.dropped["sync_failed"] = self.dropped.get("sync_failed", 0) + 1
            self._close(".suspect")

    def seal(self) -> None:
        """Finish the open segment: nothing will be appended to it any more."""
        if self._fd < 0:
            return
        try:
            os.fsync(self._fd)
        except OSError:
            self._close(".suspect")
        else:
            self._close(".seg")

    def _close(self, suffix: str) -> None:
        os.close(self._fd)
        self._fd = -1
        self._unsynced_since = None
        try:
            self._path.rename(self._path.with_suffix(suffix))
        except OSError as fault:
            log.error("spool_rename_failed", reason=fault.strerror)  # noqa: TRY400 -- the disk's fault needs no stack

    def close(self) -> None:
        """Seal, and let go of the stream."""
        self.seal()
        os.close(self._lock)
