"""Budgets as tests use them: what was spent, and who holds what."""

from django.db import transaction
from django.utils import timezone

from control_plane.budgets.models import Budget, Holder, Lease
from control_plane.budgets.standing import bounded, save_budgets, standing
from shared.ids import uuid7


def spend(amount, kind, **named):
    """Book an amount on every budget of a kind that `named` means, as reports of gateways do."""
    with transaction.atomic():
        budgets = list(Budget.objects.filter(kind=kind, **named).select_for_update(of=("self",)))
        for budget in budgets:
            budget.spent = bounded(budget.spent + amount)
            budget.committed = max(budget.committed, budget.spent)
            standing(budget)
        save_budgets(budgets)
    assert budgets


def make_holder(*, silent_for=None):
    """A run of a gateway; `silent_for`: nothing was heard of it for so long."""
    last_at = timezone.now() - silent_for if silent_for else timezone.now()
    return Holder.objects.create(id=uuid7(), group_id=uuid7(), instance="gw-1", last_at=last_at)


def hold(holder, budget, granted, spent=0):
    """Let a run hold a lease on the current window of a budget."""
    Budget.objects.filter(pk=budget.pk).update(committed=budget.committed + granted, spent=budget.spent + spent)
    return Lease.objects.create(budget=budget, window=budget.window, holder=holder, granted=granted, reported=spent)
