"""What does an organisation demand of its people's sign-ins?  Only an owner says so."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import transaction

from control_plane.accounts.models import SignIn, User
from control_plane.accounts.sign_ins import SSO
from control_plane.core import audit
from control_plane.core.errors import Denied, Invalid
from control_plane.core.principal import Principal
from control_plane.orgs.models import Domain, IdentityProvider, Membership, SignInRules
from control_plane.orgs.people import is_owner

FIELDS = ("require_second_factor", "sso_only", "disable_auto_provision_user")


def refuse_unless_owner(actor: Principal) -> None:
    """Raise Denied for anyone else: whoever chooses the identity provider can sign in as any owner."""
    if not is_owner(actor):
        raise Denied("Only an owner can change how people sign in.")


def rules_of(organisation_id: UUID) -> SignInRules:
    """Return the rules of an organisation; a new row, not saved, when nothing was ever demanded."""
    found = SignInRules.objects.filter(organisation_id=organisation_id).first()
    return found or SignInRules(organisation_id=organisation_id)


def rules_json(rules: SignInRules) -> dict[str, bool]:
    """Return rules as the audit trail shows them."""
    return {name: bool(getattr(rules, name)) for name in FIELDS}


def domain_of(email: str) -> str:
    """Return the domain of an e-mail address, in lower case."""
    return email.rpartition("@")[2].lower()


def provider_for(email: str) -> IdentityProvider | None:
    """Return the identity provider that vouches for an address: that of the organisation that owns its domain."""
    domain = Domain.objects.filter(
        name=domain_of(email), verified_at__isnull=False, organisation__status="active"
    ).first()
    if domain is None:
        return None
    return IdentityProvider.objects.filter(organisation_id=domain.organisation_id, is_enabled=True).first()


def password_is_forbidden(user: User) -> bool:
    """Return whether a person must come through their organisation's provider; its owners never must."""
    provider = provider_for(user.email)
    if provider is None or not rules_of(provider.organisation_id).sso_only:
        return False
    return not Membership.objects.filter(organisation_id=provider.organisation_id, user=user, role="owner").exists()


@transaction.atomic
def set_rules(actor: Principal, given: Mapping[str, Any]) -> SignInRules:
    """Change what `given` names of FIELDS.

    With `sso_only`, sign-ins by password of those who may no longer use one end.  Raises Denied unless an owner asks,
    Invalid for `sso_only` without a provider and a verified domain: it would lock people out.
    """
    refuse_unless_owner(actor)
    SignInRules.objects.get_or_create(organisation_id=actor.organisation_id)
    rules = SignInRules.objects.select_for_update().get(organisation_id=actor.organisation_id)
    before = rules_json(rules)
    for name in FIELDS:
        setattr(rules, name, given.get(name, getattr(rules, name)))
    if rules.sso_only and not before["sso_only"]:
        _refuse_lock_out(actor.organisation_id)
    rules.save()
    if rules.sso_only and not before["sso_only"]:
        _end_password_sign_ins(actor.organisation_id)
    audit.record(actor, "update", rules, before=before, after=rules_json(rules))
    return rules


def _refuse_lock_out(organisation_id: UUID) -> None:
    has_provider = IdentityProvider.objects.filter(organisation_id=organisation_id, is_enabled=True).exists()
    has_domain = Domain.objects.filter(organisation_id=organisation_id, verified_at__isnull=False).exists()
    if not has_provider or not has_domain:
        raise Invalid("Single sign-on only: set an identity provider and verify a domain first.")


def _end_password_sign_ins(organisation_id: UUID) -> None:
    domains = set(
        Domain.objects.filter(organisation_id=organisation_id, verified_at__isnull=False).values_list("name", flat=True)
    )
    members = Membership.objects.filter(organisation_id=organisation_id).exclude(role="owner").select_related("user")
    affected = [member.user_id for member in members if domain_of(member.user.email) in domains]
    SignIn.objects.filter(user_id__in=affected).exclude(method=SSO).delete()
