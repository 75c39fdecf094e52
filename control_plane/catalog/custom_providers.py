"""Changes of custom providers: hosts that speak OpenAI's API, added by an organisation without a new release.

Keys of its accounts are sealed for the host that it has now.  They are never sealed anew for another one, so an address
with keys bound to it stays where it is.
"""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from django.db import transaction
from django.dispatch import Signal

from control_plane.catalog.export import row_of
from control_plane.catalog.hosts import checked_address
from control_plane.catalog.models import CustomProvider, Integration
from control_plane.catalog.serializers import custom_provider_json
from control_plane.core import audit
from control_plane.core.errors import Conflict, Invalid, Missing
from control_plane.core.fields import slug_of
from control_plane.core.outbox import touch
from control_plane.core.principal import Principal
from shared.catalog.load import providers, usual_operations
from shared.hosts import host_of
from shared.ids import make_slug
from shared.schema.custom_provider import MAX_SLUG_CHARS, check_slug, faults_of

Json = Mapping[str, Any]
SECTIONS: Final = ("custom_providers",)
#: Asked before a custom provider (`provider`) is deleted; receivers return the names of what uses it.
asked_for_users: Final = Signal()
_FIELDS: Final = ("name", "base_url", "auth", "headers", "endpoints", "parameters", "streams_usage", "price_source")
_SHOWN: Final = 10
_RANDOM_CHARS: Final = 6
_PORTS: Final = {"http": 80, "https": 443}


def _check_new_slug(slug: str) -> None:
    try:
        check_slug(slug)
    except ValueError as fault:
        raise Invalid(f"slug: {fault}") from None
    if slug in providers():
        raise Invalid(f"slug: {slug!r} is a provider that this version knows by itself")


def _new_slug(actor: Principal, wanted: str | None, name: str) -> str:
    """Return the wanted slug, or one made of the name.  Raises Invalid for one that cannot be, Conflict when taken."""
    rows = CustomProvider.objects.filter(organisation_id=actor.organisation_id)
    if wanted:
        _check_new_slug(wanted)
        if rows.filter(slug=wanted).exists():
            raise Conflict(f"The slug {wanted!r} is taken.")
        return wanted
    slug = slug_of(name, "provider").replace("_", "-").strip("-")[:MAX_SLUG_CHARS] or "provider"
    try:
        _check_new_slug(slug)
    except Invalid:
        is_free = False
    else:
        is_free = not rows.filter(slug=slug).exists()
    return slug if is_free else make_slug(slug[: MAX_SLUG_CHARS - _RANDOM_CHARS - 1], _RANDOM_CHARS)


def _take(provider: CustomProvider, given: Json) -> None:
    """Write what `given` names; raises Invalid with every fault."""
    for field in _FIELDS:
        if field in given:
            setattr(provider, field, given[field])
    provider.price_source = provider.price_source or ""
    provider.base_url = checked_address(provider.base_url, "base_url")
    faults = faults_of(row_of(provider))
    if faults:
        raise Invalid(" ".join(faults), errors=faults if len(faults) > 1 else None)


@transaction.atomic
def create_custom_provider(actor: Principal, given: Json) -> CustomProvider:
    """Add a provider of `name`, `base_url`, and of what else `_FIELDS` and `slug` name, which may be left out.

    `auth` None: it takes no credential.  Raises Invalid with what is wrong, Conflict for a slug that is taken.
    """
    provider = CustomProvider(
        organisation_id=actor.organisation_id,
        slug=_new_slug(actor, given.get("slug"), given["name"]),
        auth={"header": "authorization", "prefix": "Bearer "},
        endpoints={name: {} for name in usual_operations()},
    )
    _take(provider, given)
    provider.save()
    audit.record(actor, "create", provider, after=custom_provider_json(provider))
    touch(actor.organisation_id, SECTIONS)
    return provider


def _locked(provider: CustomProvider) -> CustomProvider:
    """Return the row as it is now; no account of it is made or changed until the transaction ends."""
    found = CustomProvider.objects.select_for_update().filter(pk=provider.pk).first()
    if found is None:
        raise Missing
    return found


@transaction.atomic
def update_custom_provider(actor: Principal, provider: CustomProvider, given: Json) -> CustomProvider:
    """Change what `given` names; an object among it replaces the old one as a whole.

    Raises Invalid with what is wrong, Conflict for an address elsewhere while keys are bound to the one that it has.
    """
    provider = _locked(provider)
    before = custom_provider_json(provider)
    if given.get("slug") not in {None, provider.slug}:
        raise Invalid("slug: requests name the provider by it, so it cannot be changed")
    _take(provider, given)
    if _is_elsewhere(before["base_url"], provider.base_url):
        _refuse_bound_keys(provider, host_of(before["base_url"]))
    provider.save()
    audit.record(actor, "update", provider, before=before, after=custom_provider_json(provider))
    touch(actor.organisation_id, SECTIONS)
    return provider


def _is_elsewhere(old: str, new: str) -> bool:
    """Return whether `new` is another server than `old`, or the same one without encryption."""
    was, will_be = urlsplit(old.lower()), urlsplit(new.lower())
    if was.scheme != will_be.scheme:
        return host_of(old) != host_of(new) or will_be.scheme == "http"
    ports = [parts.port or _PORTS[parts.scheme] for parts in (was, will_be)]
    return host_of(old) != host_of(new) or ports[0] != ports[1]


def _accounts(provider: CustomProvider) -> list[Integration]:
    rows = Integration.objects.filter(organisation_id=provider.organisation_id, ai_provider_id=provider.slug)
    return list(rows.prefetch_related("virtual_keys"))


def _names(account: Integration) -> list[str]:
    """Return what people know an account by: itself, or the virtual key that it was made with."""
    keys = [f"virtual key {key.slug}" for key in account.virtual_keys.all()]
    return keys if keys and account.is_own else [f"integration {account.slug}", *keys]


def _listed(names: list[str]) -> str:
    more = [f"and {len(names) - _SHOWN} more"] if len(names) > _SHOWN else []
    return ", ".join([*names[:_SHOWN], *more])


def _refuse_bound_keys(provider: CustomProvider, host: str) -> None:
    """Raise Conflict when there are keys that may be sent to the host which the provider has until now, and no other.

    Accounts with a custom host of their own do not follow the provider's address.
    """
    bound = [account for account in _accounts(provider) if account.secret_id and not account.custom_host]
    if bound:
        listed = _listed([name for account in bound for name in _names(account)])
        raise Conflict(
            f"base_url: keys are bound to {host} and may not be sent elsewhere: {listed}. Add another custom provider "
            "for the new address and give the keys there, or delete these first."
        )


@transaction.atomic
def delete_custom_provider(actor: Principal, provider: CustomProvider) -> None:
    """Delete a provider.  Raises Conflict, naming what uses it, while accounts or configs do."""
    provider = _locked(provider)
    users = [name for account in _accounts(provider) for name in _names(account)]
    for _, names in asked_for_users.send(sender=CustomProvider, provider=provider):
        users += names or ()
    if users:
        raise Conflict(f"The custom provider is in use: {_listed(users)}. Delete these or change them first.")
    audit.record(actor, "delete", provider, before=custom_provider_json(provider))
    provider.delete()
    touch(actor.organisation_id, SECTIONS)
