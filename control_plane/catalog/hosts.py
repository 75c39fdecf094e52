"""Where may a provider's key be sent?  The base URL of an account, checked, and the hosts sealed with its key."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings

from control_plane.core.errors import Invalid
from shared.addresses import AddressIncomplete, fill_address
from shared.catalog.load import providers
from shared.hosts import check_custom_host, host_of


def checked_custom_host(url: object) -> str | None:
    """Return a custom host as it is stored, None when there is none.  Raises Invalid when it may not be used."""
    if url is None or url == "":
        return None
    if not isinstance(url, str):
        raise Invalid("custom_host must be a text")
    try:
        return check_custom_host(url, settings.TRUSTED_CUSTOM_HOSTS)
    except ValueError as fault:
        raise Invalid(f"custom_host: {fault}") from None


def allowed_hosts(provider: str, configurations: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the hosts that a key of this account may be sent to: the provider's, and where it is changed for a token.

    Raises Invalid for a provider that is unknown, or that has no address of its own and was given none.
    """
    entry = providers().get(provider)
    if entry is None:
        raise Invalid(f"provider: {provider[:80]!r} is not a provider that this version knows")
    own = configurations.get(entry.address_setting) if entry.address_setting else None
    base_url = configurations.get("custom_host") or own or entry.base_url
    if not base_url:
        raise Invalid(f"{entry.address_setting or 'custom_host'} is required for the provider {provider}")
    try:
        filled = [fill_address(str(address), configurations) for address in (base_url, *entry.hosts)]
    except AddressIncomplete as fault:
        raise Invalid(f"{fault.setting}: {fault} for the provider {provider}") from None
    return tuple(dict.fromkeys(map(host_of, filled)))
