"""Background work of the kit."""

from typing import Any, Final

from celery import shared_task
from django.utils import timezone

from control_plane.core.idempotency import forget_answers

BEAT_SCHEDULE: Final[dict[str, dict[str, Any]]] = {
    "core.forget_answers": {"task": "core.forget_answers", "schedule": 600.0},
}


@shared_task(name="core.forget_answers")  # type: ignore[untyped-decorator]
def forget_old_answers() -> int:
    """Delete answers that nobody may ask for again; harmless when run twice or late."""
    return forget_answers(timezone.now())
