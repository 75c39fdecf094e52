"""`manage.py maintain_partitions`: what the hourly task does, for installations without one and for operators."""

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from control_plane.logs.partitions import maintain_partitions


class Command(BaseCommand):
    """Makes partitions ahead and drops those that are too old."""

    help = "Make the log partitions of the days ahead, and drop those that are too old."

    def handle(self, *args: Any, **options: Any) -> None:
        """Run once."""
        made, dropped = maintain_partitions(timezone.now().date())
        self.stdout.write(f"{made} partitions made, {dropped} dropped")
