import ipaddress
import random
import socket
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.hosts import (
    check_custom_host,
    check_outgoing_url,
    default_trusted_hosts,
    host_of,
    is_metadata,
    is_public,
    may_connect,
    parse_address,
    trusted_hosts,
)

TRUSTED = frozenset({"localhost", "127.0.0.1"})
LOCAL = default_trusted_hosts(production=False)
METADATA_NETWORKS = (
    "169.254.169.0/24", "169.254.170.2/32", "169.254.170.23/32", "100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32",
)  # fmt: skip
PRIVATE_NETWORKS = (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
    "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
)  # fmt: skip
METADATA = st.sampled_from(METADATA_NETWORKS).flatmap(lambda net: st.ip_addresses(network=net))
PRIVATE = st.sampled_from(PRIVATE_NETWORKS).flatmap(lambda net: st.ip_addresses(network=net))
INSIDE = PRIVATE | METADATA


def refused(url, trusted=()):
    try:
        check_custom_host(url, trusted)
    except ValueError:
        return True
    return False


# custom hosts as they are written


@pytest.mark.parametrize("url", [
    "https://api.example.com/v1", "http://api.example.com:8080/v1/", "https://8.8.8.8/v1", "https://a.b.c.d.example.com",
    "HTTPS://API.Example.COM/V1", "https://my_host.example.com/a;b=1/v1.5~x", "https://example.com:65535", "https://example.com/v1//",
    "https://0x.example.com", "https://1.example.com", "https://" + "a" * 63 + ".example.com", "https://example.com/..v1/...",
])  # fmt: skip
def test_public_hosts_are_accepted_without_a_trailing_slash(url):
    assert check_custom_host(url, ()) == url.rstrip("/")


@pytest.mark.parametrize("url", [
    # no URL, or none that may be called
    "", "/", "example.com", "//example.com", "ftp://example.com", "file:///etc/passwd", "https://", "https:///x", "http:example.com",
    "https:/example.com", "https:\\\\example.com", "javascript://example.com", "https://" + "a" * 2050 + ".com", " https://example.com",
    # credentials, real and apparent
    "https://user:pw@example.com", "https://example.com@evil.com", "https://example.com/@evil.com", "https://@example.com",
    "http://a:80@127.0.0.1", "https://example.com:80@evil.com",
    # characters that somebody drops, decodes or reads as others
    "https://exam ple.com", "https://exam\nple.com", "https://exam\tple.com", "https://example.com\r\n", "https://example.com/v1\n",
    "\thttps://example.com", "ht\ntps://example.com", "https://example.com/\x00", "https://example.com/\x7f", "https://ex%61mple.com",
    "https://example.com/%2e", "https://example.com\\@evil.com", "https://example.com/<x>", 'https://example.com/"x"', "https://example.com/é",
    # names in other scripts
    "https://bücher.de", "https://xn--e1afmkfd.com", "https://a.XN--e1afmkfd.com", "http://１２７.0.0.1", "http://127。0。0。1",
    "http://ⓛocalhost", "http://ｌocalhost", "http://localhoſt", "http://example\u3002com", "http://example\uff0ecom", "http://①②⑦.0.0.1",
    "http://example.com\u200b", "http://\u2488\u2488\u2488\u2488",
    # what is no base URL
    "https://example.com/v1?x=1", "https://example.com/v1?", "https://example.com/v1#x", "https://example.com/v1#", "https://example.com?x",
    "https://example.com#x",
    # paths that leave their folder
    "https://example.com/..", "https://example.com/v1/../admin", "https://example.com/./v1", "https://example.com/..;/admin", "https://example.com/.;x/",
    # ports
    "https://example.com:99999", "https://example.com:65536", "https://example.com:0", "https://example.com:", "https://example.com:080",
    "https://example.com:+80", "https://example.com:-1", "https://example.com:8_0", "https://example.com:８０", "https://example.com:80:80",
    "http://example.com:5432", "http://example.com:6379/v1", "http://example.com:22", "http://example.com:25", "http://example.com:445",
    "http://example.com:3306", "http://example.com:6443", "http://example.com:9200", "http://example.com:27017", "http://localhost:6379",
    # labels
    "https://example.com./v1", "https://example.com..", "http://localhost.", "http://a..b.com", "http://.example.com", "http://-a.com",
    "http://a-.com", "http://a.b.c.d.e.f.g.h.i.j.k", "http://" + "a" * 64 + ".com", "http://" + ".".join(["a" * 60] * 5),
    # ourselves
    "https://api.portkey.ai/v1", "https://API.Portkey.ai", "https://x.api.portkey.ai", "https://example.com/api.portkey.ai",
    # private names
    "http://localhost/v1", "http://LOCALHOST/v1", "http://printer.local", "http://db.internal", "http://x.lan", "http://a.localhost",
    "http://a.localdomain", "http://a.intranet", "http://a.home", "http://a.corp", "http://a.test", "http://a.invalid", "http://a.onion",
    "http://127.0.0.1.nip.io", "http://a.sslip.io", "http://xip.io", "http://localtest.me", "http://lvh.me", "http://a.vcap.me",
    "http://traefik.me", "http://a.localhost.run", "http://host.docker.internal",
    # numbers
    "http://127.0.0.1/v1", "http://127.1/v1", "http://0x7f.1", "http://0x7f000001", "http://0X7F.1", "http://2130706433", "http://0177.0.0.1",
    "http://017700000001", "http://0", "http://0x", "http://127.0.0.01", "http://256.1.1.1", "http://1.2.3.4.5", "http://example.0x7f",
    "http://10.0.0.1", "http://172.16.9.9", "http://192.168.1.1", "http://100.64.0.1", "http://99999999999999",
    # IPv6
    "http://[::1]/v1", "http://[2606:4700::1111]", "http://[::ffff:169.254.169.254]/", "http://[::ffff:8.8.8.8]", "http://[fe80::1%25eth0]",
    "http://[::1", "http://::1", "http://[]", "http://[8.8.8.8]", "http://[127.0.0.1]", "http://[::1]x", "http://[1:2]", "http://x[::1]",
])  # fmt: skip
def test_private_odd_and_misleading_hosts_are_refused(url):
    with pytest.raises(ValueError):
        check_custom_host(url, ())


@pytest.mark.parametrize("url", [
    "http://localhost:1234/v1", "http://127.0.0.1:8790/v1", "http://LocalHost", "http://[::1]:8000/v1", "http://[0:0:0:0:0:0:0:1]",
    "http://host.docker.internal:11434/v1",
])  # fmt: skip
def test_trusted_hosts_are_exempt_from_the_private_ranges(url):
    assert check_custom_host(url, LOCAL) == url


@pytest.mark.parametrize("url", [
    "http://127.0.0.2", "http://127.1", "http://2130706433", "http://0x7f.1", "http://localhost.", "http://a.localhost", "http://localhost:6379",
    "http://[::ffff:127.0.0.1]", "http://[::127.0.0.1]", "http://[64:ff9b::127.0.0.1]", "http://[::2]", "http://10.0.0.1", "http://u@localhost",
])  # fmt: skip
def test_trust_covers_the_hosts_that_are_named_and_no_others(url):
    with pytest.raises(ValueError):
        check_custom_host(url, LOCAL)


@pytest.mark.parametrize("host", [
    "169.254.169.254", "169.254.169.1", "169.254.170.2", "169.254.170.23", "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254",
    "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2852039166", "0xa9fea9fe", "metadata", "METADATA", "instance-data", "kubernetes",
    "kubernetes.default.svc", "x.cluster.local", "vault.service.consul", "metadata.google.internal", "metadata.goog", "a.metadata.goog",
    "ip-10-0-0-1.eu-west-1.compute.internal",
])  # fmt: skip
def test_metadata_services_are_refused_even_when_trusted(host):
    written = f"[{host}]" if ":" in host else host
    with pytest.raises(ValueError):
        check_custom_host(f"http://{written}/v1", frozenset({host, host.lower(), written}))


# spellings


def part(value, base, zeros):
    text = {8: f"0{'0' * zeros}{value:o}", 10: str(value), 16: f"0x{'0' * zeros}{value:x}"}[base]
    return text if zeros % 2 else text.upper()


def spelled(address, parts, chance):
    """Return `address` in one of the forms that `inet_aton` reads."""
    number = int(address)
    split = [number >> shift & 0xFF for shift in (24, 16, 8)[: parts - 1]] + [number & ((1 << 8 * (5 - parts)) - 1)]
    return ".".join(part(value, chance.choice([8, 10, 16]), chance.randrange(4)) for value in split)


EMBEDDINGS = (
    "::ffff:{0}", "::{0}", "::ffff:0:{0}", "64:ff9b::{0}", "64:ff9b:1::{0}", "64:ff9b:1:dead:beef:0:{0}", "2606:4700::5efe:{0}",
    "2606:4700::200:5efe:{0}", "fe80::5efe:{0}",
)  # fmt: skip


def embedded(address):
    """Return the IPv6 addresses behind which a translator or tunnel finds the IPv4 `address`."""
    number = int(address)
    teredo = 0x20010000 << 96 | 0x0C22384E << 64
    nat64_48 = 0x0064FF9B0001 << 80 | (number >> 16) << 64 | (number & 0xFFFF) << 40
    return [
        *(ipaddress.IPv6Address(form.format(address)) for form in EMBEDDINGS),
        ipaddress.IPv6Address(0x2002 << 112 | number << 80 | 1),
        ipaddress.IPv6Address(teredo | number ^ 0xFFFFFFFF),
        ipaddress.IPv6Address(0x20010000 << 96 | number << 64 | 1),
        ipaddress.IPv6Address(nat64_48),
    ]


@given(INSIDE, st.integers(1, 4), st.integers(0, 2**32))
def test_an_inside_address_is_refused_in_every_spelling(address, parts, seed):
    text = spelled(address, parts, random.Random(seed))
    assert socket.inet_aton(text) == address.packed, "the spelling is not one that systems read"
    assert refused(f"http://{text}/v1")
    assert refused(f"http://[{text}]/v1")


@given(METADATA, st.integers(1, 4), st.integers(0, 2**32))
def test_a_metadata_address_is_refused_in_every_spelling_even_when_trusted(address, parts, seed):
    text = spelled(address, parts, random.Random(seed))
    assert refused(f"http://{text}/v1", frozenset({text, text.lower(), str(address)}))


@given(INSIDE)
def test_an_inside_address_is_refused_behind_every_translator_and_tunnel(address):
    for form in embedded(address):
        assert not is_public(form), form
        assert not may_connect("named.example", form, ()), form
        for text in (form.compressed, form.exploded, form.exploded.upper()):
            assert refused(f"http://[{text}]/v1"), text


@given(METADATA)
def test_a_metadata_address_is_never_connected_to_in_any_form(address):
    for form in [address, *embedded(address)]:
        assert is_metadata(form), form
        assert not may_connect("inside", form, frozenset({"inside", str(form), str(address)})), form


@given(st.text("0123456789abcdefxABCX.:[]", min_size=1, max_size=20))
def test_whatever_a_system_reads_as_a_number_is_public_when_accepted(host):
    if refused(f"http://{host}/"):
        return
    try:
        read = ipaddress.ip_address(socket.inet_aton(host))
    except OSError:
        return
    assert parse_address(host) == read
    assert may_connect(host, read, ())


ODD = st.text("htps:/@#?%.;\\[]0123456789abxlocs \t\n-_é。", max_size=4)
PIECES = st.sampled_from(
    ["a.b", "8.8.8.8", "localhost", "[::1]", "127.0.0.1", ":80", ":8080", "/v1", "/", "..", "@", "?x", "#y", "é"]
)
URLS = st.lists(PIECES | ODD, min_size=1, max_size=4).map("".join)


@given(st.sampled_from(["http://", "https://", "HTTP://", ""]), URLS, st.sampled_from([(), LOCAL]))
def test_what_is_accepted_is_read_alike_by_whoever_calls_it(scheme, rest, trusted):
    url = scheme + rest
    if refused(url, trusted):
        return
    checked = check_custom_host(url, trusted)
    parts = urlsplit(checked)
    assert parts.geturl().lower() == checked.lower(), "something was dropped on the way"
    assert (parts.username, parts.password, parts.query, parts.fragment) == (None, None, "", "")
    assert parts.port is None or 0 < parts.port < 65536
    assert host_of(checked)
    literal = parse_address(host_of(checked))
    assert literal is None or may_connect(host_of(checked), literal, trusted)


@given(st.ip_addresses())
def test_an_accepted_literal_may_be_connected_to(address):
    written = f"[{address}]" if address.version == 6 else str(address)
    for trusted in ((), frozenset({str(address)})):
        if not refused(f"https://{written}/v1", trusted):
            assert may_connect(host_of(f"https://{written}/v1"), address, trusted)


# addresses


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_judged_alike_in_its_ipv6_form(address):
    mapped = ipaddress.ip_address(f"::ffff:{address}")
    assert is_public(mapped) is False
    assert is_metadata(mapped) == is_metadata(address)


@given(st.ip_addresses() | INSIDE)
def test_what_is_private_multicast_or_reserved_is_not_public(address):
    if (
        address.is_private
        or address.is_multicast
        or address.is_reserved
        or address.is_link_local
        or is_metadata(address)
    ):
        assert not is_public(address)


@pytest.mark.parametrize("address", [
    "0.255.255.255", "10.0.0.0", "100.64.0.0", "100.127.255.255", "172.31.255.255", "192.88.99.1", "198.19.255.255", "224.0.0.1", "240.0.0.1",
    "255.255.255.255", "::", "::1", "fc00::1", "fdff::1", "fe80::1", "febf::1", "fec0::1", "ff02::1", "2001::1", "2001:db8::1", "2002:a00:1::1",
    "64:ff9b::808:808", "64:ff9b:1::808:808", "100::1", "3fff::1", "5f00::1", "::8.8.8.8", "::ffff:8.8.8.8", "fe80::1%eth0",
])  # fmt: skip
def test_the_edges_of_private_ranges_are_not_public(address):
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", [
    "1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0", "198.17.255.255",
    "198.20.0.0", "223.255.255.255", "2606:4700::1111", "2001:4860:4860::8888", "2a00:1450:4001::1", "2606:4700::5efe:8.8.8.8",
])  # fmt: skip
def test_the_neighbours_of_private_ranges_are_public(address):
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(("host", "address", "allowed"), [
    ("api.example.com", "93.184.216.34", True), ("api.example.com", "10.0.0.5", False), ("localhost", "127.0.0.1", True),
    ("LOCALHOST", "127.0.0.9", True), ("rebound.example.com", "127.0.0.1", True), ("rebound.example.com", "127.0.0.2", False),
    ("localhost", "169.254.169.254", False), ("localhost", "64:ff9b::a9fe:a9fe", False), ("localhost", "fd00:ec2::254", False),
])  # fmt: skip
def test_a_connection_is_judged_by_the_address_it_really_goes_to(host, address, allowed):
    assert may_connect(host, ipaddress.ip_address(address), TRUSTED) is allowed


@pytest.mark.parametrize("name", ["metadata.google.internal", "x.cluster.local", "Kubernetes"])
def test_a_metadata_name_is_not_connected_to_wherever_it_leads(name):
    for address in ("10.0.0.1", "93.184.216.34"):
        assert not may_connect(name, ipaddress.ip_address(address), frozenset({name, name.lower(), address}))


# trusted hosts


def test_this_machine_is_trusted_outside_production_only():
    assert default_trusted_hosts(production=True) == frozenset()
    assert default_trusted_hosts(production=False) == {"localhost", "127.0.0.1", "::1", "host.docker.internal"}


@pytest.mark.parametrize("production", [True, False])
def test_a_setting_replaces_the_defaults(production):
    assert trusted_hosts(None, production=production) == default_trusted_hosts(production=production)
    assert trusted_hosts(" Ollama.Example, 10.0.0.1 ,,[::1],FD00:0::1", production=production) == {
        "ollama.example", "10.0.0.1", "::1", "fd00::1",
    }  # fmt: skip
    assert trusted_hosts(",", production=production) == frozenset()
    assert trusted_hosts("", production=production) == frozenset()


# outgoing URLs


@pytest.mark.parametrize("url", [
    "https://hooks.example.com/x", "http://hooks.example.com:8080/a%20b/c@d?x=%2F..&y[]=1#"[:-1], "https://example.com", "https://example.com/?",
    "https://example.com?a=b@c",
])  # fmt: skip
def test_an_outgoing_url_may_have_a_query_and_is_returned_as_it_is(url):
    assert check_outgoing_url(url, ()) == url


@pytest.mark.parametrize("url", [
    "https://example.com/x#y", "https://example.com/#", "https://u:p@example.com/x", "https://example.com/%2e%2E/x", "https://example.com/%2fx",
    "https://example.com/%5Cx", "https://example.com/%0d%0a", "https://example.com/%", "https://example.com/%zz", "https://example.com/../x",
    "https://example.com/?%", "https://example.com/?a b", "https://example.com/?a\n", "https://example.com/?<x>", "https://api.portkey.ai/hook",
    "http://127.0.0.1/x", "http://localhost?x", "http://169.254.169.254/latest", "http://2130706433/", "https://example.com:6379/x",
    "https://evil.com?@example.com:6379/é", "https://127.0.0.1?.example.com", "ftp://example.com",
])  # fmt: skip
def test_an_outgoing_url_is_refused_for_what_refuses_a_custom_host(url):
    with pytest.raises(ValueError):
        check_outgoing_url(url, ())


def test_an_outgoing_url_may_lead_to_a_trusted_host_but_never_to_metadata():
    assert check_outgoing_url("http://127.0.0.1:9000/x?y", TRUSTED) == "http://127.0.0.1:9000/x?y"
    with pytest.raises(ValueError):
        check_outgoing_url("http://169.254.169.254/x", frozenset({"169.254.169.254"}))


def test_plain_http_can_be_refused_altogether():
    assert check_outgoing_url("HTTPS://example.com/x", (), https_only=True) == "HTTPS://example.com/x"
    with pytest.raises(ValueError, match="https"):
        check_outgoing_url("http://127.0.0.1/x", TRUSTED, https_only=True)


def test_the_host_of_a_url_is_lower_case_and_without_port():
    assert host_of("https://API.Example.com:8443/v1") == "api.example.com"
