"""Which hosts may a user point us at?  The rules against server-side request forgery, without any I/O.

Two checks share this module: `check_custom_host` on the address as written (when a config or virtual key is saved
and when a request names it), and `is_public` on every address that a name resolves to, at the moment of connecting,
so that a name which later points inside is refused too.  Hosts in `trusted` are exempt from the private-range rules,
never from the rules on metadata services.  Source: `contract.md` 2.4.
"""

import ipaddress
import re
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

MAX_URL_CHARS: Final = 2048
MAX_LABELS: Final = 10

_BLOCKED_NETWORKS: Final = tuple(
    ipaddress.ip_network(net)
    for net in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
        "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24",
        "203.0.113.0/24", "224.0.0.0/3", "::1/128", "::/128", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
        "2001::/32", "2002::/16", "64:ff9b::/96", "::ffff:0:0/96", "::/96",
    )
)  # fmt: skip
#: Never reachable, trusted or not: cloud metadata and credential services.
_METADATA_NETWORKS: Final = tuple(
    ipaddress.ip_network(net)
    for net in (
        "169.254.169.0/24", "169.254.170.2/32", "169.254.170.23/32", "100.100.100.200/32", "168.63.129.16/32",
        "192.0.0.192/32", "fd00:ec2::/96",
    )
)  # fmt: skip
_METADATA_NAMES: Final = frozenset({"metadata", "instance-data", "kubernetes", "metadata.goog"})
_METADATA_SUFFIXES: Final = (
    ".cluster.local", ".consul", "metadata.google.internal", ".compute.internal", ".metadata.goog",
)  # fmt: skip
_PRIVATE_TLDS: Final = (
    ".local", ".localdomain", ".internal", ".intranet", ".lan", ".home", ".corp", ".test", ".invalid", ".onion",
    ".localhost",
)  # fmt: skip
_REBINDING: Final = (
    "nip.io", "sslip.io", "xip.io", "localtest.me", "lvh.me", "vcap.me", "traefik.me", "localhost.run",
)  # fmt: skip
_BLOCKED_PORTS: Final = frozenset(
    {21, 22, 23, 25, 53, 110, 111, 135, 139, 143, 389, 445, 465, 587, 636, 873, 993, 995, 1433, 1521, 2049, 2375,
     2376, 2379, 2380, 3306, 3389, 5432, 5672, 5900, 5984, 6379, 6443, 9042, 9092, 9200, 9300, 10250, 11211, 27017}
)  # fmt: skip
_HOST: Final = re.compile(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?")
#: What an operating system would still read as IPv4: decimal, hex, octal or short forms.
_ODD_IPV4: Final = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)(?:\.(?:0x[0-9a-f]*|[0-9]+)){0,3}")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def parse_address(host: str) -> Address | None:
    """Return the IP address that `host` spells in the usual form (brackets allowed), else None."""
    try:
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None


def _embedded_ipv4(address: Address) -> Address:
    if isinstance(address, ipaddress.IPv6Address):
        return address.ipv4_mapped or address.sixtofour or address
    return address


def is_metadata(address: Address) -> bool:
    """Return whether `address` is a cloud's metadata or credential service: never a provider."""
    inner = _embedded_ipv4(address)
    return any(inner in net for net in _METADATA_NETWORKS if net.version == inner.version)


def is_public(address: Address) -> bool:
    """Return whether `address` lies outside every private, reserved and metadata range."""
    if is_metadata(address):
        return False
    inner = _embedded_ipv4(address)
    return not any(
        candidate in net
        for candidate in {address, inner}
        for net in _BLOCKED_NETWORKS
        if net.version == candidate.version
    )


def may_connect(host: str, address: Address, trusted: Collection[str]) -> bool:
    """Return whether a connection to `address`, found for the name `host`, is allowed."""
    if is_metadata(address):
        return False
    return host.lower() in trusted or str(address) in trusted or is_public(address)


def _check_name(host: str, trusted: Collection[str]) -> None:
    if host in _METADATA_NAMES or host.endswith(_METADATA_SUFFIXES):
        raise ValueError("the host is a metadata or cluster service")
    if host in trusted:
        return
    if not _HOST.fullmatch(host) or host.startswith("xn--") or ".xn--" in host:
        raise ValueError("the host is not a plain ASCII name")
    if len(host.split(".")) > MAX_LABELS:
        raise ValueError(f"the host has more than {MAX_LABELS} labels")
    if _ODD_IPV4.fullmatch(host):
        raise ValueError("the host is a number that systems read as an address")
    if host == "localhost" or host.endswith(_PRIVATE_TLDS):
        raise ValueError("the host is private")
    if any(host == name or host.endswith("." + name) for name in _REBINDING):
        raise ValueError("the host is a name that resolves to any address")


def _check_address(host: str, address: Address, trusted: Collection[str]) -> None:
    if is_metadata(address):
        raise ValueError("the host is a metadata service")
    if host in trusted or str(address) in trusted:
        return
    if isinstance(address, ipaddress.IPv6Address):
        raise ValueError("IPv6 literals are not accepted")
    if not is_public(address):
        raise ValueError("the address is private")


def check_custom_host(url: str, trusted: Collection[str]) -> str:
    """Return the base URL `url` without a trailing slash, or raise ValueError with what is wrong about it.

    `trusted` holds lower-case host names and addresses that are exempt from the private-range rules.
    """
    if len(url) > MAX_URL_CHARS:
        raise ValueError(f"longer than {MAX_URL_CHARS} characters")
    if any(ord(char) <= 0x20 or ord(char) == 0x7F for char in url) or "%" in url or "\\" in url:
        raise ValueError("has a control character, blank, percent sign or backslash")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("is not a URL") from None
    if parts.scheme not in {"http", "https"}:
        raise ValueError("must begin with http:// or https://")
    if "@" in parts.netloc:
        raise ValueError("must not hold credentials")
    if parts.query or parts.fragment:
        raise ValueError("must not have a query or fragment")
    host = (parts.hostname or "").lower()
    if not host or host.endswith("."):
        raise ValueError("has no host")
    address = parse_address(host)
    if address is None:
        _check_name(host, trusted)
    else:
        _check_address(host, address, trusted)
    if port is not None and (port in _BLOCKED_PORTS or port == 0):
        raise ValueError(f"port {port} belongs to another kind of service")
    return url.rstrip("/")


def host_of(url: str) -> str:
    """Return the lower-case host of a URL, without port; "" when there is none."""
    return (urlsplit(url).hostname or "").lower()
