"""How is a record stored exactly once, when gateways send it as often as they must?

A stream's frames are numbered, and `IngestStream.next_seq` moves in the transaction that stores them.  What lies
below it is a duplicate, whatever batch it comes in: after a restart a gateway cuts its batches elsewhere.
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
import structlog
from django.db import OperationalError, connection, transaction
from django.utils import timezone
from psycopg import sql

from control_plane.budgets.charges import store_charges
from control_plane.keys.services import mark_used
from control_plane.logs.decode import Rows, read_sequence, rows_of
from control_plane.logs.models import IngestStream, LogAttempt, LogBody, LogRow
from control_plane.logs.partitions import DAYS_AHEAD, ensure_partitions
from control_plane.logs.settings import RETENTION_DAYS
from shared.errors import Forbidden
from shared.frames import PAYLOAD, RECORD, Frame
from shared.wire import IngestAnswer, IngestConflict, IngestRefusal

_KINDS: Final = {RECORD: "records", PAYLOAD: "payloads"}
_KNOWN_DAYS: Final[set[date]] = set()

log = structlog.get_logger(module=__name__)


def ingest_batch(
    *, group_id: UUID, organisations: frozenset[str], stream_id: UUID, first_seq: int, last_seq: int, body: bytes
) -> IngestAnswer | IngestConflict | IngestRefusal:
    """Store the frames `first_seq`..`last_seq` of a gateway group's stream, those that are not stored yet.

    `body` is whole frames, decompressed and checked against its digest; `organisations` are the ids that the group
    serves.  Answers how far the stream is stored; where it must go on when frames are missing before `first_seq`; or
    which frames can never be stored, and then stores nothing of the batch.  Raises BadRequest for frames that are
    broken or out of sequence, Forbidden for the stream of another group.
    """
    sequence = read_sequence(body, first_seq, last_seq)
    rows = rows_of(sequence, first_seq, stream_id, organisations)
    # Outside the transaction, where making a table may fail without taking the records along.
    _ensure_days(rows.days)
    with transaction.atomic():
        stream = _locked_stream(stream_id, group_id)
        if last_seq < stream.next_seq:
            return IngestAnswer(stream.next_seq - 1)
        if first_seq > stream.next_seq:
            return IngestConflict(stream.next_seq)
        if first_seq < stream.next_seq:
            rows = rows_of(sequence, stream.next_seq, stream_id, organisations)
        if rows.bad_seq:
            return IngestRefusal(tuple(rows.bad_seq))
        _insert(rows)
        store_charges(rows.charges)
        _advance(stream, sequence, rows, last_seq)
    # Apart from the records, which must not wait for keys that others are changing.
    mark_used(_last_uses(rows))
    return IngestAnswer(last_seq)


def _last_uses(rows: Rows) -> dict[UUID, datetime]:
    """Return when each API key was last used by what the records say; the times are ISO 8601 in UTC."""
    latest: dict[str, str] = {}
    for record in rows.records:
        key = record["api_key_id"]
        if key is not None:
            latest[key] = max(latest.get(key, ""), record["ts"])
    return {UUID(key): datetime.fromisoformat(moment) for key, moment in latest.items()}


def _locked_stream(stream_id: UUID, group_id: UUID) -> IngestStream:
    IngestStream.objects.bulk_create([IngestStream(id=stream_id, group_id=group_id)], ignore_conflicts=True)
    stream = IngestStream.objects.select_for_update().get(pk=stream_id)
    if stream.group_id != group_id:
        raise Forbidden("This stream belongs to another gateway group.")
    return stream


def _advance(stream: IngestStream, sequence: Sequence[tuple[int, Frame]], rows: Rows, last_seq: int) -> None:
    stream.next_seq = last_seq + 1
    stream.records += len(rows.records)
    stream.dropped += rows.dropped
    if not stream.kind:
        stream.kind = next((_KINDS[frame.kind] for _, frame in sequence if frame.kind in _KINDS), "")
    stream.save()


def _ensure_days(days: Iterable[date]) -> None:
    """Make the tables of days that this process has not seen; days far off are left to the default partition."""
    today = timezone.now().date()
    earliest, latest = today - timedelta(days=RETENTION_DAYS), today + timedelta(days=DAYS_AHEAD)
    unknown = {day for day in days if earliest <= day <= latest} - _KNOWN_DAYS
    if not unknown:
        return
    try:
        ensure_partitions(unknown)
    except OperationalError:
        # Records must not wait for a table of their own: the default partition takes them.
        log.warning("partition_not_made", days=sorted(str(day) for day in unknown))
        return
    _KNOWN_DAYS.update(unknown)


def _insert(rows: Rows) -> None:
    # What this stores, and nothing else, is counted by a trigger of the table: `control_plane/ledger/models.py`.
    with connection.cursor() as cursor:
        for model, content in ((LogRow, rows.records), (LogAttempt, rows.attempts)):
            if content:
                cursor.execute(_from_json(model), [msgspec.json.encode(content).decode()])
        if rows.bodies:
            cursor.executemany(_from_values(LogBody), rows.bodies)


def _columns(model: Any) -> list[str]:
    return [field.column for field in model._meta.concrete_fields if field.column]  # noqa: SLF001 -- Django's documented API


def _from_json(model: Any) -> sql.Composed:
    """Return the insert that takes all rows as one JSON parameter: a statement's parameters are limited, rows not."""
    columns = sql.SQL(", ").join(map(sql.Identifier, _columns(model)))
    table = sql.Identifier(model._meta.db_table)  # noqa: SLF001 -- Django's documented API
    # A record that is stored already, by whatever way, must not stop those beside it.
    return sql.SQL(
        "INSERT INTO {table} ({columns}) SELECT {columns} FROM jsonb_populate_recordset(NULL::{table}, %s::jsonb)"
        " ON CONFLICT DO NOTHING"
    ).format(table=table, columns=columns)


def _from_values(model: Any) -> sql.Composed:
    columns = _columns(model)
    return sql.SQL("INSERT INTO {table} ({columns}) VALUES ({values}) ON CONFLICT DO NOTHING").format(
        table=sql.Identifier(model._meta.db_table),  # noqa: SLF001 -- Django's documented API
        columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
        values=sql.SQL(", ").join(sql.Placeholder() * len(columns)),
    )
