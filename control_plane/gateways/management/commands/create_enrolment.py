"""`create_enrolment`: a one-time token for a new gateway group."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from control_plane.gateways.services import create_enrolment
from control_plane.gateways.signing import SigningKeysMissing, first_root_digest
from control_plane.orgs.models import Organisation


class Command(BaseCommand):
    """Print a token and the digest of the root of trust."""

    help = "Make a one-time token that lets a gateway group enrol."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("organisation", help="name or id of the organisation")
        parser.add_argument("--group", default="gateways", help="name of the gateway group")
        parser.add_argument("--serves-all", action="store_true", help="serve every organisation of this installation")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print one JSON object."""
        wanted = options["organisation"]
        found = [row for row in Organisation.objects.all() if wanted in {row.name, str(row.pk)}]
        if len(found) != 1:
            raise CommandError(f"There is no single organisation called {wanted!r}.")
        try:
            root = first_root_digest()
        except SigningKeysMissing as fault:
            raise CommandError(str(fault)) from None
        token = create_enrolment(found[0], options["group"], serves_all=options["serves_all"])
        self.stdout.write(json.dumps({"token": token.shown_once(), "root_sha256": root}))
