"""Files and batches on disk: below a folder for each workspace, so that none can name another's.

Rows are replaced whole, by renaming: a reader sees the old one or the new one.  Whoever runs a batch holds a lock on it
that the system takes back when the process dies, so a batch goes on elsewhere after a kill.  Several gateways share
their batches when they share the folder.  Everything here blocks: call it in a thread.
"""

import contextlib
import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

import msgspec

from data_plane.batches.model import BATCH_PREFIX, ENDED, FILE_PREFIX, BatchRow, FileRow, is_id, new_id
from shared.errors import GatewayError

_WORKSPACE: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
_DAY_S: Final = 86_400
Row = TypeVar("Row", FileRow, BatchRow)


class StoreFull(GatewayError):
    """The disk that files and batches may take is taken."""

    status = 507
    code = "storage_full"


def _read(path: Path, kind: type[Row]) -> Row | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError):
        return None


def _write(path: Path, row: FileRow | BatchRow) -> None:
    draft = path.with_suffix(".tmp")
    with draft.open("wb") as file:
        file.write(msgspec.json.encode(row))
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)


class Draft:
    """A file that is being written; nobody sees it before it is whole."""

    def __init__(self, folder: Path, file_id: str) -> None:
        self.id = file_id
        self.size = 0
        self._folder = folder
        self._file: BinaryIO = (folder / "content").open("wb")

    def write(self, piece: bytes) -> None:
        """Add a piece."""
        self._file.write(piece)
        self.size += len(piece)

    def keep(self, name: str, purpose: str) -> FileRow:
        """Make the file visible under its id."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        row = FileRow(self.id, name, purpose, self.size, int(time.time()))
        _write(self._folder / "row.json", row)
        return row

    def drop(self) -> None:
        """Delete what was written."""
        self._file.close()
        shutil.rmtree(self._folder, ignore_errors=True)


class BatchStore:
    """The files and batches below one folder, at most `max_bytes` of them."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes

    def _place(self, kind: str, ws: str, row_id: str) -> Path | None:
        if not is_id(row_id) or not _WORKSPACE.fullmatch(ws):
            return None
        return self._folder / kind / ws / row_id

    def used_bytes(self) -> int:
        """Return how much disk the files take."""
        total = 0
        for path in self._folder.rglob("*"):
            with contextlib.suppress(OSError):
                total += path.stat().st_size
        return total

    def check_room(self, wanted: int = 0) -> None:
        """Raise StoreFull (507) when `wanted` bytes more do not fit."""
        if self.used_bytes() + wanted > self._max_bytes:
            raise StoreFull("The gateway's storage for files and batches is full.")

    # files

    def draft(self, ws: str) -> Draft:
        """Begin a new file of a workspace."""
        file_id = new_id(FILE_PREFIX)
        place = self._folder / "files" / ws / file_id
        place.mkdir(parents=True, mode=0o700)
        return Draft(place, file_id)

    def _adopt(self, ws: str, written: Path, file_id: str | None, name: str) -> str | None:
        """Make a file of what a batch wrote, and return its id; None when it wrote nothing.  Can be done again."""
        if file_id is None:
            return None
        place = self._folder / "files" / ws / file_id
        content = place / "content"
        if written.exists() and written.stat().st_size:
            place.mkdir(parents=True, exist_ok=True, mode=0o700)
            written.rename(content)
        if not content.exists():
            return None
        _write(place / "row.json", FileRow(file_id, name, "batch_output", content.stat().st_size, int(time.time())))
        return file_id

    def finish(self, row: BatchRow, now: int) -> BatchRow:
        """Move a batch's results to their files and give it its last status; return it.  Can be done again."""
        output, errors = self.results(row)
        output_file = self._adopt(row.ws, output, row.output_file, f"{row.id}_output.jsonl")
        error_file = self._adopt(row.ws, errors, row.error_file, f"{row.id}_errors.jsonl")
        ended = row.moved(row.ending or "failed", now, output_file=output_file, error_file=error_file)
        self.save(ended)
        return ended

    def file(self, ws: str, file_id: str) -> FileRow | None:
        """Return a file of a workspace, None when it has none of this id."""
        place = self._place("files", ws, file_id)
        return None if place is None else _read(place / "row.json", FileRow)

    def content(self, ws: str, file_id: str) -> Path | None:
        """Return where a file's content is."""
        place = self._place("files", ws, file_id)
        return None if place is None or not (place / "row.json").exists() else place / "content"

    def files(self, ws: str) -> list[FileRow]:
        """Return the files of a workspace, the youngest first."""
        return [row for path in self._below("files", ws) if (row := _read(path / "row.json", FileRow)) is not None]

    def _below(self, kind: str, ws: str) -> list[Path]:
        return sorted((self._folder / kind / ws).glob("pk_*"), reverse=True)

    def delete_file(self, ws: str, file_id: str) -> bool:
        """Delete a file; return whether there was one."""
        place = self._place("files", ws, file_id)
        if place is None or not (place / "row.json").exists():
            return False
        shutil.rmtree(place, ignore_errors=True)
        return True

    # batches

    def create(self, row: BatchRow) -> BatchRow:
        """Keep a new batch and have it run."""
        place = self._folder / "batches" / row.ws / row.id
        place.mkdir(parents=True, mode=0o700)
        _write(place / "row.json", row)
        waiting = self._folder / "open"
        waiting.mkdir(parents=True, exist_ok=True, mode=0o700)
        (waiting / row.id).write_text(row.ws)
        return row

    def batch(self, ws: str, batch_id: str) -> BatchRow | None:
        """Return a batch of a workspace, None when it has none of this id."""
        place = self._place("batches", ws, batch_id)
        return None if place is None else _read(place / "row.json", BatchRow)

    def batches(self, ws: str) -> list[BatchRow]:
        """Return the batches of a workspace, the youngest first."""
        return [row for path in self._below("batches", ws) if (row := _read(path / "row.json", BatchRow)) is not None]

    def unfinished(self) -> list[tuple[str, str]]:
        """Return (workspace, id) of every batch that has not ended, the oldest first."""
        found = []
        for path in sorted((self._folder / "open").glob(f"{BATCH_PREFIX}*")):
            with contextlib.suppress(OSError):
                found.append((path.read_text(), path.name))
        return found

    def save(self, row: BatchRow) -> None:
        """Replace a batch's row; one that has ended is not run again."""
        place = self._folder / "batches" / row.ws / row.id
        _write(place / "row.json", row)
        if row.status in ENDED:
            (self._folder / "open" / row.id).unlink(missing_ok=True)

    def results(self, row: BatchRow) -> tuple[Path, Path]:
        """Return where the answers and the errors of a batch are written while it runs."""
        place = self._folder / "batches" / row.ws / row.id
        return place / "output.jsonl", place / "errors.jsonl"

    def cancel(self, row: BatchRow) -> None:
        """Ask whoever runs a batch to end it."""
        (self._folder / "batches" / row.ws / row.id / "cancel").touch()

    def cancelling_since(self, row: BatchRow) -> int | None:
        """Return when somebody asked for a batch's end, in Unix seconds; None when nobody did."""
        try:
            return int((self._folder / "batches" / row.ws / row.id / "cancel").stat().st_mtime)
        except OSError:
            return None

    @contextlib.contextmanager
    def claimed(self, ws: str, batch_id: str) -> Iterator[BatchRow | None]:
        """Hold a batch alone and yield it; None when somebody else has it, or it is gone."""
        place = self._place("batches", ws, batch_id)
        if place is None or not place.is_dir():
            (self._folder / "open" / batch_id).unlink(missing_ok=True)
            yield None
            return
        descriptor = os.open(place / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield None
                return
            yield self.batch(ws, batch_id)
        finally:
            os.close(descriptor)

    def sweep(self, keep_days: int, now_s: float) -> int:
        """Delete files, and batches that have ended, older than `keep_days`; return how many."""
        oldest = now_s - keep_days * _DAY_S
        waiting = {batch_id for _, batch_id in self.unfinished()}
        count = 0
        for path in self._folder.glob("*/*/pk_*"):
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < oldest and path.name not in waiting:
                    shutil.rmtree(path, ignore_errors=True)
                    count += 1
        return count
