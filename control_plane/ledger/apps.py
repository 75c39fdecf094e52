"""The app's configuration."""

from django.apps import AppConfig


class LedgerConfig(AppConfig):
    """What was used and what it cost."""

    name = "control_plane.ledger"
    label = "ledger"
