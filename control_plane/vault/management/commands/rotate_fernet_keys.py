"""`rotate_fernet_keys`: encrypt everything that is kept encrypted with the first of GATEHOUSE_FERNET_KEYS."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from control_plane.core.sealed import SecretUnreadable, rotate_sealed
from control_plane.vault.services import ROTATION_BATCH, rotate_batch


class Command(BaseCommand):
    """Rotate in batches, each its own transaction: safe to interrupt and to run again."""

    help = "Encrypt all stored secrets with the first Fernet key; afterwards the old keys can be removed."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the size of a batch."""
        parser.add_argument("--batch", type=int, default=ROTATION_BATCH, help="credentials per transaction")

    def handle(self, *args: Any, **options: Any) -> None:
        """Work until nothing is left, and say how much was done."""
        total = 0
        try:
            size = max(1, options["batch"])
            while done := rotate_batch(size) + rotate_sealed(size):
                total += done
                self.stdout.write(f"{total} re-encrypted")
        except SecretUnreadable as fault:
            raise CommandError(f"after {total}: {fault}; give its key in GATEHOUSE_FERNET_KEYS") from None
        self.stdout.write(f"done: {total} re-encrypted, all use the first key")
