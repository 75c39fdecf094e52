"""`create_organisation`: another tenant, with its admin key."""

import argparse
import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from control_plane.accounts.services import create_setup_link, find_or_create_user, setup_url
from control_plane.core.errors import Invalid
from control_plane.core.principal import system_actor
from control_plane.keys.services import NewOrganisation, create_organisation_with_key
from control_plane.orgs.services import add_member


class Command(BaseCommand):
    """Print the ids of a new organisation and its admin key, which is shown this once."""

    help = "Make an organisation with its default workspace and an admin API key."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("name", help="name of the organisation")
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        parser.add_argument("--owner-email", default="", help="also make this person its owner, with a set-up link")
        parser.add_argument(
            "--block-inline",
            action=argparse.BooleanOptionalAction,
            default=False,
            help="saved-only mode: requests may name saved configs and providers only",
        )
        parser.add_argument("--allow-inline", action="store_false", dest="block_inline", help="the default")

    def handle(self, *args: Any, **options: Any) -> None:
        """Make the organisation and print what its owner needs."""
        try:
            with transaction.atomic():
                made = create_organisation_with_key(options["name"], block_inline=options["block_inline"])
                facts = {**_facts(made), **_owner(made, options["owner_email"])}
        except Invalid as fault:
            raise CommandError(str(fault.detail)) from None
        if options["json"]:
            self.stdout.write(json.dumps(facts))
            return
        for label, value in facts.items():
            self.stdout.write(f"{label:<16} {value}")


def _facts(made: NewOrganisation) -> dict[str, str]:
    return {
        "name": made.organisation.name,
        "organisation_id": str(made.organisation.pk),
        "workspace_id": str(made.workspace.pk),
        "workspace_slug": made.workspace.slug,
        "admin_api_key": made.admin_key.shown_once(),
    }


def _owner(made: NewOrganisation, email: str) -> dict[str, str]:
    if not email:
        return {}
    user = find_or_create_user(email)
    add_member(system_actor(made.organisation), user, "owner")
    return {"owner_email": user.email, "setup_url": setup_url(create_setup_link(user))}
