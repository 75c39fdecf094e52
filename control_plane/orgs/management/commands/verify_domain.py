"""`verify_domain`: the operator's word that a domain is an organisation's, where there is no DNS to ask."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rest_framework.exceptions import APIException

from control_plane.core.principal import system_actor
from control_plane.core.tenancy import by_id_or_slug
from control_plane.orgs.domains import claim_domain, confirm_domain
from control_plane.orgs.models import Organisation


class Command(BaseCommand):
    """Verify a domain without asking DNS."""

    help = "Make a domain of e-mail addresses an organisation's own, without looking for its TXT record."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("organisation", help="its slug or id")
        parser.add_argument("domain", help="such as example.com")

    def handle(self, *args: Any, **options: Any) -> None:
        """Claim and confirm the domain."""
        organisation = Organisation.objects.filter(by_id_or_slug(options["organisation"])).first()
        if organisation is None:
            raise CommandError("there is no such organisation")
        actor = system_actor(organisation)
        try:
            domain = confirm_domain(actor, claim_domain(actor, options["domain"]))
        except APIException as fault:
            raise CommandError(str(fault.detail)) from None
        self.stdout.write(f"{domain.name} belongs to {organisation.name}")
