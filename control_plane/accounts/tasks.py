"""Background work on accounts."""

from typing import Any, Final

from celery import shared_task
from django.utils import timezone

from control_plane.accounts import sign_ins, throttle

BEAT_SCHEDULE: Final[dict[str, dict[str, Any]]] = {
    "accounts.report_locks": {"task": "accounts.report_locks", "schedule": 30.0},
    "accounts.forget_old": {"task": "accounts.forget_old", "schedule": 3600.0},
}


@shared_task(name="accounts.report_locks")  # type: ignore[untyped-decorator]
def report_locks() -> int:
    """Tell the audit trail which accounts were locked because someone guessed; each lock once."""
    return throttle.report_locks()


@shared_task(name="accounts.forget_old")  # type: ignore[untyped-decorator]
def forget_old() -> int:
    """Delete counts and sign-ins that no longer mean anything; harmless when run twice or late."""
    return throttle.forget_old(timezone.now()) + sign_ins.forget_old()
