"""Background work on API keys."""

from typing import Any, Final

from celery import shared_task
from django.utils import timezone

from control_plane.keys.rotation import end_transitions, rotate_due

BEAT_SCHEDULE: Final[dict[str, dict[str, Any]]] = {
    "keys.end_transitions": {"task": "keys.end_transitions", "schedule": 60.0},
    "keys.rotate_due": {"task": "keys.rotate_due", "schedule": 60.0},
}


@shared_task(name="keys.end_transitions")  # type: ignore[untyped-decorator]
def end_key_transitions() -> int:
    """Forget old secrets whose rotation is over; harmless when run twice or late."""
    return end_transitions(timezone.now())


@shared_task(name="keys.rotate_due")  # type: ignore[untyped-decorator]
def rotate_due_keys() -> int:
    """Rotate the keys whose policies want it now; harmless when run twice or late."""
    return rotate_due(timezone.now())
