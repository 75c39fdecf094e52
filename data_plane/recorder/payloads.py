"""Bodies that stay with the gateway: the payload policy `gateway`.

One compressed file for each request, below the day and hour of its id, which is a UUIDv7 and so carries its time.
Files are written with a temporary name first: a reader sees a whole body or none.
"""

import os
import shutil
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import zstandard

Json = dict[str, Any]


def _moment(record_id: str) -> datetime:
    return datetime.fromtimestamp((uuid.UUID(record_id).int >> 80) / 1000, UTC)


def _embedded(payload: Json) -> Json:
    """Return `payload` with its JSON texts as parts of it, not as texts inside it."""
    return {name: msgspec.Raw(part) if isinstance(part, bytes) else part for name, part in payload.items()}


class PayloadStore:
    """Bodies by record id, on this gateway's disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _path(self, record_id: str) -> Path:
        return self._folder / _moment(record_id).strftime("%Y-%m-%d/%H") / f"{uuid.UUID(record_id)}.zst"

    def put(self, payload: Json) -> None:
        """Store `payload`, which holds its record's `id`, and `request` and `response` as JSON text."""
        path = self._path(payload["id"])
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = path.with_suffix(".tmp")
        packed = zstandard.ZstdCompressor(level=3).compress(msgspec.json.encode(_embedded(payload)))
        descriptor = os.open(draft, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(packed)
        draft.rename(path)

    def get(self, record_id: str) -> Json | None:
        """Return the stored body of a record, None when there is none here."""
        try:
            packed = self._path(record_id).read_bytes()
        except (OSError, ValueError, OverflowError):
            return None
        return msgspec.json.decode(zstandard.ZstdDecompressor().decompress(packed), type=dict[str, Any])

    def sweep(self, keep_days: int, now: datetime) -> int:
        """Delete the days older than `keep_days`; return how many."""
        oldest = (now - timedelta(days=keep_days)).strftime("%Y-%m-%d")
        old = [day for day in self._folder.glob("????-??-??") if day.name < oldest]
        for day in old:
            shutil.rmtree(day, ignore_errors=True)
        return len(old)
