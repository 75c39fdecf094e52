"""The guard file: the highest versions ever seen and the ids revoked since, safe on a full disk.

Two slots of a fixed, preallocated size are overwritten in turn, each with a generation and a CRC, so that a crash in
mid-write leaves the other slot, and so that a full disk still takes a revocation.
"""

import os
import struct
from pathlib import Path
from typing import Final

import msgspec
import structlog

from data_plane.sync.faults import failpoint
from shared.bundle.verify import Marks
from shared.frames import crc32c

SLOT_BYTES: Final = 32 * 1024
_HEADER: Final = struct.Struct(">QII")

log = structlog.get_logger(module=__name__)


class Guard:
    """Persisted `Marks`.  `lost` is true when the file was there and no slot could be read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._generation = 0
        self.lost = False
        self.failed = False
        self.marks = Marks()
        if path.exists():
            self._load()
        else:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(bytes(2 * SLOT_BYTES))
                file.flush()
                os.fsync(file.fileno())

    def _load(self) -> None:
        content = self._path.read_bytes().ljust(2 * SLOT_BYTES, b"\0")
        best = 0
        for number in (0, 1):
            slot = content[number * SLOT_BYTES : (number + 1) * SLOT_BYTES]
            generation, length, crc = _HEADER.unpack_from(slot)
            body = slot[_HEADER.size : _HEADER.size + length]
            if generation <= best or len(body) != length or crc32c(body) != crc:
                continue
            try:
                self.marks = msgspec.msgpack.decode(body, type=Marks)
            except (msgspec.DecodeError, msgspec.ValidationError):
                continue
            best = generation
        self._generation = best
        self.lost = best == 0 and any(content)
        if self.lost:
            log.error("guard_lost")

    def put(self, marks: Marks) -> None:
        """Remember `marks`, on disk before anything else happens; a disk that refuses leaves them in memory."""
        if marks == self.marks and not self.failed:
            return
        self.marks = marks
        body = msgspec.msgpack.encode(marks)
        if len(body) > SLOT_BYTES - _HEADER.size:
            # The oldest ids are dropped from the list on disk; the marks themselves always fit.
            kept = marks.revoked[-700:]
            body = msgspec.msgpack.encode(msgspec.structs.replace(marks, revoked=kept))
        generation = self._generation + 1
        slot = _HEADER.pack(generation, len(body), crc32c(body)) + body
        failpoint("guard.before_write")
        try:
            descriptor = os.open(self._path, os.O_WRONLY)
            try:
                os.pwrite(descriptor, slot, (generation % 2) * SLOT_BYTES)
                failpoint("guard.before_sync")
                os.fdatasync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as fault:
            self.failed = True
            log.exception("guard_write_failed", reason=fault.strerror)
        else:
            self.failed = False
            self._generation = generation
        failpoint("guard.after_sync")
