"""Refuses private addresses at the moment of connecting, whatever a name resolved to when it was checked."""

import socket
from collections.abc import Callable, Collection

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from shared.hosts import Address, may_connect, parse_address

#: Whether a connection to an address, found for a name, is allowed; the last are the trusted hosts.
MayReach = Callable[[str, Address, Collection[str]], bool]


class AddressRefused(OSError):
    """Every address of a host lies where callers may not send us."""


class GuardedResolver(AbstractResolver):
    """Resolves names and leaves out the addresses that must not be reached.

    The client connects to exactly the addresses returned here, so a name cannot change between check and use.
    """

    def __init__(self, trusted: Collection[str], may_reach: MayReach = may_connect) -> None:
        self._inner = ThreadedResolver()
        self._trusted = trusted
        self._may_reach = may_reach

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the permitted addresses of `host`; raises AddressRefused when there is none."""
        found = await self._inner.resolve(host, port, family)
        allowed = [result for result in found if self._allowed(host, result["host"])]
        if not allowed:
            raise AddressRefused(f"the address of {host} is not allowed")
        return allowed

    def _allowed(self, host: str, address: str) -> bool:
        parsed = parse_address(address)
        return parsed is not None and self._may_reach(host, parsed, self._trusted)

    async def close(self) -> None:
        """Close the resolver."""
        await self._inner.close()
