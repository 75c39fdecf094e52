"""`create_signing_keys`: make the root of trust and the signing keys, once."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from control_plane.gateways.signing import create_root, first_root_digest


class Command(BaseCommand):
    """Make root, bundle and freshness keys; keep what is there."""

    help = "Make the root of trust and the keys that sign bundles, unless they exist."

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the digest that gateways pin."""
        create_root(Path(settings.SIGNING_DIR))
        self.stdout.write(first_root_digest())
