import socket

import pytest

from data_plane.upstream.ssrf import AddressRefused, GuardedResolver


class Names:
    """A resolver that answers from a table."""

    def __init__(self, **table):
        self.table = table

    async def resolve(self, host, port, family):
        return [
            {"hostname": host, "host": address, "port": port, "family": family, "proto": 0, "flags": 0}
            for address in self.table[host]
        ]

    async def close(self):
        pass


def guarded(trusted=(), **table):
    made = GuardedResolver(frozenset(trusted))
    made._inner = Names(**table)
    return made


async def addresses(resolver, host):
    return [result["host"] for result in await resolver.resolve(host, 443, socket.AF_INET)]


async def test_private_addresses_are_left_out_and_public_ones_used():
    assert await addresses(guarded(mixed=["10.0.0.1", "93.184.216.34"]), "mixed") == ["93.184.216.34"]


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "fd00::1", "::ffff:10.0.0.1"])
async def test_a_name_that_leads_inside_is_refused(address):
    with pytest.raises(AddressRefused):
        await addresses(guarded(rebound=[address]), "rebound")


async def test_a_trusted_name_may_lead_inside_but_never_to_metadata():
    assert await addresses(guarded(["inside"], inside=["10.0.0.1"]), "inside") == ["10.0.0.1"]
    with pytest.raises(AddressRefused):
        await addresses(guarded(["inside"], inside=["169.254.169.254"]), "inside")


async def test_loopback_is_reached_when_it_is_trusted():
    resolver = GuardedResolver(frozenset({"localhost", "127.0.0.1"}))
    assert "127.0.0.1" in await addresses(resolver, "localhost")
    await resolver.close()
