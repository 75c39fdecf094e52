"""What do the records say was spent?  What a batch of records took from leases, added to them later.

The rows are stored with the records, in their transaction and without waiting for anybody.
"""

from collections.abc import Iterable
from typing import Any, Final
from uuid import UUID

import structlog
from django.db import connection, transaction

from control_plane.budgets.models import Budget, Charge, Holder, Lease
from control_plane.budgets.standing import bounded, save_budgets, shift, standing

BATCH: Final = 20_000
#: One who adds at a time, across all processes.
_LOCK: Final = 0x67_68_62_75_64
_TAKE: Final = """
    WITH taken AS (
        DELETE FROM budgets_charge
        WHERE id <= (SELECT max(id) FROM (SELECT id FROM budgets_charge ORDER BY id LIMIT %s) batch)
        RETURNING organisation_id, budget_id, "window", holder_id, amount
    )
    SELECT organisation_id, budget_id, "window", holder_id, sum(amount), count(*) FROM taken GROUP BY 1, 2, 3, 4
"""

log = structlog.get_logger(module=__name__)


def store_charges(charges: Iterable[tuple[UUID, UUID, int, UUID, int]]) -> None:
    """Store what the records of a batch took: (organisation, budget, window, run, amount) each; sums them first."""
    sums: dict[tuple[UUID, UUID, int, UUID], int] = {}
    for *key, amount in charges:
        of: Any = tuple(key)
        sums[of] = bounded(sums.get(of, 0) + amount)
    if sums:
        Charge.objects.bulk_create(
            Charge(organisation_id=organisation, budget_id=budget, window=window, holder_id=holder, amount=amount)
            for (organisation, budget, window, holder), amount in sums.items()
        )


def add_charges(batch: int = BATCH) -> int:
    """Add to leases what records took from them; return how many rows there were.  May be run by several at once."""
    total = 0
    while True:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
            cursor.execute(_TAKE, [batch])
            taken = cursor.fetchall()
            _add({(org, budget, window, run): int(amount) for org, budget, window, run, amount, _ in taken})
        count = sum(int(row[-1]) for row in taken)
        total += count
        if count < batch:
            return total


def _add(sums: dict[tuple[UUID, UUID, int, UUID], int]) -> None:
    wanted = {budget for _, budget, _, _ in sums}
    rows = Budget.objects.filter(pk__in=wanted).order_by("pk").select_for_update(of=("self",))
    budgets = {row.pk: row for row in rows}
    leases = {
        (lease.budget_id, lease.window, lease.holder_id): lease
        for lease in Lease.objects.filter(budget__in=budgets, holder__in={run for *_, run in sums})
    }
    runs = set(Holder.objects.filter(pk__in={run for *_, run in sums}).values_list("pk", flat=True))
    for (organisation, budget_id, window, run), amount in sums.items():
        budget = budgets.get(budget_id)
        if budget is None or budget.organisation_id != organisation or window > budget.window or run not in runs:
            # A budget that is gone, or a lease that was never given: a restored backup, or a gateway that makes it up.
            log.warning("charge_without_lease", budget=str(budget_id), window=window, amount=amount)
            continue
        key = (budget_id, window, run)
        lease = leases.setdefault(key, Lease(budget=budget, window=window, holder_id=run, is_open=False))
        before = (lease.spent, lease.committed)
        lease.recorded = bounded(lease.recorded + amount)
        if window == budget.window:
            shift(budget, lease, before)
            standing(budget)
    save_budgets(budgets.values())
    Lease.objects.bulk_create(
        list(leases.values()),
        update_conflicts=True,
        unique_fields=("budget", "window", "holder"),
        update_fields=("recorded",),
    )
