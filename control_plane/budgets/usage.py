"""What do callers see of the budget of a key, a provider or whatever else has one?

Rows that are shown carry it as `used`, read in the query that reads the rows themselves.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, TypeVar, cast
from uuid import UUID

from django.db.models import F, JSONField, Model, OuterRef, QuerySet, Subquery
from django.db.models.functions import JSONObject

from control_plane.budgets.models import EXHAUSTED, Budget
from control_plane.core.fields import iso
from control_plane.core.limits import plain

Json = dict[str, Any]
Row = TypeVar("Row", bound=Model)

_FACTS: Final = (
    "unit", "limit", "spent", "status", "next_reset_at", "last_reset_at", "is_threshold_alerts_sent",
    "is_exhausted_alerts_sent",
)  # fmt: skip


def with_usage(rows: QuerySet[Row], kind: str, *, owner: str = "pk") -> QuerySet[Row]:
    """Return rows that know what was used of their budgets; `owner` names the column with the id of its owner."""
    budgets = Budget.objects.filter(
        kind=kind, owner_id=OuterRef(owner), organisation_id=OuterRef("organisation_id"), value_key=""
    )
    facts = budgets.values(facts=JSONObject(**{name: F(name) for name in _FACTS}))
    found = rows.annotate(used=Subquery(facts[:1], output_field=JSONField()))
    return cast("QuerySet[Row]", found)


def set_used(row: Any, budget: Budget | None) -> None:
    """Let a row show its budget as that stands now."""
    row.used = None if budget is None else {name: getattr(budget, name) for name in _FACTS}


def budget_of(organisation_id: UUID, kind: str, owner_id: UUID) -> Budget | None:
    """Return the budget of what has one of its own."""
    named = {"organisation_id": organisation_id, "kind": kind, "owner_id": owner_id, "value_key": ""}
    return Budget.objects.filter(**named).first()


def _moment(value: object) -> str | None:
    return iso(datetime.fromisoformat(value) if isinstance(value, str) else value)  # type: ignore[arg-type]  # or a moment


def facts_of(row: Any) -> Mapping[str, Any] | None:
    """Return what `with_usage` or `set_used` has found of a row's budget, None without one that limits."""
    used: Mapping[str, Any] | None = getattr(row, "used", None)
    return used if used is not None and used["limit"] is not None else None


def is_exhausted(row: Any) -> bool:
    """Return whether a row's budget is used up."""
    used = facts_of(row)
    return used is not None and used["status"] == EXHAUSTED


def next_reset_of(row: Any) -> str | None:
    """Return when the usage of a row is next set back to 0, as the API writes it."""
    used = getattr(row, "used", None)
    return _moment(used["next_reset_at"]) if used else None


def last_reset_of(row: Any) -> str | None:
    """Return when the usage of a row was last set back to 0, as the API writes it."""
    used = getattr(row, "used", None)
    return _moment(used["last_reset_at"]) if used else None


def limits_json(row: Any) -> Json | None:
    """Return the limit of a row as it was said, but with the reset that comes next in place of the first one."""
    said: Json | None = row.usage_limits
    if said and "next_usage_reset_at" in said and facts_of(row) is not None:
        return {**said, "next_usage_reset_at": next_reset_of(row)}
    return said


def counter_json(budget: Budget) -> Json:
    """Return what was used of a budget as the API shows it: US dollars of cost, else a count."""
    return {
        "current_usage": plain(budget.counted(budget.spent)),
        "status": budget.status,
        "is_threshold_alerts_sent": budget.is_threshold_alerts_sent,
        "is_exhausted_alerts_sent": budget.is_exhausted_alerts_sent,
    }


def usage_json(row: Any) -> Json:
    """Return what was used of a row's budget as the API shows it beside its limit; {} for what has no limit."""
    used = facts_of(row)
    if used is None:
        return {}
    told = counter_json(Budget(**used))
    return {
        "current_usage": told.pop("current_usage"),
        "usage_status": told.pop("status"),
        **told,
        "next_usage_reset_at": next_reset_of(row),
        "last_usage_reset_at": last_reset_of(row),
    }
