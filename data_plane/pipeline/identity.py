"""May this account call by the gateway's own identity, and where to?

That identity is the operator's, who says who may use it: nobody, saved accounts, or whoever calls.  A saved account
says itself by what identity it calls and where: a request that names it may not say it otherwise.  And the identity is
only ever shown to the cloud that it is of, or to hosts that the operator trusts.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from data_plane.core.identity import IdentityAsk, OwnIdentity
from data_plane.pipeline.deps import Deps
from data_plane.pipeline.target import Destination, saved_host, saved_settings
from data_plane.providers.base import Provider
from shared.addresses import AddressIncomplete, fill_address
from shared.errors import Forbidden
from shared.hosts import host_of
from shared.schema.rows import VirtualKeyRow


class IdentityForbidden(Forbidden):
    """The account may not call by this identity, or not here."""

    code = "identity_forbidden"


def _saved_address(host: str | None, provider: Provider, saved: Mapping[str, Any]) -> str:
    """Return the base URL that a saved account is for; "" when it does not say."""
    own = saved.get(provider.address_setting) if provider.address_setting else None
    try:
        return str(host or own or fill_address(provider.base_url, saved)).rstrip("/")
    except AddressIncomplete:
        return ""


def _check_saved(ask: IdentityAsk, destination: Destination, row: VirtualKeyRow) -> None:
    model = destination.facts.model
    saved = {**saved_settings(row, model), **destination.credential.settings}
    for name in ask.bound:
        if destination.facts.settings.get(name) != saved.get(name):
            raise IdentityForbidden(f"The provider @{row.slug} does not let a request choose {name}.", path=name)
    # The path too: it may name a project, and the gateway's own identity may have several.
    if ask.is_own and destination.base_url.rstrip("/") != _saved_address(
        saved_host(row, model), destination.provider, saved
    ):
        raise IdentityForbidden(f"The identity of the provider @{row.slug} is for its own address.", path="custom_host")


def check_identity(
    ask: IdentityAsk, destination: Destination, allowed: OwnIdentity, trusted_hosts: Collection[str]
) -> None:
    """Raise IdentityForbidden, with the setting at fault as its path, unless the account may have what it asks for."""
    row = destination.virtual_key
    if ask.is_own and allowed is OwnIdentity.OFF:
        raise IdentityForbidden("This gateway's own identity is not for accounts.", path=ask.path)
    if ask.is_own and allowed is OwnIdentity.SAVED and row is None:
        raise IdentityForbidden("This gateway's own identity is for saved providers only.", path=ask.path)
    if row is not None:
        _check_saved(ask, destination, row)
    host, is_safe = host_of(destination.base_url), destination.base_url[:6].lower() == "https:"
    if ask.is_own and host not in trusted_hosts and not (is_safe and ask.hosts.fullmatch(host)):
        raise IdentityForbidden("This gateway's own identity may not be sent to this host.", path="custom_host")


async def with_identity(ask: IdentityAsk, destination: Destination, deps: Deps) -> Destination:
    """Return the destination with what its account asks for in the place of its credential.

    Raises IdentityForbidden, IdentityRefused, and SourceRefused.
    """
    check_identity(ask, destination, deps.identities.allowed, deps.trusted_hosts)
    granted = await deps.identities.get(ask)
    facts, credential = destination.facts, destination.credential
    if granted.settings:
        facts = replace(facts, settings={**facts.settings, **granted.settings})
    if granted.key is not None:
        credential = replace(credential, key=granted.key)
    return replace(destination, facts=facts, credential=credential)
