"""`manage.py verify_ledger`: prove that the totals are the sums of the records, or say where they are not."""

from datetime import date
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser

from control_plane.ledger.verifying import Difference, differences, repair
from control_plane.orgs.models import Organisation

SHOWN: Final = 50


def _line(found: Difference) -> str:
    of = " ".join(f"{name}={value}" for name, value in found.dimensions.items() if value is not None)
    missing = " ".join(f"{name} {value:+}" for name, value in found.missing.items())
    return f"{found.hour:%Y-%m-%dT%H}Z organisation_id={found.organisation_id} {of}: records have {missing}"


class Command(BaseCommand):
    """Compares records and totals; exits with 1 when they differ."""

    help = "Compare the totals of the ledger with the records, of all days whose records are whole."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the bounds."""
        parser.add_argument("--organisation", metavar="SLUG", help="only this organisation")
        parser.add_argument("--since", type=date.fromisoformat, metavar="YYYY-MM-DD", help="first day (UTC)")
        parser.add_argument("--until", type=date.fromisoformat, metavar="YYYY-MM-DD", help="day behind the last (UTC)")
        parser.add_argument("--repair", action="store_true", help="then make the totals say what the records say")

    def handle(self, *args: Any, **options: Any) -> None:
        """Say where they differ, and fail unless they agree."""
        organisation_id = None
        if options["organisation"] is not None:
            row = Organisation.objects.filter(slug=options["organisation"]).first()
            if row is None:
                raise CommandError(f"there is no organisation {options['organisation']}")
            organisation_id = row.pk
        bounds = options["since"], options["until"], organisation_id
        count = 0
        for count, found in enumerate(differences(*bounds), 1):
            if count <= SHOWN:
                self.stdout.write(_line(found))
        if not count:
            self.stdout.write("the totals are the sums of the records")
            return
        if options["repair"]:
            self.stdout.write(f"{repair(*bounds)} totals repaired")
        raise CommandError(f"{count} totals differed from the records", returncode=1)
