"""`reset_sign_in`: the operator lets a person in again who lost password or second factor."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from control_plane.accounts.models import Guesses, User, normal_email
from control_plane.accounts.second_factor import remove_factor
from control_plane.accounts.services import create_setup_link, setup_url


class Command(BaseCommand):
    """Print a new set-up link of a person, whose locks are forgotten."""

    help = "Print a one-time link by which a person chooses a new password."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("email", help="e-mail address of the person")
        parser.add_argument("--second-factor", action="store_true", help="take their second factor away too")

    def handle(self, *args: Any, **options: Any) -> None:
        """Make the link."""
        user = User.objects.filter(email=normal_email(options["email"])).first()
        if user is None:
            raise CommandError("there is no such person")
        with transaction.atomic():
            Guesses.objects.filter(user=user).delete()
            if options["second_factor"]:
                remove_factor(user, by_system=True)
            self.stdout.write(setup_url(create_setup_link(user)))
