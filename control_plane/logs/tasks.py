"""Background work of the log store; every task may run twice or late without harm."""

from datetime import timedelta
from typing import Any, Final

from celery import shared_task
from django.utils import timezone

from control_plane.logs.partitions import maintain_partitions

BEAT_SCHEDULE: Final[dict[str, Any]] = {
    "logs.maintain_partitions": {"task": "logs.maintain_partitions", "schedule": timedelta(hours=1)},
}


@shared_task(name="logs.maintain_partitions")  # type: ignore[untyped-decorator]
def maintain_partitions_of_today() -> None:
    """Make the partitions of the days ahead and drop those that are too old."""
    maintain_partitions(timezone.now().date())
