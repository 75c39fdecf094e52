"""Finds the provider modules and refuses a malformed one when the process starts."""

import importlib
import pkgutil
from collections.abc import Mapping
from types import MappingProxyType

from data_plane import providers
from data_plane.providers.base import Provider

_NOT_PROVIDERS = {"base", "registry", "sse"}


class ProviderMalformed(RuntimeError):
    """A module in `providers/` does not bind a usable PROVIDER."""


def load_providers() -> Mapping[str, Provider]:
    """Return every provider by id."""
    found: dict[str, Provider] = {}
    for module_info in pkgutil.iter_modules(providers.__path__):
        name = module_info.name
        if name.startswith("_") or name in _NOT_PROVIDERS:
            continue
        provider = getattr(importlib.import_module(f"{providers.__name__}.{name}"), "PROVIDER", None)
        if not isinstance(provider, Provider):
            raise ProviderMalformed(f"{name}.py binds no PROVIDER")
        if provider.id.replace("-", "_") != name:
            raise ProviderMalformed(f"{name}.py binds a provider with id {provider.id!r}")
        for address in (*((provider.base_url,) if provider.base_url else ()), *provider.hosts):
            if not address.startswith("https://") or address.endswith("/"):
                raise ProviderMalformed(f"{name}.py: an address must be https and have no trailing slash")
        found[provider.id] = provider
    return MappingProxyType(found)
