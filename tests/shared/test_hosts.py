import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.hosts import check_custom_host, host_of, is_metadata, is_public, may_connect

TRUSTED = frozenset({"localhost", "127.0.0.1"})


@pytest.mark.parametrize("url", [
    "https://api.example.com/v1", "http://api.example.com:8080/v1/", "https://8.8.8.8/v1", "https://a.b.c.d.example.com",
])  # fmt: skip
def test_public_hosts_are_accepted_without_a_trailing_slash(url):
    assert check_custom_host(url, ()) == url.rstrip("/")


@pytest.mark.parametrize("url", [
    "ftp://example.com", "example.com", "https://", "https://user:pw@example.com", "https://example.com@evil.com",
    "https://exa mple.com", "https://example.com/%2e", "https://example.com./v1", "https://xn--e1afmkfd.com", "https://bücher.de",
    "https://example.com/v1?x=1", "https://example.com/v1#x", "https://example.com:99999", "https://example.com:0",
    "http://localhost/v1", "http://127.0.0.1/v1", "http://127.1/v1", "http://0x7f000001", "http://2130706433", "http://0177.0.0.1",
    "http://10.0.0.1", "http://172.16.9.9", "http://192.168.1.1", "http://100.64.0.1", "http://[::1]/v1", "http://[2606:4700::1111]",
    "http://printer.local", "http://db.internal", "http://x.lan", "http://a.localhost", "http://127.0.0.1.nip.io", "http://lvh.me",
    "http://example.com:5432", "http://example.com:6379/v1", "http://a.b.c.d.e.f.g.h.i.j.k", "https://" + "a" * 2050 + ".com",
    "https://exam\nple.com", "https:\\\\example.com",
])  # fmt: skip
def test_private_odd_and_misleading_hosts_are_refused(url):
    with pytest.raises(ValueError):
        check_custom_host(url, ())


@pytest.mark.parametrize("url", ["http://localhost:1234/v1", "http://127.0.0.1:8790/v1"])
def test_trusted_hosts_are_exempt_from_the_private_ranges(url):
    assert check_custom_host(url, TRUSTED) == url


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "metadata", "x.cluster.local", "metadata.google.internal", "100.100.100.200"]
)
def test_metadata_services_are_refused_even_when_trusted(host):
    with pytest.raises(ValueError):
        check_custom_host(f"http://{host}/v1", frozenset({host}))


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_judged_alike_in_its_ipv6_form(address):
    mapped = ipaddress.ip_address(f"::ffff:{address}")
    assert is_public(mapped) is False
    assert is_metadata(mapped) == is_metadata(address)


@pytest.mark.parametrize(("host", "address", "allowed"), [
    ("api.example.com", "93.184.216.34", True), ("api.example.com", "10.0.0.5", False), ("localhost", "127.0.0.1", True),
    ("rebound.example.com", "127.0.0.1", True), ("rebound.example.com", "127.0.0.2", False),
    ("localhost", "169.254.169.254", False),
])  # fmt: skip
def test_a_connection_is_judged_by_the_address_it_really_goes_to(host, address, allowed):
    assert may_connect(host, ipaddress.ip_address(address), TRUSTED) is allowed


def test_the_host_of_a_url_is_lower_case_and_without_port():
    assert host_of("https://API.Example.com:8443/v1") == "api.example.com"
