"""`manage.py roll_up`: what the task does every half minute, for installations without one and for operators."""

from typing import Any

from django.core.management.base import BaseCommand

from control_plane.ledger.folding import fold


class Command(BaseCommand):
    """Folds what was stored into the roll-ups."""

    help = "Bring the roll-ups of the ledger up to date."

    def handle(self, *args: Any, **options: Any) -> None:
        """Run once."""
        self.stdout.write(f"{fold()} deltas folded")
