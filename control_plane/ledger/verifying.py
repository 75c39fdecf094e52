"""Do the totals say what the records say?  Both are summed in one statement, which sees them as of one moment.

That holds while gateways ship and deltas are folded, so nothing is stopped for it.  Days of which records may be gone
are left out.  What is found can be repaired: the difference is added as deltas.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db import connection, transaction

from control_plane.ledger.folding import LOCK
from control_plane.ledger.models import DIMENSIONS, MEASURES
from control_plane.logs.partitions import default_partition, partition_days

_DAY: Final = timedelta(days=1)
_NAMES: Final = ("organisation_id", "hour", *DIMENSIONS)
_KEY: Final = ", ".join(_NAMES)
_COUNTS: Final = ", ".join(MEASURES)
_SUMS: Final = ", ".join(f"sum({name})" for name in MEASURES)
_TAKEN: Final = ", ".join(f"-{name}" for name in MEASURES)
_DIFFERS: Final = " OR ".join(f"sum({name}) <> 0" for name in MEASURES)
_DIFFERENCES: Final = f"""
    SELECT {_KEY}, {_SUMS} FROM (
        SELECT {_KEY}, {_COUNTS} FROM ledger_fact WHERE ts >= %(start)s AND ts < %(end)s
        UNION ALL
        SELECT {_KEY}, {_TAKEN} FROM ledger_total WHERE hour >= %(start)s AND hour < %(end)s
    ) both_sides
    WHERE (%(organisation_id)s::uuid IS NULL OR organisation_id = %(organisation_id)s)
        AND NOT EXISTS (SELECT FROM logs_logfloor floor WHERE hour < floor.day::timestamp AT TIME ZONE 'UTC')
    GROUP BY {_KEY} HAVING {_DIFFERS}
"""  # noqa: S608 -- names of columns, all of them constants
_REPAIR: Final = f"INSERT INTO ledger_delta ({_KEY}, {_COUNTS}) {_DIFFERENCES}"
_OTHER_DAYS: Final = f"""
    SELECT DISTINCT (ts AT TIME ZONE 'UTC')::date FROM {default_partition("logs_record")}
    UNION SELECT DISTINCT (hour AT TIME ZONE 'UTC')::date FROM ledger_total
"""  # noqa: S608 -- a constant name


@dataclass(frozen=True, slots=True)
class Difference:
    """What the records of one hour and key have more than its total (negative: less), measures that agree left out."""

    organisation_id: UUID
    hour: datetime
    dimensions: Mapping[str, Any]
    missing: Mapping[str, int]


def _days(since: date | None, until: date | None) -> list[date]:
    with connection.cursor() as cursor:
        cursor.execute(_OTHER_DAYS)
        days = {day for (day,) in cursor.fetchall()} | set(partition_days("logs_record"))
    return sorted(day for day in days if (since is None or day >= since) and (until is None or day < until))


def _bounds(day: date, organisation_id: UUID | None) -> dict[str, Any]:
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return {"start": start, "end": start + _DAY, "organisation_id": organisation_id}


def differences(
    since: date | None = None, until: date | None = None, organisation_id: UUID | None = None
) -> Iterator[Difference]:
    """Yield where totals differ from records: from the day `since` until before `until` (UTC), of one organisation.

    None is no bound.  Days of which records may have been dropped are left out.
    """
    for day in _days(since, until):
        with connection.cursor() as cursor:
            cursor.execute(_DIFFERENCES, _bounds(day, organisation_id))
            for row in cursor.fetchall():
                known = dict(zip((*_NAMES, *MEASURES), row, strict=True))
                yield Difference(
                    known["organisation_id"],
                    known["hour"],
                    {name: known[name] for name in DIMENSIONS},
                    {name: int(known[name]) for name in MEASURES if known[name]},
                )


def repair(since: date | None = None, until: date | None = None, organisation_id: UUID | None = None) -> int:
    """Make totals say what records say, where `differences` finds that they do not; return how many keys it were."""
    repaired = 0
    for day in _days(since, until):
        with transaction.atomic(), connection.cursor() as cursor:
            # Two who found the same difference would both add it.
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
            cursor.execute(_REPAIR, _bounds(day, organisation_id))
            repaired += cursor.rowcount
    return repaired
