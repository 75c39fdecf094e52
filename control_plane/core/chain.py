"""Was the audit trail tampered with?  Each event is hashed together with the hash of the one before it.

An event's `digest` is SHA-256 over the canonical JSON of what it says; its `hash` is SHA-256 over the previous hash,
its number and its digest, joined by colons.  Numbers and hashes are given by a deferred trigger of the table, which
locks the organisation's `AuditHead` when the change commits: as the last lock of every transaction it can wait for
nothing that another one holds, so changes queue up and never deadlock.

Whoever can rewrite the database can also rewrite the whole chain; keep the hash that `verify_audit` prints elsewhere.
These formats never change, because stored hashes must stay verifiable.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any, Final
from uuid import UUID

#: What an event says, as columns; the migration that chains older rows reads them by the same names.
CONTENT: Final = (
    "id", "organisation_id", "workspace_id", "actor_kind", "actor_id", "actor_name", "action", "resource_type",
    "resource_id", "before", "after", "request_id", "client_ip", "method", "uri", "request", "at",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a walk found: how many events hold, the hash of the last one, and the first fault (None: there is none)."""

    events: int
    last_hash: str
    fault: str | None


def _plain(value: Any) -> Any:
    """Return a JSON value as PostgreSQL gives it back: a whole number is one, however it was written."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    return value


def canonical(content: Mapping[str, Any]) -> bytes:
    """Return the one JSON text of an event's content: sorted names, no blanks, UTF-8."""
    shown = {name: _plain(content[name]) for name in CONTENT}
    if shown["client_ip"]:
        shown["client_ip"] = str(ip_address(shown["client_ip"]))
    return json.dumps(shown, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest_of(content: Mapping[str, Any]) -> str:
    """Return the digest of what an event says."""
    return hashlib.sha256(canonical(content)).hexdigest()


def link(previous_hash: str, seq: int, digest: str) -> str:
    """Return an event's hash, as the table's trigger computes it; the first event follows the empty hash."""
    return hashlib.sha256(f"{previous_hash}:{seq}:{digest}".encode()).hexdigest()


def _fault(event: Any, seq: int, previous_hash: str) -> str | None:
    if event.seq != seq:
        return f"event {seq} is missing: the next one is number {event.seq}"
    if digest_of({name: getattr(event, name) for name in CONTENT}) != event.digest:
        return f"event {seq} ({event.pk}) does not say what it said when it was written"
    if event.previous_hash != previous_hash or event.hash != link(previous_hash, seq, event.digest):
        return f"event {seq} ({event.pk}) does not follow the event before it"
    return None


def walk(events: Iterable[Any], head: Any | None) -> Verdict:
    """Verify one organisation's linked events, given in the order of `seq`; `head` is its AuditHead, None without."""
    seq, last_hash = 0, ""
    for event in events:
        fault = _fault(event, seq + 1, last_hash)
        if fault is not None:
            return Verdict(seq, last_hash, fault)
        seq, last_hash = event.seq, event.hash
    known = (head.seq, head.hash) if head is not None else (0, "")
    if known != (seq, last_hash):
        return Verdict(seq, last_hash, f"event {seq + 1} is missing: the chain ends at {seq}, its head at {known[0]}")
    return Verdict(seq, last_hash, None)
