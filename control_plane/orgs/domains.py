"""Which domains of e-mail addresses are an organisation's own?  Those in whose DNS it can write.

An owner publishes a TXT record with a token; an installation without DNS is verified by its operator, with
`manage.py verify_domain`.
"""

import re
import secrets
from typing import Any, Final

import dns.exception
import dns.nameserver
import dns.resolver
from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from control_plane.core import audit
from control_plane.core.errors import Conflict, Invalid
from control_plane.core.principal import Principal
from control_plane.orgs.models import Domain
from control_plane.orgs.sign_in_rules import refuse_unless_owner, rules_of

DNS_DEADLINE_S: Final = 5.0
MOST_DOMAINS: Final = 100
_NAME: Final = re.compile(r"(?=.{4,253}\Z)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]")
_TAKEN: Final = "Another organisation has verified this domain."


def record_of(domain: Domain) -> tuple[str, str]:
    """Return name and text of the TXT record that proves a claim."""
    return f"_gatehouse.{domain.name}", f"gatehouse-verification={domain.token}"


def domain_json(domain: Domain) -> dict[str, Any]:
    """Return a domain as the audit trail shows it."""
    return {"name": domain.name, "verified": domain.verified_at is not None}


@transaction.atomic
def claim_domain(actor: Principal, name: str) -> Domain:
    """Note that the organisation claims a domain; the same row when it does already.

    Raises Denied unless an owner asks, Invalid for what is no domain of e-mail addresses.
    """
    refuse_unless_owner(actor)
    name = name.strip().lower().rstrip(".")
    if not _NAME.fullmatch(name):
        raise Invalid("That is not a domain, such as example.com.")
    mine = Domain.objects.filter(organisation_id=actor.organisation_id)
    known = mine.filter(name=name).first()
    if known is not None:
        return known
    if mine.count() >= MOST_DOMAINS:
        raise Invalid(f"An organisation has at most {MOST_DOMAINS} domains.")
    domain = Domain.objects.create(organisation_id=actor.organisation_id, name=name, token=secrets.token_hex(16))
    audit.record(actor, "create", domain, after=domain_json(domain))
    return domain


def _resolver() -> dns.resolver.Resolver:
    if not settings.DNS_SERVERS:
        return dns.resolver.Resolver()
    resolver = dns.resolver.Resolver(configure=False)
    servers = [word.rpartition(":") if word.count(":") == 1 else (word, "", "53") for word in settings.DNS_SERVERS]
    resolver.nameservers = [dns.nameserver.Do53Nameserver(address, int(port)) for address, _, port in servers]
    return resolver


def texts_at(name: str) -> list[str]:
    """Return the TXT records of a name.  Raises Invalid when name servers give no answer."""
    try:
        answer = _resolver().resolve(name, "TXT", lifetime=DNS_DEADLINE_S)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return []
    except (dns.exception.DNSException, OSError):
        raise Invalid("The name servers gave no answer. Try again later.") from None
    return [b"".join(record.strings).decode(errors="replace") for record in answer]


def verify_domain(actor: Principal, domain: Domain) -> Domain:
    """Look for the TXT record of a claim, and make the domain the organisation's own.

    Raises Denied unless an owner asks, Invalid when the record is not there, Conflict when another organisation owns
    the domain.
    """
    refuse_unless_owner(actor)
    name, text = record_of(domain)
    if text not in texts_at(name):
        raise Invalid(f"There is no TXT record {name} with that text yet. New records take a while to be seen.")
    return confirm_domain(actor, domain)


def confirm_domain(actor: Principal, domain: Domain) -> Domain:
    """Make a domain the organisation's own, whose proof the caller has seen; raises Conflict when it is another's."""
    try:
        with transaction.atomic():
            locked = Domain.objects.select_for_update().get(pk=domain.pk)
            before = domain_json(locked)
            locked.verified_at = locked.verified_at or timezone.now()
            locked.save()
            audit.record(actor, "verify", locked, before=before, after=domain_json(locked))
    except IntegrityError:
        raise Conflict(_TAKEN) from None
    return locked


@transaction.atomic
def remove_domain(actor: Principal, domain: Domain) -> None:
    """Give a domain up.  Raises Denied unless an owner asks, Conflict for the last one that single sign-on rests on."""
    refuse_unless_owner(actor)
    others = Domain.objects.filter(organisation_id=actor.organisation_id, verified_at__isnull=False).exclude(
        pk=domain.pk
    )
    if domain.verified_at and rules_of(actor.organisation_id).sso_only and not others.exists():
        raise Conflict("People may sign in by single sign-on only: allow passwords first.")
    audit.record(actor, "delete", domain, before=domain_json(domain))
    domain.delete()
