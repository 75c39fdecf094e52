"""Which days have a table of their own?  Days ahead are made before they begin, days too old are dropped whole.

A DEFAULT partition takes what belongs to no day's table, such as a record with a clock far off: nothing is lost for
want of a table.  When a day's table is made later, its rows move there.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Final

import structlog
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from psycopg import sql

from control_plane.logs.settings import RETENTION_DAYS

TABLES: Final = ("logs_record", "logs_attempt", "logs_body")
DAYS_BEHIND: Final = 1
DAYS_AHEAD: Final = 7
#: One maker or dropper of partitions at a time, across all processes.
_LOCK: Final = 0x67_68_6C_6F_67
# Not to_regclass(): within a transaction it may remember that a table was missing before somebody else made it.
_EXISTING: Final = """
    SELECT relname FROM pg_class WHERE relname = ANY(%s) AND relnamespace = current_schema()::regnamespace
"""
_PARTITIONS: Final = """
    SELECT child.relname FROM pg_inherits
    JOIN pg_class child ON child.oid = inhrelid
    WHERE inhparent = %s::regclass
"""
_MOVE: Final = """
    WITH moved AS (DELETE FROM {rest} WHERE ts >= {start} AND ts < {end} RETURNING *)
    INSERT INTO {part} SELECT * FROM moved
"""
_RAISE_FLOOR: Final = """
    INSERT INTO logs_logfloor AS floor (id, day) VALUES (1, %s)
    ON CONFLICT (id) DO UPDATE SET day = excluded.day WHERE floor.day < excluded.day
"""

log = structlog.get_logger(module=__name__)


def partition_of(table: str, day: date) -> str:
    """Return the name of a day's partition."""
    return f"{table}_{day:%Y%m%d}"


def default_partition(table: str) -> str:
    """Return the name of the partition that takes the rest."""
    return f"{table}_default"


def _bounds(day: date) -> tuple[datetime, datetime]:
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return start, start + timedelta(days=1)


def _lock(cursor: CursorWrapper) -> None:
    # A long query must not queue every upload behind our wait for its table.
    cursor.execute("SET LOCAL lock_timeout = '5s'")
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])


def _make(cursor: CursorWrapper, table: str, day: date) -> None:
    """Make a day's table and attach it: unlike CREATE … PARTITION OF, that lets others go on reading and writing."""
    start, end = _bounds(day)
    names = {
        "part": sql.Identifier(partition_of(table, day)),
        "parent": sql.Identifier(table),
        "rest": sql.Identifier(default_partition(table)),
        "start": sql.Literal(start),
        "end": sql.Literal(end),
    }
    # The rest is locked first: a row that came in between the move and the check would make the check fail.
    for statement in (
        "CREATE TABLE {part} (LIKE {parent} INCLUDING ALL)",
        "LOCK TABLE {rest} IN ACCESS EXCLUSIVE MODE",
        _MOVE,
        "ALTER TABLE {parent} ATTACH PARTITION {part} FOR VALUES FROM ({start}) TO ({end})",
    ):
        cursor.execute(sql.SQL(statement).format(**names))


def _missing(cursor: CursorWrapper, days: Iterable[date]) -> list[tuple[str, date]]:
    wanted = {partition_of(table, day): (table, day) for day in days for table in TABLES}
    cursor.execute(_EXISTING, [list(wanted)])
    existing = {name for (name,) in cursor.fetchall()}
    return [place for name, place in wanted.items() if name not in existing]


def ensure_partitions(days: Iterable[date]) -> int:
    """Make the partitions of `days` (UTC) that are missing; return how many were made.

    Raises OperationalError when a lock cannot be had within seconds; then nothing is changed.
    """
    wanted = sorted(set(days))
    with connection.cursor() as cursor:
        if not _missing(cursor, wanted):
            return 0
    with transaction.atomic(), connection.cursor() as cursor:
        _lock(cursor)
        missing = _missing(cursor, wanted)
        for table, day in missing:
            _make(cursor, table, day)
    return len(missing)


def partition_days(table: str) -> list[date]:
    """Return the days (UTC) that have a partition, the oldest first."""
    prefix = f"{table}_"
    with connection.cursor() as cursor:
        cursor.execute(_PARTITIONS, [table])
        suffixes = [str(name).removeprefix(prefix) for (name,) in cursor.fetchall()]
    return sorted(
        datetime.strptime(suffix, "%Y%m%d").replace(tzinfo=UTC).date() for suffix in suffixes if suffix.isdecimal()
    )


def drop_old_partitions(today: date, keep_days: int = RETENTION_DAYS) -> int:
    """Drop what is older than `keep_days` before `today` (UTC); return how many partitions went."""
    oldest = today - timedelta(days=keep_days)
    # Noted before anything goes: whoever compares records with totals must not take a dropped day for an empty one.
    with connection.cursor() as cursor:
        cursor.execute(_RAISE_FLOOR, [oldest])
    old = [(table, day) for table in TABLES for day in partition_days(table) if day < oldest]
    for table, day in old:
        # One transaction each: dropping stops readers of the table for a moment, and only for a moment.
        with transaction.atomic(), connection.cursor() as cursor:
            _lock(cursor)
            cursor.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(partition_of(table, day))))
    with connection.cursor() as cursor:
        for table in TABLES:
            rest = sql.Identifier(default_partition(table))
            cursor.execute(sql.SQL("DELETE FROM {} WHERE ts < %s").format(rest), [_bounds(oldest)[0]])
    return len(old)


def maintain_partitions(today: date) -> tuple[int, int]:
    """Make the partitions around `today` (UTC) and drop old ones; return how many were made and dropped."""
    made = ensure_partitions(today + timedelta(days=offset) for offset in range(-DAYS_BEHIND, DAYS_AHEAD + 1))
    dropped = drop_old_partitions(today)
    log.info("partitions_maintained", made=made, dropped=dropped)
    return made, dropped
