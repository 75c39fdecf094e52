"""Background work on organisations."""

from typing import Any, Final

from celery import shared_task
from django.utils import timezone

from control_plane.orgs.token_keys import refresh_due

BEAT_SCHEDULE: Final[dict[str, dict[str, Any]]] = {
    "orgs.refresh_token_keys": {"task": "orgs.refresh_token_keys", "schedule": 60.0},
}


@shared_task(name="orgs.refresh_token_keys")  # type: ignore[untyped-decorator]
def refresh_token_keys() -> int:
    """Read published key sets again; harmless when run twice or late."""
    return refresh_due(timezone.now())
