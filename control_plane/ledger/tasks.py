"""Background work of the ledger; every task may run twice, late or be cut short without harm."""

from datetime import timedelta
from typing import Any, Final

from celery import shared_task

from control_plane.ledger.folding import fold
from control_plane.ledger.recosting import continue_open

BEAT_SCHEDULE: Final[dict[str, Any]] = {
    "ledger.roll_up": {"task": "ledger.roll_up", "schedule": timedelta(seconds=30)},
    "ledger.continue_recosts": {"task": "ledger.continue_recosts", "schedule": timedelta(minutes=1)},
}
#: Less than a task's time limit.
_RECOST_S: Final = 120.0


@shared_task(name="ledger.roll_up")  # type: ignore[untyped-decorator]
def roll_up() -> None:
    """Fold what was stored since the last time."""
    fold()


@shared_task(name="ledger.continue_recosts")  # type: ignore[untyped-decorator]
def continue_recosts() -> None:
    """Go on with the re-costs that were begun and not ended."""
    continue_open(_RECOST_S)
