"""Which providers are there, and where does each one live?  Reads `catalog.json`, which is generated."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType

import msgspec


class ProviderEntry(msgspec.Struct, frozen=True):
    """One provider; `base_url` is None when every account has its own, `price_source` names its price list.

    Addresses may have places for settings of the account.  `hosts` are further addresses that its key is sent to, such
    as the one that changes it for a token; `address_setting` names a setting that holds the base URL.
    """

    label: str
    base_url: str | None = None
    price_source: str | None = None
    hosts: tuple[str, ...] = ()
    address_setting: str | None = None


class _Catalog(msgspec.Struct, frozen=True):
    providers: dict[str, ProviderEntry]
    operations: dict[str, str]
    usual: tuple[str, ...]


@cache
def _catalog() -> _Catalog:
    """Read the file: it is part of the release, so once for each process."""
    raw = files("shared.catalog").joinpath("catalog.json").read_bytes()
    return msgspec.json.decode(raw, type=_Catalog)


@cache
def providers() -> Mapping[str, ProviderEntry]:
    """Return every provider by id."""
    return MappingProxyType(_catalog().providers)


@cache
def operations() -> Mapping[str, str]:
    """Return the operations that a custom provider may have, each with its usual path below the base URL."""
    return MappingProxyType(_catalog().operations)


def usual_operations() -> tuple[str, ...]:
    """Return the operations that a custom provider has when nothing is said."""
    return _catalog().usual
