"""`run_publisher`: the process that holds the bundle key and publishes what changed."""

import signal
import time
from pathlib import Path
from types import FrameType
from typing import Any, Final

import psycopg
import structlog
from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import DatabaseError, InterfaceError, close_old_connections, connection

from control_plane.core.outbox import CHANNEL
from control_plane.gateways.publish import Publisher
from control_plane.gateways.signing import Signers, SigningKeysMissing

SWEEP_S: Final = 1.0
#: Edits that belong together often come together; waiting this long makes them one revision.
DEBOUNCE_S: Final = 0.02
RENEW_S: Final = 240.0
COLLECT_S: Final = 3600.0
RETRY_S: Final = 1.0
#: Any fixed number: it names the lock that keeps a second publisher waiting.
LOCK_ID: Final = 0x67687075

log = structlog.get_logger(module=__name__)


class Command(BaseCommand):
    """Publish until SIGTERM."""

    help = "Publish configuration bundles for gateways as changes come in."
    stopping = False

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until stopped; a database that goes away is waited for."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        while not self.stopping:
            try:
                self._lead()
            except (DatabaseError, InterfaceError, psycopg.OperationalError, SigningKeysMissing) as fault:
                log.warning("publisher_waiting", reason=str(fault).splitlines()[0])
                close_old_connections()
                time.sleep(RETRY_S)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self.stopping = True

    def _lead(self) -> None:
        """Take the lead, then publish; returns when stopping."""
        connection.ensure_connection()
        with psycopg.connect(**_parameters(), autocommit=True) as listener:
            while not self.stopping:
                row = listener.execute("SELECT pg_try_advisory_lock(%s)", [LOCK_ID]).fetchone()
                if row is not None and row[0]:
                    break
                time.sleep(RETRY_S)
            listener.execute(f"LISTEN {CHANNEL}")
            self._publish_changes(listener)

    def _publish_changes(self, listener: "psycopg.Connection[Any]") -> None:
        collected_at = time.monotonic()
        publisher: Publisher | None = None
        while not self.stopping:
            signers = Signers.load(Path(settings.SIGNING_DIR))
            # New key files count only once a root names them.
            if publisher is None or publisher.root_version != signers.root.version:
                publisher = Publisher(signers)
                publisher.publish_under_root()
            publisher.publish_new_groups()
            publisher.publish_prices()
            publisher.publish_pending()
            publisher.renew_heads(RENEW_S)
            if time.monotonic() - collected_at > COLLECT_S:
                publisher.collect()
                collected_at = time.monotonic()
            if any(True for _ in listener.notifies(timeout=SWEEP_S, stop_after=1)):
                time.sleep(DEBOUNCE_S)


def _parameters() -> dict[str, Any]:
    """Return what psycopg needs to reach Django's database."""
    database = connection.settings_dict
    return {
        "host": database["HOST"], "port": database["PORT"], "user": database["USER"],
        "password": database["PASSWORD"], "dbname": database["NAME"],
    }  # fmt: skip
