"""What is kept of a file and of a batch, and how callers see them.

Ids hold their time, so a folder of them lists in the order of creation.
Source: https://platform.openai.com/docs/api-reference/batch, …/files
"""

import re
from typing import Any, Final, Literal

import msgspec

from shared.ids import uuid7

Json = dict[str, Any]
Ending = Literal["completed", "failed", "cancelled", "expired"]
Status = Literal["validating", "in_progress", "finalizing"] | Ending
#: Statuses after which nothing happens any more.
ENDED: Final = frozenset({"completed", "failed", "cancelled", "expired"})
FILE_PREFIX: Final = "pk_file_"
BATCH_PREFIX: Final = "pk_batch_"
_ID: Final = re.compile(r"pk_(file|batch)_[0-9a-f]{32}")


def new_id(prefix: str) -> str:
    """Return a new id of a file or a batch."""
    return prefix + uuid7().hex


def is_own(text: str) -> bool:
    """Return whether an id is the gateway's own; what is not belongs to a provider."""
    return text.startswith((FILE_PREFIX, BATCH_PREFIX))


def is_id(text: str) -> bool:
    """Return whether `text` is a well-formed id, and so may be part of a path."""
    return _ID.fullmatch(text) is not None


class FileRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """One file; `created` is in Unix seconds."""

    id: str
    name: str
    purpose: str
    size: int
    created: int

    def shown(self) -> Json:
        """Return the file as callers see it."""
        return {
            "id": self.id, "object": "file", "bytes": self.size, "created_at": self.created, "filename": self.name,
            "purpose": self.purpose, "status": "processed",
        }  # fmt: skip


class Fault(msgspec.Struct, frozen=True):
    """Why a batch failed; `line` counts from 1, None for what is about no line."""

    code: str
    message: str
    line: int | None = None


class Counts(msgspec.Struct, frozen=True):
    """How many lines a batch has, how many of them are answered, and how many ended with an error."""

    total: int = 0
    completed: int = 0
    failed: int = 0


class BatchRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """One batch.  `key` is the API key that made it, `headers` what its calls are sent with; times are Unix seconds.

    `times` says when each status was reached.  `ending` is the last status, from when it is known on: the results are
    moved to their files then.  Neither `headers` nor anything else here holds a secret.
    """

    id: str
    ws: str
    key: str
    endpoint: str
    input_file: str
    created: int
    expires: int
    status: Status = "validating"
    headers: dict[str, str] = {}
    metadata: dict[str, str] = {}
    ending: Ending | None = None
    output_file: str | None = None
    error_file: str | None = None
    counts: Counts = Counts()
    faults: tuple[Fault, ...] = ()
    times: dict[str, int] = {}
    tokens_in: int = 0
    tokens_out: int = 0

    def moved(self, status: Status, now: int, **changes: Any) -> "BatchRow":
        """Return the batch as it is from `now` on."""
        return msgspec.structs.replace(self, status=status, times={**self.times, status: now}, **changes)

    def shown(self, *, cancelling_since: int | None = None) -> Json:
        """Return the batch as callers see it; `cancelling_since` is when somebody asked for its end."""
        ended = self.status in ENDED
        status = self.status if ended or cancelling_since is None else "cancelling"
        listed = [msgspec.to_builtins(fault) | {"param": None} for fault in self.faults]
        stamps = {
            f"{name}_at": self.times.get(name)
            for name in ("in_progress", "finalizing", "completed", "failed", "expired", "cancelled")
        }
        return {
            "id": self.id, "object": "batch", "endpoint": self.endpoint, "input_file_id": self.input_file,
            "completion_window": "immediate", "status": status, "created_at": self.created, "expires_at": self.expires,
            "cancelling_at": cancelling_since, **stamps,
            "errors": {"object": "list", "data": listed} if listed else None,
            "output_file_id": self.output_file if ended else None, "error_file_id": self.error_file if ended else None,
            "request_counts": msgspec.to_builtins(self.counts), "metadata": self.metadata or None,
            "usage": {
                "input_tokens": self.tokens_in, "output_tokens": self.tokens_out,
                "total_tokens": self.tokens_in + self.tokens_out,
            },
        }  # fmt: skip
