"""Where does a budget stand?  Whatever changes what was spent, or the limit, passes through here.

All functions but the last change rows that the caller has locked, and save nothing of them.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

import msgspec
from django.db import connection
from django.utils import timezone
from psycopg import sql

from control_plane.budgets.models import ACTIVE, EXHAUSTED, MOST, Budget, BudgetEvent, Lease
from control_plane.core import limits

#: With less than this part left a budget on which a call was refused counts as exhausted: what is left buys no call.
_CRUMBS: Final = 100


def bounded(amount: int) -> int:
    """Return an amount as a column can hold it: an absurd number exhausts the budget, and breaks nothing."""
    return min(max(0, amount), MOST)


def shift(budget: Budget, lease: Lease, before: tuple[int, int]) -> None:
    """Take over what a lease of the current window has changed by; `before` is what it had (spent, committed)."""
    spent, committed = before
    budget.spent = bounded(budget.spent + lease.spent - spent)
    budget.committed = max(budget.spent, bounded(budget.committed + lease.committed - committed))


def begin_window(budget: Budget, now: datetime) -> None:
    """Set what was used back to 0, in a window of its own: what was leased before is of the former one."""
    budget.window += 1
    budget.spent = budget.committed = 0
    budget.last_reset_at = now
    budget.scarce_until = None
    standing(budget)


def begin_due_window(budget: Budget, now: datetime) -> bool:
    """Begin a new window if the last one is over; return whether it was."""
    if budget.next_reset_at is None or budget.next_reset_at > now:
        return False
    days = budget.periodic_reset_days
    if days:
        # Counted from the day on which it was due: whoever comes late does not shift those that follow.
        periods = (now - budget.next_reset_at) // timedelta(days=days) + 1
        budget.next_reset_at += periods * timedelta(days=days)
    else:
        weekday = limits.MONDAY if budget.kind == "policy" else limits.SUNDAY
        budget.next_reset_at = limits.next_reset(now, budget.periodic_reset, None, weekday=weekday)
    begin_window(budget, now)
    return True


def standing(budget: Budget, *, refused: bool = False) -> None:
    """Bring the status up to date, and note each thing that people are told of: once, until it is no longer so.

    `refused`: a call was refused for want of this budget just now.
    """
    limit, spent = budget.limit, budget.spent
    is_out = limit is not None and (spent >= limit or (refused and limit - spent < max(1, limit // _CRUMBS)))
    if limit is None or (budget.status == EXHAUSTED and limit - spent >= max(1, limit // _CRUMBS)):
        budget.status, budget.is_exhausted_alerts_sent = ACTIVE, False
    if is_out:
        budget.status = EXHAUSTED
        if not budget.is_exhausted_alerts_sent:
            budget.is_exhausted_alerts_sent = True
            _note(budget, "exhausted")
    is_over = limit is not None and budget.threshold is not None and spent >= budget.threshold
    if is_over and not budget.is_threshold_alerts_sent:
        _note(budget, "threshold")
    budget.is_threshold_alerts_sent = is_over


def _note(budget: Budget, what: str) -> None:
    number = BudgetEvent.objects.filter(budget=budget, window=budget.window, what=what).count() + 1
    BudgetEvent.objects.create(
        organisation_id=budget.organisation_id,
        workspace_id=budget.workspace_id,
        budget=budget,
        window=budget.window,
        what=what,
        spent=budget.spent,
        limit=budget.limit or 0,
        number=number,
    )


_BUDGET_FIELDS: Final = (
    "window", "spent", "committed", "status", "is_threshold_alerts_sent", "is_exhausted_alerts_sent", "scarce_until",
    "next_reset_at", "last_reset_at", "last_updated_at",
)  # fmt: skip


#: One parameter, however many rows: gateways tell of hundreds at once, and wait for the answer.
_SAVE: Final = sql.SQL(
    "UPDATE {table} AS stored SET {changes} FROM jsonb_populate_recordset(NULL::{table}, %s::jsonb) AS said"
    " WHERE stored.id = said.id"
).format(
    table=sql.Identifier(Budget._meta.db_table),  # noqa: SLF001 -- Django's documented API
    changes=sql.SQL(", ").join(
        sql.SQL("{name} = said.{name}").format(name=sql.Identifier(name)) for name in _BUDGET_FIELDS
    ),
)


def save_budgets(budgets: Iterable[Budget]) -> None:
    """Store where locked budgets stand."""
    rows = list({budget.pk: budget for budget in budgets}.values())
    now = timezone.now()
    for row in rows:
        row.last_updated_at = now
    told = [{"id": row.pk, **{name: getattr(row, name) for name in _BUDGET_FIELDS}} for row in rows]
    if told:
        with connection.cursor() as cursor:
            cursor.execute(_SAVE, [msgspec.json.encode(told).decode()])
