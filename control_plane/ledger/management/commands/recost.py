"""`manage.py recost`: compute the cost of records anew after a price was wrong."""

from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from control_plane.core.errors import Invalid
from control_plane.core.principal import system_actor
from control_plane.ledger.recosting import RecostRange, Tally, continue_recost, preview, start_recost, tally_of
from control_plane.orgs.models import Organisation
from shared.money import NANO


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _dollars(nano: int) -> str:
    return f"{nano // NANO}.{nano % NANO:09d} USD"


class Command(BaseCommand):
    """Runs a re-cost to its end, or shows what one would change."""

    help = "Compute the cost of stored records anew, with the prices of now; one that was cut short is gone on with."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare which records, and how."""
        parser.add_argument("--organisation", metavar="SLUG", required=True)
        parser.add_argument("--start", type=_moment, required=True, metavar="ISO8601", help="UTC unless it says other")
        parser.add_argument("--end", type=_moment, required=True, metavar="ISO8601", help="until before this time")
        parser.add_argument("--provider", default="", help="only records of this provider")
        parser.add_argument("--model", default="", help="only records of this model, asked for or served")
        parser.add_argument("--price", default="", metavar="ID", help="the one price to use, such as a record names")
        parser.add_argument(
            "--own-prices-of-now", action="store_true", help="what integrations pay now in place of list prices counts"
        )
        parser.add_argument("--dry-run", action="store_true", help="show the totals, change nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run, and say the totals before and after."""
        organisation = Organisation.objects.filter(slug=options["organisation"]).first()
        if organisation is None:
            raise CommandError(f"there is no organisation {options['organisation']}")
        wanted = RecostRange(
            start=options["start"],
            end=options["end"],
            provider=options["provider"],
            model=options["model"],
            price_id=options["price"],
            own_of_now=options["own_prices_of_now"],
        )
        actor = system_actor(organisation)
        try:
            if options["dry_run"]:
                self._say("would change", preview(actor, wanted))
                return
            recost = start_recost(actor, wanted)
            self.stdout.write(f"re-cost {recost.pk}")
            self._say("changed", tally_of(continue_recost(recost.pk)))
        except Invalid as fault:
            raise CommandError(str(fault.detail)) from None

    def _say(self, verb: str, tally: Tally) -> None:
        self.stdout.write(f"{tally.records} records: {tally.changed} {verb}, {tally.unknown} without a price now")
        self.stdout.write(f"before: {_dollars(tally.before_nano)}, {tally.before_unpriced} unpriced")
        self.stdout.write(f"after:  {_dollars(tally.after_nano)}, {tally.after_unpriced} unpriced")
