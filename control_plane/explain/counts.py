"""What was used, by what is recorded?  Whole hours from the ledger, the pieces of hours at their ends from records.

So the work does not grow with how long a window is, and what is looked through record by record is bounded.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db.models import Count, Q, Sum
from django.db.models.functions import Coalesce

from control_plane.core.principal import system_actor
from control_plane.core.tenancy import visible_to
from control_plane.explain.call import AskedCall
from control_plane.explain.limits import Owner, Rule
from control_plane.explain.windows import HOUR, hour_at, next_hour
from control_plane.ledger.models import Total
from control_plane.logs.models import LogFloor, LogRow
from control_plane.orgs.models import Workspace
from shared.policies import PolicyCall, facts_of, matches, value_key
from shared.routing.naming import split_model

#: More records are not gone through one by one.
MOST_MATCHED: Final = 20_000
#: Nor are those of a longer time.
LONGEST_MATCHED: Final = HOUR
_MATCHED: Final = (
    "ts", "workspace_id", "api_key_id", "provider", "virtual_key", "config", "model_requested", "endpoint", "metadata",
    "tok_in", "tok_out",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Span:
    """The records of an owner, from `start` until before `end` (aware)."""

    level: str
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Used:
    """What was used: nano-dollars, tokens, requests."""

    cost: int = 0
    tokens: int = 0
    requests: int = 0

    def of(self, kind: str) -> int:
        """Return what counts for a limit of a type."""
        return {"cost": self.cost, "tokens": self.tokens, "requests": self.requests}[kind]

    def __add__(self, other: "Used") -> "Used":
        """Return both together."""
        return Used(self.cost + other.cost, self.tokens + other.tokens, self.requests + other.requests)


def records_since() -> datetime | None:
    """Return since when records are whole, None when none was ever dropped."""
    floor = LogFloor.objects.first()
    return None if floor is None else datetime(floor.day.year, floor.day.month, floor.day.day, tzinfo=UTC)


def needs_records(span: Span, now: datetime) -> bool:
    """Return whether the ledger alone cannot tell what was used in a span."""
    return bool(_parts(span, now)[1])


def _parts(span: Span, now: datetime) -> tuple[tuple[datetime, datetime] | None, list[tuple[datetime, datetime]]]:
    """Return the whole hours of a span, and what of it lies before and after them; nothing is recorded after `now`."""
    end = next_hour(span.end) if span.end >= now else span.end
    first, last = next_hour(span.start), hour_at(end)
    if first >= last:
        return None, [(span.start, end)] if span.start < end else []
    return (first, last), [piece for piece in ((span.start, first), (last, end)) if piece[0] < piece[1]]


def counts_of(call: AskedCall, owners: Mapping[str, Owner], spans: Iterable[Span]) -> dict[Span, Used]:
    """Return what was used in each span; `owners` are by level, and each has records and totals."""
    found: dict[Span, Used] = {}
    hours: dict[Span, tuple[datetime, datetime]] = {}
    pieces: dict[tuple[str, datetime, datetime], Used] = {}
    for span in dict.fromkeys(spans):
        whole, edges = _parts(span, call.now)
        found[span] = Used()
        if whole is not None:
            hours[span] = whole
        for start, end in edges:
            at = (span.level, start, end)
            if at not in pieces:
                pieces[at] = _in_records(call, owners[span.level], start, end)
            found[span] += pieces[at]
    for span, used in _in_totals(call, owners, hours).items():
        found[span] += used
    return found


def _in_records(call: AskedCall, owner: Owner, start: datetime, end: datetime) -> Used:
    rows = visible_to(LogRow.objects.all(), system_actor(call.organisation)).filter(owner.records or Q())
    sums = rows.filter(ts__gte=start, ts__lt=end).aggregate(
        cost=Coalesce(Sum("cost_nano"), 0),
        tok_in=Coalesce(Sum("tok_in"), 0),
        tok_out=Coalesce(Sum("tok_out"), 0),
        requests=Count("*"),
    )
    return Used(int(sums["cost"]), int(sums["tok_in"] + sums["tok_out"]), sums["requests"])


def _in_totals(
    call: AskedCall, owners: Mapping[str, Owner], hours: Mapping[Span, tuple[datetime, datetime]]
) -> dict[Span, Used]:
    """Return what was used in whole hours, all of them in one query."""
    if not hours:
        return {}
    sums: dict[str, Any] = {}
    for number, (span, (start, end)) in enumerate(hours.items()):
        condition = Q(hour__gte=start, hour__lt=end) & (owners[span.level].totals or Q())
        for name in ("cost_nano", "tok_in", "tok_out", "requests"):
            sums[f"s{number}_{name}"] = Sum(name, filter=condition)
    first, last = min(start for start, _ in hours.values()), max(end for _, end in hours.values())
    rows = visible_to(Total.objects.all(), system_actor(call.organisation)).filter(hour__gte=first, hour__lt=last)
    told = rows.aggregate(**sums)

    def read(number: int) -> Used:
        cost, taken, given, requests = (
            int(told[f"s{number}_{name}"] or 0) for name in ("cost_nano", "tok_in", "tok_out", "requests")
        )
        return Used(cost, taken + given, requests)

    return {span: read(number) for number, span in enumerate(hours)}


def matched(call: AskedCall, rules: Iterable[tuple[Rule, datetime, datetime]]) -> dict[int, Used | None]:
    """Return what was used under policies of rate, each from a start until before an end, by the place of the rule.

    None: there are too many records, or too long a time, to go through them.
    """
    listed = list(rules)
    wanted = {(start, end) for _, start, end in listed if end - start <= LONGEST_MATCHED}
    rows = {span: _rows(call, *span) for span in wanted}
    slugs: dict[UUID, str] = {}
    if wanted:
        slugs = dict(Workspace.objects.filter(organisation=call.organisation).values_list("pk", "slug"))
    found: dict[int, Used | None] = {}
    for place, (rule, start, end) in enumerate(listed):
        known = rows.get((start, end))
        found[place] = None if known is None else _added(call, rule, known, slugs)
    return found


def _rows(call: AskedCall, start: datetime, end: datetime) -> list[dict[str, Any]] | None:
    rows = visible_to(LogRow.objects.all(), system_actor(call.organisation)).filter(ts__gte=start, ts__lt=end)
    found = list(rows.values(*_MATCHED)[: MOST_MATCHED + 1])
    return found if len(found) <= MOST_MATCHED else None


def _added(call: AskedCall, rule: Rule, rows: list[dict[str, Any]], slugs: Mapping[UUID, str]) -> Used:
    total, policy = Used(), rule.policy
    if policy is None:
        return total
    for row in rows:
        if policy.ws is not None and policy.ws != str(row["workspace_id"]):
            continue
        facts = facts_of(_recorded(call, row, slugs))
        if matches(policy, facts) and value_key(policy, facts) == rule.value_key:
            total += Used(0, row["tok_in"] + row["tok_out"], 1)
    return total


def _recorded(call: AskedCall, row: Mapping[str, Any], slugs: Mapping[UUID, str]) -> PolicyCall:
    asked = row["model_requested"] or ""
    return PolicyCall(
        organisation=str(call.organisation.pk),
        workspace=str(row["workspace_id"]),
        workspace_slug=slugs.get(row["workspace_id"], ""),
        operation=row["endpoint"],
        api_key=str(row["api_key_id"] or ""),
        provider=row["provider"] or "",
        virtual_key=row["virtual_key"] or "",
        config=row["config"] or "",
        sent=split_model(asked)[1],
        asked=asked,
        metadata=row["metadata"],
    )


def elapsed_hours(start: datetime, end: datetime) -> float:
    """Return how many hours lie between two moments."""
    return (end - start) / timedelta(hours=1)
