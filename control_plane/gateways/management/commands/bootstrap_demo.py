"""`bootstrap_demo`: the organisation, keys and provider that `make up` works with from the first minute."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from control_plane.core.errors import Invalid
from control_plane.gateways.demo import bootstrap
from control_plane.gateways.signing import SigningKeysMissing


class Command(BaseCommand):
    """Make the demo organisation, or find it again."""

    help = "Make the organisation Demo with an owner, keys, a provider and an enrolment token; idempotent."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--json", action="store_true", help="print one JSON object (the only form there is)")
        parser.add_argument("--demo-provider-url", default="http://127.0.0.1:8790/v1")
        parser.add_argument("--new-keys", action="store_true", help="make new API keys although there are some")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print what was made, secrets included: they are shown this once."""
        try:
            made = bootstrap(options["demo_provider_url"], new_keys=options["new_keys"])
        except (SigningKeysMissing, Invalid) as fault:
            raise CommandError(str(fault)) from None
        self.stdout.write(json.dumps(made))
