"""Background work on budgets; every task may run twice, late or be cut short without harm."""

from datetime import timedelta
from typing import Any, Final

from celery import shared_task
from django.utils import timezone

from control_plane.budgets import charges, leases, services

BEAT_SCHEDULE: Final[dict[str, dict[str, Any]]] = {
    "budgets.reset_due": {"task": "budgets.reset_due", "schedule": timedelta(minutes=1)},
    "budgets.add_charges": {"task": "budgets.add_charges", "schedule": timedelta(seconds=15)},
    "budgets.settle_silent": {"task": "budgets.settle_silent", "schedule": timedelta(hours=1)},
    "budgets.forget_old": {"task": "budgets.forget_old", "schedule": timedelta(hours=1)},
}


@shared_task(name="budgets.reset_due")  # type: ignore[untyped-decorator]
def reset_due() -> int:
    """Begin the windows that are due."""
    return services.reset_due(timezone.now())


@shared_task(name="budgets.add_charges")  # type: ignore[untyped-decorator]
def add_charges() -> int:
    """Book what records say was spent."""
    return charges.add_charges()


@shared_task(name="budgets.settle_silent")  # type: ignore[untyped-decorator]
def settle_silent() -> int:
    """Give back what gateways hold that have been silent for too long to spend it."""
    return leases.settle_silent(timezone.now())


@shared_task(name="budgets.forget_old")  # type: ignore[untyped-decorator]
def forget_old() -> int:
    """Delete old books that nobody needs."""
    return leases.forget_old(timezone.now())
