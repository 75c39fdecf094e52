"""Where may a provider's key be sent?  The base URL of an account, checked, and the hosts sealed with its key."""

import contextlib
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from django.conf import settings

from control_plane.catalog.models import CustomProvider
from control_plane.core.errors import Invalid
from shared.addresses import AddressIncomplete, fill_address
from shared.catalog.load import ProviderEntry, providers
from shared.hosts import check_custom_host, host_of


def checked_custom_host(url: object) -> str | None:
    """Return a custom host as it is stored, None when there is none.  Raises Invalid when it may not be used."""
    if url is None or url == "":
        return None
    if not isinstance(url, str):
        raise Invalid("custom_host must be a text")
    return checked_address(url, "custom_host")


def checked_address(url: str, field: str) -> str:
    """Return a base URL as it is stored.  Raises Invalid, naming the field, when it may not be used."""
    try:
        return check_custom_host(url, settings.TRUSTED_CUSTOM_HOSTS)
    except ValueError as fault:
        raise Invalid(f"{field}: {fault}") from None


def _entry(provider: str, organisation_id: UUID | None) -> ProviderEntry | None:
    """Return a provider of this version, else one that the organisation added, which then stays as it is for now."""
    entry = providers().get(provider)
    if entry is not None or organisation_id is None:
        return entry
    # Locked: it must not move to another host while a key is being bound to this one.
    rows = CustomProvider.objects.select_for_update()
    row = rows.filter(organisation_id=organisation_id, slug=provider).first()
    return ProviderEntry(row.name, row.base_url) if row is not None else None


def allowed_hosts(
    provider: str,
    configurations: Mapping[str, Any],
    organisation_id: UUID | None = None,
    *,
    of_models: Iterable[str] = (),
) -> tuple[str, ...]:
    """Return the hosts that a key of this account may be sent to: the provider's, and those of its other services.

    `of_models` are base URLs that single models of the account have.  A service whose address needs a setting that the
    account does not have is not among them.  Providers that the organisation added count with `organisation_id`,
    inside a transaction.  Raises Invalid for a provider that is unknown, or that has no address of its own and was
    given none.
    """
    entry = _entry(provider, organisation_id)
    if entry is None:
        raise Invalid(f"provider: {provider[:80]!r} is neither a provider that this version knows nor a custom one")
    own = configurations.get(entry.address_setting) if entry.address_setting else None
    base_url = configurations.get("custom_host") or own or entry.base_url
    if not base_url:
        raise Invalid(f"{entry.address_setting or 'custom_host'} is required for the provider {provider}")
    try:
        filled = [fill_address(str(base_url), configurations)]
    except AddressIncomplete as fault:
        raise Invalid(f"{fault.setting}: {fault} for the provider {provider}") from None
    for address in entry.hosts:
        with contextlib.suppress(AddressIncomplete):
            filled.append(fill_address(address, configurations))
    filled.extend(sorted(of_models))
    return tuple(dict.fromkeys(map(host_of, filled)))
