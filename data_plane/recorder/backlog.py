"""One stream of the spool, read by the agent: what is still to be sent, and what may be deleted.

The writer only appends, the reader only reads and deletes, so they share nothing but files.  Anything may be found
damaged: the reader goes on behind it, and says how much is missing.
"""

import fcntl
import os
import uuid
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import msgspec
import structlog

from data_plane.recorder.spool import HEADER_BYTES
from shared.frames import DROPPED, Frame, FrameBroken, next_frame_offset, pack_frame, read_frame
from shared.wire import MAX_BATCH_BYTES

_SUFFIXES: Final = (".open", ".seg", ".suspect")
log = structlog.get_logger(module=__name__)


@dataclass(frozen=True, slots=True)
class Batch:
    """Contiguous frames, ready to send."""

    first_seq: int
    last_seq: int
    content: bytes


def live_streams(folder: Path) -> list[Path]:
    """Return the folders of all streams below the spool `folder`."""
    return [lock.parent for lock in folder.glob("*/*/lock")]


def gap_frame(first: int, last: int, size: int, reason: str) -> bytes:
    """Return the frame that stands for the lost sequence numbers `first`..`last`."""
    note = {"from": first, "to": last, "n": last - first + 1, "bytes": size, "reason": reason}
    return pack_frame(last, DROPPED, msgspec.msgpack.encode(note))


def _start_of(path: Path) -> int:
    return int(path.name.partition(".")[0])


class Backlog:
    """What of one stream has not been acknowledged."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stream_id = uuid.UUID(folder.name)
        self._cursor = self._read_cursor()
        self._limit = MAX_BATCH_BYTES
        self._aside: set[int] = set()
        self._lock: int | None = None
        self._resume: tuple[int, int, int] | None = None

    # where we are

    def _read_cursor(self) -> int:
        try:
            return int((self.folder / "cursor").read_text())
        except (OSError, ValueError):
            return 1

    def ack(self, acked: int) -> None:
        """Note that everything up to `acked` is stored over there, durably, then delete what is not needed."""
        if acked < self._cursor:
            return
        self._cursor = acked + 1
        self._limit = MAX_BATCH_BYTES
        self._aside = {seq for seq in self._aside if seq > acked}
        draft = self.folder / "cursor.tmp"
        with draft.open("w") as file:
            file.write(str(self._cursor))
            file.flush()
            os.fsync(file.fileno())
        draft.rename(self.folder / "cursor")
        self._unlink_acked()

    def seek(self, expected: int) -> None:
        """Go on from where the control plane says; below our cursor there is nothing left to send."""
        self._cursor = max(expected, 1)

    def shrink(self) -> None:
        """Send smaller batches: the last one was too large."""
        self._limit = max(64 * 1024, self._limit // 2)

    def set_aside(self, batch: Batch, refused: Collection[int]) -> int:
        """Move refused frames out of the way, into `quarantine`; return how many."""
        moved = 0
        with (self.folder.parent / "quarantine").open("ab") as file:
            for frame in _frames(batch.content, 0):
                if frame.seq in refused and frame.seq not in self._aside:
                    file.write(pack_frame(frame.seq, frame.kind, frame.payload))
                    self._aside.add(frame.seq)
                    moved += 1
        log.error("records_refused", stream=self.folder.name, count=moved)
        return moved

    # segments

    def _segments(self) -> list[Path]:
        found = [path for path in self.folder.iterdir() if path.suffix in _SUFFIXES]
        return sorted(found, key=_start_of)

    def _unlink_acked(self) -> None:
        segments = self._segments()
        for path, following in pairwise(segments):
            if _start_of(following) <= self._cursor and path.suffix != ".open":
                path.unlink(missing_ok=True)
        if segments and segments[-1].suffix != ".open" and self._end_of(segments[-1]) < self._cursor:
            segments[-1].unlink(missing_ok=True)

    def _end_of(self, path: Path) -> int:
        last = _start_of(path) - 1
        try:
            content = path.read_bytes()
        except OSError:
            return last
        for frame in _frames(content, HEADER_BYTES):
            last = frame.seq
        return last

    def next_batch(self) -> Batch | None:
        """Return the next frames to send, None when there is nothing whole to send now.

        Raises OSError for a segment that cannot be read now, such as one that its writer is renaming: what it holds is
        not missing, and what follows it has to wait.
        """
        segments = self._segments()
        frames: list[bytes] = []
        size, first = 0, self._cursor
        expected = first
        for number, path in enumerate(segments):
            if number + 1 < len(segments) and _start_of(segments[number + 1]) <= expected:
                continue
            growing = number + 1 == len(segments) and path.suffix == ".open"
            for frame, packed, end in self._readable(path, expected, growing=growing):
                if frame.seq < expected:
                    continue
                if (start := _covered_from(frame)) > expected:
                    frames.append(gap_frame(expected, start - 1, 0, "damaged"))
                refused = frame.seq in self._aside
                frames.append(gap_frame(frame.seq, frame.seq, len(frame.payload), "refused") if refused else packed)
                size += len(packed)
                expected = frame.seq + 1
                self._resume = (_start_of(path), expected, end)
                if size >= self._limit:
                    return Batch(first, expected - 1, b"".join(frames))
        return Batch(first, expected - 1, b"".join(frames)) if frames else None

    def _readable(self, path: Path, expected: int, *, growing: bool) -> Iterator[tuple[Frame, bytes, int]]:
        """Yield (frame, its bytes, the offset behind it) of a segment, going on behind damaged frames."""
        # Where the last batch ended is where the next one begins: a live segment is not read again from its start.
        begin = HEADER_BYTES
        if self._resume is not None and self._resume[:2] == (_start_of(path), expected):
            begin = self._resume[2]
        with path.open("rb") as file:
            header = file.read(HEADER_BYTES)
            file.seek(begin)
            content = file.read()
        if len(header) < HEADER_BYTES:
            return
        offset = 0
        while offset < len(content):
            try:
                frame = read_frame(content, offset)
            except FrameBroken as fault:
                following = (
                    None if fault.torn and growing else next_frame_offset(content, offset, after_seq=expected - 1)
                )
                if following is None:
                    return
                offset = following
                continue
            yield frame, content[offset : frame.end], begin + frame.end
            offset = frame.end

    # the end

    def is_abandoned(self) -> bool:
        """Return whether the stream's writer is gone; then it is ours, and stays so."""
        if self._lock is not None:
            return True
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return False
        self._lock = descriptor
        return True

    def finish_if_done(self) -> bool:
        """Delete the stream when its writer is gone and everything is acknowledged; return whether it was."""
        if not self.folder.exists():
            return True
        if not self.is_abandoned() or self.next_batch() is not None:
            return False
        for path in self.folder.iterdir():
            path.unlink(missing_ok=True)
        self.folder.rmdir()
        self.close()
        return True

    def close(self) -> None:
        """Let go of the stream."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _covered_from(frame: Frame) -> int:
    if frame.kind != DROPPED:
        return frame.seq
    return int(msgspec.msgpack.decode(frame.payload)["from"])


def _frames(content: bytes, offset: int) -> Iterator[Frame]:
    while offset < len(content):
        try:
            frame = read_frame(content, offset)
        except FrameBroken:
            return
        yield frame
        offset = frame.end


def spool_state(folder: Path, now_s: float) -> tuple[int, float]:
    """Return the bytes that wait below the spool `folder`, and the age of the oldest segment in seconds."""
    total, oldest = 0, now_s
    for path in folder.glob("*/*/*.*"):
        if path.suffix in _SUFFIXES:
            try:
                stat = path.stat()
            except OSError:
                continue
            total += stat.st_size
            oldest = min(oldest, stat.st_mtime)
    return total, max(0.0, now_s - oldest) if total else 0.0


def enforce_cap(folder: Path, max_bytes: int) -> int:
    """Delete the oldest finished segments of one kind of stream until it fits; return how many were deleted.

    The reader tells the control plane of the hole by itself, from the sequence numbers that are missing.
    """
    sealed: list[tuple[float, int, Path]] = []
    total = 0
    for path in folder.glob("*/*.*"):
        if path.suffix in _SUFFIXES:
            try:
                stat = path.stat()
            except FileNotFoundError:
                continue
            total += stat.st_size
            if path.suffix != ".open":
                sealed.append((stat.st_mtime, stat.st_size, path))
    deleted = 0
    for _, size, path in sorted(sealed):
        if total <= max_bytes:
            break
        path.unlink(missing_ok=True)
        total -= size
        deleted += 1
    return deleted
