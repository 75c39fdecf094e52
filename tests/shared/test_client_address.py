from ipaddress import ip_network

import pytest

from shared.client_address import client_address, is_within

PROXIES = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize(("peer", "forwarded", "expected"), [
    ("203.0.113.5", "1.1.1.1", "203.0.113.5"),
    ("10.0.0.1", "1.1.1.1", "1.1.1.1"),
    ("10.0.0.1", "6.6.6.6, 1.1.1.1", "1.1.1.1"),
    ("10.0.0.1", "6.6.6.6, 1.1.1.1, 10.9.9.9", "1.1.1.1"),
    ("10.0.0.1", "", "10.0.0.1"),
    ("10.0.0.1", "unknown", "10.0.0.1"),
    ("10.0.0.1", "10.0.0.2, 10.0.0.3", "10.0.0.2"),
    ("fd00::1", "2001:db8::7", "2001:db8::7"),
    ("::ffff:10.0.0.1", "1.1.1.1", "1.1.1.1"),
    ("fe80::1%eth0", "", "fe80::1"),
])  # fmt: skip
def test_the_caller_is_the_nearest_address_that_is_no_proxy(peer, forwarded, expected):
    assert str(client_address(peer, forwarded, PROXIES)) == expected


@pytest.mark.parametrize("peer", ["", "/run/socket", "example.com"])
def test_a_peer_without_an_address_is_nobody(peer):
    assert client_address(peer, "1.1.1.1", PROXIES) is None


@pytest.mark.parametrize(("client", "expected"), [
    ("203.0.113.7", True), ("::ffff:203.0.113.7", True), ("203.0.114.7", False), ("2001:db8::1", True), ("2001:db9::1", False),
    ("", False), ("unix:", False),
])  # fmt: skip
def test_an_address_lies_in_a_network_or_not(client, expected):
    assert is_within(("203.0.113.0/24", "2001:db8::/32"), client) is expected
