"""Which records may a caller read?  One record by its id, and lists bounded in time.

The id of a record is a UUIDv7 and carries its time, so one day's table is searched, not all; ids are the gateway's
own, but a record whose two times differ is still found, by the slower way.
"""

import base64
import binascii
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
import zstandard
from django.db.models import Q, QuerySet

from control_plane.core.errors import Invalid
from control_plane.core.principal import Principal
from control_plane.core.tenancy import Row, visible_to
from control_plane.keys.models import ApiKey
from control_plane.logs.decode import EPOCH
from control_plane.logs.models import LogAttempt, LogBody, LogRow
from shared.ids import parse_uuid

MAX_SIZE: Final = 100
MAX_SPAN: Final = timedelta(days=31)
_NEAR: Final = timedelta(minutes=10)
_MICROSECOND: Final = timedelta(microseconds=1)
#: Dates end soon after the year 9998.
_MOST_UNIX_MS: Final = 253_370_764_800_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LogQuery:
    """Records from `since` until before `until` (aware); `outcome` is "success" or "error", None is no condition."""

    since: datetime
    until: datetime
    workspace_id: UUID | None = None
    outcome: str | None = None
    status: int | None = None
    model: str | None = None
    provider: str | None = None
    api_key_id: UUID | None = None
    trace_id: str | None = None
    size: int = 50
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class LogPage:
    """Records, the newest first; `next_cursor` leads to older ones, None: there are none."""

    rows: list[LogRow]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Bodies:
    """The bodies of a record as JSON values."""

    request: Any
    response: Any


def _cursor_of(row: LogRow) -> str:
    ts_us = (row.ts - EPOCH) // _MICROSECOND
    return base64.urlsafe_b64encode(f"{ts_us}.{row.id.hex}".encode()).decode().rstrip("=")


def _read_cursor(cursor: str) -> tuple[datetime, UUID]:
    try:
        ts_us, _, row_id = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().partition(".")
        return EPOCH + timedelta(microseconds=int(ts_us)), UUID(row_id)
    except (binascii.Error, ValueError, OverflowError):
        raise Invalid("cursor: must be the next_cursor of an earlier answer") from None


def _conditions(query: LogQuery) -> Q:
    condition = Q(ts__gte=query.since, ts__lt=query.until)
    for name in ("workspace_id", "status", "provider", "api_key_id", "trace_id"):
        value = getattr(query, name)
        if value is not None:
            condition &= Q(**{name: value})
    if query.model is not None:
        condition &= Q(model_served=query.model) | Q(model_requested=query.model)
    # 101 is a realtime session that was held.
    success = Q(status__gte=200, status__lt=300) | Q(status=101)
    if query.outcome is not None:
        condition &= success if query.outcome == "success" else ~success
    return condition


#: Any of these lets its holder find records, or read one: whoever may make calls may read what came of them.
LIST_SCOPES: Final = frozenset({"logs.view", "logs.list"})
VIEW_SCOPES: Final = frozenset({"logs.view", "completions.write", "logs.write"})


def visible_logs(principal: Principal, scopes: Collection[str]) -> QuerySet[LogRow]:
    """Return the records that `principal` may know of by one of `scopes`.

    Whoever sees their own data only, sees the records of their own keys.
    """
    return only_own(visible_to(LogRow.objects.all(), principal, scopes), principal)


def only_own(rows: QuerySet[Row], principal: Principal) -> QuerySet[Row]:
    """Return those of `rows` that are not hidden from `principal` for being others' own.

    Rows have a `workspace_id` and an `api_key_id`: where the caller sees their own data only, rows of their own keys.
    """
    if not principal.own_data_in:
        return rows
    own = ApiKey.objects.filter(organisation_id=principal.organisation_id, user=principal.user_id)
    return rows.filter(~Q(workspace_id__in=principal.own_data_in) | Q(api_key_id__in=own.values("pk")))


def find_logs(principal: Principal, query: LogQuery) -> LogPage:
    """Return one page of the records that `principal` may know of.

    Raises Invalid for a range of more than 31 days or none, a size beyond 1..100, or a cursor that is not ours.
    """
    if not timedelta(0) < query.until - query.since <= MAX_SPAN:
        raise Invalid("The time range must be longer than nothing and at most 31 days.")
    if not 1 <= query.size <= MAX_SIZE:
        raise Invalid(f"page_size must be from 1 to {MAX_SIZE}")
    rows = visible_logs(principal, LIST_SCOPES).filter(_conditions(query))
    if query.cursor is not None:
        ts, row_id = _read_cursor(query.cursor)
        # The first half repeats what the second says: it is what the database can skip partitions by.
        rows = rows.filter(Q(ts__lte=ts) & (Q(ts__lt=ts) | Q(id__lt=row_id)))
    # A decision is read with its own record only, and can be larger than all the rest of the row.
    found = list(rows.defer("decision").order_by("-ts", "-id")[: query.size + 1])
    more = len(found) > query.size
    found = found[: query.size]
    return LogPage(found, _cursor_of(found[-1]) if more else None)


def find_log(principal: Principal, log_id: str) -> LogRow | None:
    """Return a record, None when there is none (yet) that `principal` may know of."""
    row_id = parse_uuid(log_id)
    if row_id is None:
        return None
    rows = visible_logs(principal, VIEW_SCOPES).filter(id=row_id).order_by("-ts")
    near = None
    if row_id.version == 7:
        at = datetime.fromtimestamp((row_id.int >> 80) / 1000, UTC) if row_id.int >> 80 < _MOST_UNIX_MS else None
        near = rows.filter(ts__gte=at - _NEAR, ts__lt=at + _NEAR).first() if at else None
    return near or rows.first()


def attempts_of(row: LogRow) -> list[LogAttempt]:
    """Return the upstream calls of a record, in order."""
    place = {"ts": row.ts, "stream_id": row.stream_id, "seq": row.seq}
    return list(LogAttempt.objects.filter(**place).order_by("n"))


def bodies_of(row: LogRow) -> Bodies | None:
    """Return the bodies of a record, None when none are stored here."""
    # The owner is asked for too: a body is sent apart from its record, and names the record itself.
    owner = {"organisation_id": row.organisation_id, "workspace_id": row.workspace_id}
    body = LogBody.objects.filter(log_id=row.id, ts=row.ts, **owner).first()
    return Bodies(_unpacked(body.request), _unpacked(body.response)) if body else None


def _unpacked(packed: bytes | memoryview | None) -> Any:
    if packed is None:
        return None
    return msgspec.json.decode(zstandard.ZstdDecompressor().decompress(bytes(packed)))
