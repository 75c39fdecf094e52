"""Who is the person that an identity provider vouches for, and may they come in?

A provider speaks for addresses of domains that its organisation owns, and for nobody else; its word opens that one
organisation only (`SignIn.organisation_id`).  Once linked, a person is known by the provider's subject, not by address.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.utils import timezone

from control_plane.accounts.models import User
from control_plane.accounts.second_factor import remove_factor
from control_plane.accounts.services import find_or_create_user, forget_password
from control_plane.core import audit
from control_plane.core.errors import Conflict, Denied, Invalid
from control_plane.core.outgoing import checked_url
from control_plane.core.principal import Principal
from control_plane.orgs.invites import accept_invite, pending_invite
from control_plane.orgs.models import DepartedMember, Domain, ExternalIdentity, IdentityProvider, Invite, Membership
from control_plane.orgs.oidc import Claims, NotVouched, discover
from control_plane.orgs.services import add_member
from control_plane.orgs.sign_in_rules import domain_of, refuse_unless_owner, rules_of
from control_plane.orgs.trail import person
from shared.redact import Secret


@dataclass(frozen=True, slots=True)
class Arrival:
    """Somebody who comes in by single sign-on, and what their invite made for them (API keys, shown once)."""

    user: User
    invite: Invite | None
    made: list[Any]


def provider_json(provider: IdentityProvider) -> dict[str, Any]:
    """Return a provider as the audit trail shows it: without its secret."""
    return {
        "issuer": provider.issuer,
        "client_id": provider.client_id,
        "token_endpoint_auth_method": provider.token_endpoint_auth_method,
        "is_enabled": provider.is_enabled,
    }


def provider_of(organisation_id: Any) -> IdentityProvider | None:
    """Return the identity provider of an organisation."""
    return IdentityProvider.objects.filter(organisation_id=organisation_id).first()


@transaction.atomic
def set_provider(actor: Principal, given: Mapping[str, Any], secret: Secret | None) -> IdentityProvider:
    """Set the organisation's identity provider; `given` has the keys of `provider_json`.

    `secret` None keeps the one that is there.  Raises Denied unless an owner asks, Invalid for an issuer that may not
    be called or has no discovery document, or when a new issuer would be sent the old one's secret.
    """
    refuse_unless_owner(actor)
    provider = provider_of(actor.organisation_id) or IdentityProvider(organisation_id=actor.organisation_id)
    before = None if provider._state.adding else provider_json(provider)  # noqa: SLF001 -- Django's documented API
    if not secret and (before is None or before["issuer"] != given["issuer"]):
        raise Invalid("The client secret is needed for a new issuer.")
    try:
        checked_url(given["issuer"])
        discover(given["issuer"])
    except (ValueError, NotVouched) as fault:
        raise Invalid(f"The issuer cannot be used: {fault}.") from None
    for name, value in given.items():
        setattr(provider, name, value)
    if secret:
        provider.seal(secret)
    provider.save()
    audit.record(actor, "update" if before else "create", provider, before=before, after=provider_json(provider))
    return provider


@transaction.atomic
def remove_provider(actor: Principal) -> None:
    """Take the identity provider away.  Raises Denied unless an owner asks, Conflict while passwords are forbidden."""
    refuse_unless_owner(actor)
    provider = provider_of(actor.organisation_id)
    if provider is None:
        return
    if rules_of(actor.organisation_id).sso_only:
        raise Conflict("People may sign in by this provider only: allow passwords first.")
    audit.record(actor, "delete", provider, before=provider_json(provider))
    provider.delete()


@transaction.atomic
def arrive(provider: IdentityProvider, claims: Claims) -> Arrival:
    """Return the person whom `claims` name, a member of the provider's organisation from now on.

    Their pending invite is accepted; else they become a member, if the rules let newcomers in.  Raises Denied, with a
    sentence for that person.
    """
    # Two first sign-ins of one person would make two accounts.
    provider = IdentityProvider.objects.select_for_update().get(pk=provider.pk)
    known = ExternalIdentity.objects.filter(provider=provider, issuer=claims.issuer, subject=claims.subject).first()
    user = known.user if known else _linkable(provider, claims)
    organisation_id = provider.organisation_id
    if user is not None and not user.is_active:
        raise Denied("Your account is not active.")
    is_member = user is not None and Membership.objects.filter(organisation_id=organisation_id, user=user).exists()
    invite = None if is_member else pending_invite(organisation_id, user.email if user else claims.email)
    if not is_member and invite is None:
        _refuse_newcomer(provider, user)
    if user is None:
        user = find_or_create_user(claims.email, first_name=claims.first_name, last_name=claims.last_name)
    elif known is None and not is_member:
        # Somebody may have made this account with an address that was not theirs, and wait for it to be let in.
        remove_factor(user, by_system=True)
        forget_password(user)
    if known is None:
        ExternalIdentity.objects.create(provider=provider, user=user, issuer=claims.issuer, subject=claims.subject)
    else:
        ExternalIdentity.objects.filter(pk=known.pk).update(last_used_at=timezone.now())
    made = accept_invite(invite, user) if invite else None
    if invite is None and not is_member:
        add_member(person(user, organisation_id), user, "member")
    return Arrival(user, invite, made or [])


def _linkable(provider: IdentityProvider, claims: Claims) -> User | None:
    """Return whose address the provider names, None when nobody has it yet; raise Denied when it is not its to name."""
    try:
        validate_email(claims.email)
    except ValidationError:
        raise Denied("Your provider did not say which e-mail address is yours.") from None
    if claims.email_verified is False:
        raise Denied("Your provider has not verified your e-mail address.")
    owned = Domain.objects.filter(
        organisation_id=provider.organisation_id, name=domain_of(claims.email), verified_at__isnull=False
    )
    if not owned.exists():
        raise Denied("Your e-mail address is not of a domain that your organisation has verified.")
    user = User.objects.filter(email=claims.email).first()
    if (
        user is not None
        and ExternalIdentity.objects.filter(provider=provider, issuer=claims.issuer, user=user).exists()
    ):
        raise Denied("Another person of your provider has this e-mail address already.")
    return user


def _refuse_newcomer(provider: IdentityProvider, user: User | None) -> None:
    if rules_of(provider.organisation_id).disable_auto_provision_user:
        raise Denied("You are not a member yet. Ask an owner or admin to invite you.")
    if user is not None and DepartedMember.objects.filter(organisation_id=provider.organisation_id, user=user).exists():
        raise Denied("You were removed from the organisation. Ask an owner or admin to invite you.")
