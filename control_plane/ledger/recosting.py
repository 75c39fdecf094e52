"""How is the cost of records corrected after a price was wrong?  Computed anew, with a history row for each change.

Records are changed in place (see `Correction`), and the trigger of their table keeps the totals in step.  A run goes
over the records in order of time and id, a batch in each transaction, and notes in it how far it came: cut short, it
goes on there, and what is done twice changes nothing.  A record whose new cost and status are what it has keeps its
price id too: that is the price by which it was computed.  One for which no price is known now keeps its cost.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import structlog
from django.db import connection, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from control_plane.core import audit
from control_plane.core.errors import Invalid
from control_plane.core.principal import Principal, system_actor
from control_plane.ledger.models import Correction, Recost
from control_plane.ledger.prices_now import Cost, PricesNow
from control_plane.logs.models import LogFloor, LogRow

Json = dict[str, Any]

BATCH: Final = 1000
#: Records of calls that were answered; of no others is there a cost.
_STATUSES: Final = ("priced", "unpriced", "free", "override")
_COLUMNS: Final = (
    "ts", "id", "workspace_id", "provider", "model_requested", "model_served", "tok_in", "tok_out", "tok_in_cache_read",
    "tok_in_cache_write", "tok_out_reasoning", "usage_source", "detail", "cost_nano", "price_id", "price_status",
)  # fmt: skip
# The bounds say again what the join does: by them partitions are left out when the statement is planned.
_UPDATE: Final = """
    UPDATE logs_record SET cost_nano = new.nano, price_id = new.price_id, price_status = new.status
    FROM unnest(%s::timestamptz[], %s::uuid[], %s::bigint[], %s::text[], %s::text[])
        AS new (ts, id, nano, price_id, status)
    WHERE logs_record.ts = new.ts AND logs_record.id = new.id AND logs_record.ts BETWEEN %s AND %s
"""

log = structlog.get_logger(module=__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecostRange:
    """Which records: from `start` until before `end` (aware), of one provider or model (asked for or served).

    `price_id` is the one price to use, empty: for each record that of now.  `own_of_now`: what integrations pay now
    in place of list prices, they always paid.
    """

    start: datetime
    end: datetime
    provider: str = ""
    model: str = ""
    price_id: str = ""
    own_of_now: bool = False


@dataclass(slots=True)
class Tally:
    """What a re-cost found: records it looked at, those that change, those of no known price, and sums of all."""

    records: int = 0
    changed: int = 0
    unknown: int = 0
    before_nano: int = 0
    after_nano: int = 0
    before_unpriced: int = 0
    after_unpriced: int = 0


@dataclass(frozen=True, slots=True)
class _Change:
    record: Json
    after: Cost


def _check(wanted: RecostRange) -> None:
    if wanted.start >= wanted.end:
        raise Invalid("The time range must be longer than nothing.")
    if wanted.price_id and not wanted.model:
        raise Invalid("One price for all models would be wrong for most: name the model as well.")
    floor = LogFloor.objects.first()
    whole_since = datetime(floor.day.year, floor.day.month, floor.day.day, tzinfo=UTC) if floor else None
    if whole_since is not None and wanted.start < whole_since:
        raise Invalid(f"Records before {whole_since:%Y-%m-%d} are gone, and what they cost cannot be changed.")


def _prices(organisation_id: UUID, wanted: RecostRange) -> PricesNow:
    return PricesNow(organisation_id, wanted.price_id, own_of_now=wanted.own_of_now)


def _range_of(recost: Recost) -> RecostRange:
    return RecostRange(**{name: getattr(recost, name) for name in RecostRange.__dataclass_fields__})


def _rows(organisation_id: UUID, wanted: RecostRange) -> QuerySet[LogRow]:
    condition = Q(organisation_id=organisation_id, price_status__in=_STATUSES)
    condition &= Q(ts__gte=wanted.start, ts__lt=wanted.end)
    if wanted.provider:
        condition &= Q(provider=wanted.provider)
    if wanted.model:
        condition &= Q(model_served=wanted.model) | Q(model_requested=wanted.model)
    return LogRow.objects.filter(condition).order_by("ts", "id")


def _after(rows: QuerySet[LogRow], ts: datetime | None, row_id: UUID | None) -> QuerySet[LogRow]:
    # The first half repeats what the second says: it is what the database can skip partitions by.
    return rows if ts is None else rows.filter(Q(ts__gte=ts) & (Q(ts__gt=ts) | Q(id__gt=row_id)))


def _weigh(records: Sequence[Json], prices: PricesNow, tally: Tally) -> list[_Change]:
    """Add records to the tally and return those whose cost or status changes."""
    changes = []
    for record in records:
        before = Cost(record["cost_nano"], record["price_id"], record["price_status"])
        found = prices.cost_of(record)
        after = found or before
        tally.records += 1
        tally.unknown += found is None
        tally.before_nano += before.nano or 0
        tally.after_nano += after.nano or 0
        tally.before_unpriced += before.status == "unpriced"
        tally.after_unpriced += after.status == "unpriced"
        if (after.nano, after.status) != (before.nano, before.status):
            changes.append(_Change(record, after))
    tally.changed += len(changes)
    return changes


def preview(actor: Principal, wanted: RecostRange, *, batch: int = BATCH) -> Tally:
    """Return what a re-cost would find in the actor's organisation; changes nothing.  Raises Invalid."""
    _check(wanted)
    prices, tally = _prices(actor.organisation_id, wanted), Tally()
    rows, ts, row_id = _rows(actor.organisation_id, wanted), None, None
    while records := list(_after(rows, ts, row_id).values(*_COLUMNS)[:batch]):
        _weigh(records, prices, tally)
        ts, row_id = records[-1]["ts"], records[-1]["id"]
    return tally


def recost_json(recost: Recost) -> Json:
    """Return a re-cost as the audit trail keeps it."""
    said: Json = {name: getattr(recost, name) for name in ("provider", "model", "price_id", "own_of_now")}
    said |= {"start": recost.start.isoformat(), "end": recost.end.isoformat()}
    return said | asdict(tally_of(recost))


def tally_of(recost: Recost) -> Tally:
    """Return what a re-cost has found so far."""
    return Tally(**{name: int(getattr(recost, name)) for name in Tally.__dataclass_fields__})


def start_recost(actor: Principal, wanted: RecostRange) -> Recost:
    """Begin a re-cost of the actor's organisation, which `continue_recost` carries out.

    Raises Invalid for a range of which records are gone, and for a price that there is not.
    """
    _check(wanted)
    _prices(actor.organisation_id, wanted)
    with transaction.atomic():
        recost = Recost.objects.create(
            organisation_id=actor.organisation_id,
            actor_kind=actor.kind,
            actor_id=actor.id,
            actor_name=actor.name,
            **asdict(wanted),
        )
        audit.record(actor, "create", recost, after=recost_json(recost))
    return recost


def _write(recost: Recost, changes: Iterable[_Change]) -> None:
    now = timezone.now()
    corrections = [
        Correction(
            recost=recost,
            organisation_id=recost.organisation_id,
            workspace_id=change.record["workspace_id"],
            record_ts=change.record["ts"],
            record_id=change.record["id"],
            before_nano=change.record["cost_nano"],
            after_nano=change.after.nano,
            before_price_id=change.record["price_id"],
            after_price_id=change.after.price_id,
            before_status=change.record["price_status"],
            after_status=change.after.status,
            actor_kind=recost.actor_kind,
            actor_id=recost.actor_id,
            actor_name=recost.actor_name,
            at=now,
        )
        for change in changes
    ]
    if not corrections:
        return
    Correction.objects.bulk_create(corrections)
    names = ("record_ts", "record_id", "after_nano", "after_price_id", "after_status")
    columns = [[getattr(row, name) for row in corrections] for name in names]
    with connection.cursor() as cursor:
        cursor.execute(_UPDATE, [*columns, corrections[0].record_ts, corrections[-1].record_ts])


def recost_batch(recost_id: UUID, prices: PricesNow, size: int = BATCH) -> Recost:
    """Do the next `size` records of a re-cost, in one transaction; return it, with `finished_at` when all are done."""
    with transaction.atomic():
        recost = Recost.objects.select_for_update().get(pk=recost_id)
        if recost.finished_at is not None:
            return recost
        rows = _after(_rows(recost.organisation_id, _range_of(recost)), recost.at_ts, recost.at_id)
        # Another re-cost of the same records waits, and then starts from what this one wrote.
        records = list(rows.select_for_update().values(*_COLUMNS)[:size])
        tally = tally_of(recost)
        _write(recost, _weigh(records, prices, tally))
        for name, value in asdict(tally).items():
            setattr(recost, name, value)
        if records:
            recost.at_ts, recost.at_id = records[-1]["ts"], records[-1]["id"]
        if len(records) < size:
            recost.finished_at = timezone.now()
            actor = system_actor(recost.organisation_id)
            audit.record(actor, "complete", recost, after=recost_json(recost))
        recost.save()
    return recost


def continue_recost(recost_id: UUID, *, batch: int = BATCH, until_s: float | None = None) -> Recost:
    """Carry a re-cost out, from where it is, to its end; or as far as it comes until the monotonic time `until_s`.

    May be stopped at any time and called again, also by several at once.  Raises Invalid when the price that it names
    is in the price lists no more.
    """
    recost = Recost.objects.get(pk=recost_id)
    prices = _prices(recost.organisation_id, _range_of(recost))
    while recost.finished_at is None and (until_s is None or time.monotonic() < until_s):
        recost = recost_batch(recost_id, prices, batch)
    return recost


def continue_open(seconds: float) -> None:
    """Go on with the re-costs that are not done, the oldest first, for so many seconds in all."""
    until_s = time.monotonic() + seconds
    for recost_id in Recost.objects.filter(finished_at=None).order_by("created_at").values_list("pk", flat=True):
        try:
            continue_recost(recost_id, until_s=until_s)
        except Invalid as fault:
            # Its price is gone; those behind it must not wait for that.
            log.warning("recost_not_continued", recost=str(recost_id), reason=str(fault.detail))
