"""Background tasks: the Celery application of worker and beat.

Every task is idempotent and found again by a sweep over rows, so a message that is lost costs a delay and nothing
else; that is why tasks are acknowledged late and why no result is kept.
"""

import importlib.util
import os
from importlib import import_module
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "control_plane.settings")

from celery import Celery, signals
from django.apps import apps
from django.conf import settings

from control_plane.core.checks import refuse_unusable_settings
from shared.logs import configure


def _beat_schedule() -> dict[str, Any]:
    """Collect the `BEAT_SCHEDULE` of every app's `tasks` module."""
    found: dict[str, Any] = {}
    for config in apps.get_app_configs():
        name = f"{config.name}.tasks"
        if config.name.startswith("control_plane.") and importlib.util.find_spec(name):
            found |= getattr(import_module(name), "BEAT_SCHEDULE", {})
    return found


def make_app() -> Celery:
    """Return the configured application; connects to nothing yet."""
    celery = Celery("gatehouse", broker=settings.REDIS_URL, set_as_current=True)
    celery.conf.update(
        accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_soft_time_limit=240,
        task_time_limit=300,
        # Longer than any task may run, or a slow task would be handed out twice.
        broker_transport_options={"visibility_timeout": 900},
        broker_connection_retry_on_startup=True,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        timezone="UTC",
    )
    celery.autodiscover_tasks()
    return celery


app = make_app()


@app.on_after_finalize.connect  # type: ignore[untyped-decorator]
def plan_beat(sender: Celery, **_rest: object) -> None:
    """Hand the apps' schedules to beat, now that models can be imported."""
    sender.conf.beat_schedule = _beat_schedule()


@signals.setup_logging.connect  # type: ignore[untyped-decorator]
def log_like_the_rest(**_rest: object) -> None:
    """Log as every other process does; Celery's own formats would let secrets through."""
    configure(settings.LOG_LEVEL)


@signals.celeryd_init.connect  # type: ignore[untyped-decorator]
@signals.beat_init.connect  # type: ignore[untyped-decorator]
def refuse_early(**_rest: object) -> None:
    """Stop a worker that could not do its work, with one sentence."""
    refuse_unusable_settings()
