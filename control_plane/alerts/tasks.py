"""Background work of alerts; every task may run twice, late or be cut short without harm."""

from datetime import timedelta
from typing import Any, Final

from celery import shared_task
from django.utils import timezone

from control_plane.alerts.delivery import forget_old, send_due
from control_plane.alerts.dispatch import dispatch

BEAT_SCHEDULE: Final[dict[str, Any]] = {
    "alerts.dispatch": {"task": "alerts.dispatch", "schedule": timedelta(seconds=10)},
    "alerts.send": {"task": "alerts.send", "schedule": timedelta(seconds=10)},
    "alerts.forget": {"task": "alerts.forget", "schedule": timedelta(hours=1)},
}


@shared_task(name="alerts.dispatch")  # type: ignore[untyped-decorator]
def dispatch_events() -> int:
    """Find out who is to be told of what happened to budgets."""
    return dispatch()


@shared_task(name="alerts.send")  # type: ignore[untyped-decorator]
def send_messages() -> int:
    """Send what is due."""
    return send_due(timezone.now())


@shared_task(name="alerts.forget")  # type: ignore[untyped-decorator]
def forget_deliveries() -> int:
    """Delete what was sent or given up long ago."""
    return forget_old(timezone.now())
