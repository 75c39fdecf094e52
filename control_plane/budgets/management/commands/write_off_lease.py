"""`write_off_lease`: give back what a gateway that is gone for good had set aside."""

from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from control_plane.budgets.models import Holder
from control_plane.budgets.services import write_off
from control_plane.core.principal import system_actor

#: A run that was heard of since then may be spending.
_ALIVE: Final = timedelta(minutes=5)


class Command(BaseCommand):
    """Write off what one run of a gateway holds of budgets."""

    help = "Give back what a run of a gateway, which is gone with its disk, holds of budgets and did not spend."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("holder", type=UUID, help="id of the run")

    def handle(self, *args: Any, **options: Any) -> None:
        """Settle the run and say of how many budgets it held something."""
        holder = Holder.objects.filter(pk=options["holder"], is_settled=False).first()
        if holder is None:
            raise CommandError("There is no run of that id which holds anything.")
        if holder.last_at > timezone.now() - _ALIVE:
            raise CommandError(f"{holder.instance} was heard of at {holder.last_at:%H:%M:%S} UTC: stop it first.")
        count = write_off(system_actor(holder.group_id, "write_off_lease"), holder)
        self.stdout.write(f"{holder.instance}: what it held of {count} budgets was given back.")
