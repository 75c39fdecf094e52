"""Who calls?  The address of a caller who may stand behind proxies."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

from shared.hosts import parse_address

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address


def _address(text: str) -> Address | None:
    """Return the address that `text` spells; the zone of a local one means nothing to others."""
    found = parse_address(text.strip().partition("%")[0])
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found


def client_address(peer: str, forwarded: str, proxies: Sequence[Network]) -> Address | None:
    """Return who calls: the peer, or, behind trusted proxies, the nearest address that is none of them.

    `forwarded` is `x-forwarded-for`.  What stands further left in it was written by the caller and proves nothing.
    An IPv4 address that is written as IPv6 is returned as IPv4.  None: the peer has no address.
    """
    address = _address(peer)
    hops = forwarded.split(",")
    while address is not None and hops and any(address in network for network in proxies):
        said = _address(hops.pop())
        if said is None:
            break
        address = said
    return address


@lru_cache(maxsize=4096)
def is_within(networks: tuple[str, ...], client: str) -> bool:
    """Return whether the address `client` lies in one of the networks; what is no address lies in none."""
    address = _address(client)
    return address is not None and any(address in ip_network(network, strict=False) for network in networks)
