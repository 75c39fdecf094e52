"""Which hosts may a user point us at?  The rules against server-side request forgery, without any I/O.

Two checks share this module: `check_custom_host` on the address as written (when a config or virtual key is saved
and when a request names it), and `may_connect` on every address that a name resolves to, at the moment of connecting,
so that a name which later points inside is refused too.  Hosts in `trusted` are exempt from the private-range rules,
never from the rules on metadata services.  Source: `contract.md` 2.4.
"""

import ipaddress
import re
from collections.abc import Collection
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Final
from urllib.parse import urlsplit

MAX_URL_CHARS: Final = 2048
MAX_LABELS: Final = 10
MAX_HOST_CHARS: Final = 253

_BLOCKED_NETWORKS: Final = tuple(
    ipaddress.ip_network(net)
    for net in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
        "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24",
        "203.0.113.0/24", "224.0.0.0/3", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
    )
)  # fmt: skip
#: All that has been given out for public use; `::1`, `fc00::/7`, `fe80::/10`, NAT64 and the like lie outside.
_GLOBAL_IPV6: Final = ipaddress.IPv6Network("2000::/3")
#: Never reachable, trusted or not: cloud metadata and credential services.
_METADATA_NETWORKS: Final = tuple(
    ipaddress.ip_network(net)
    for net in (
        "169.254.169.0/24", "169.254.170.2/32", "169.254.170.23/32", "169.254.0.23/32", "169.254.42.42/32",
        "100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32", "fd00:ec2::/96", "fd20:ce::/96",
        "fd00:42::42/128", "fe80::a9fe:a9fe/128",
    )
)  # fmt: skip
_METADATA_NAMES: Final = frozenset({
    "metadata", "instance-data", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "metadata.goog",
    "metadata.google.internal", "metadata.tencentyun.com", "cluster.local", "consul", "compute.internal",
})  # fmt: skip
_METADATA_SUFFIXES: Final = (
    ".cluster.local", ".consul", ".metadata.google.internal", ".compute.internal", ".metadata.goog",
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
_PEER: Final = "api.portkey"

_SCHEME: Final = re.compile(r"https?://", re.IGNORECASE)
_AUTHORITY: Final = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([1-9][0-9]{0,4}))?", re.IGNORECASE)
_NAME: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*")
#: What an operating system may read as IPv4: decimal, hex, octal and short forms all end in a number.
_ENDS_IN_NUMBER: Final = re.compile(r"(?:.*\.)?(?:0x[0-9a-f]*|[0-9]+)")
_PATH: Final = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:-]*)*")
#: A path in which escapes may stand, but none of dots, slashes, backslashes and control characters.
_ESCAPED_PATH: Final = re.compile(
    r"(?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%(?!2[EeFf]|5[Cc]|[01]|7[Ff])[0-9A-Fa-f]{2})*)*"
)
_QUERY: Final = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/?\[\]{}|-]|%[0-9A-Fa-f]{2})*")

Address = IPv4Address | IPv6Address

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_NAT64_LOCAL: Final = ipaddress.IPv6Network("64:ff9b:1::/48")
_SIIT: Final = ipaddress.IPv6Network("::ffff:0:0:0/96")
_COMPATIBLE: Final = ipaddress.IPv6Network("::/96")
#: Interface identifiers of ISATAP, the bit for a unique address left out.
_ISATAP: Final = 0x00005EFE


def parse_address(host: str) -> Address | None:
    """Return the IP address that `host` spells in the usual form (brackets allowed), else None."""
    try:
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None


def _embedded(address: IPv6Address) -> list[IPv4Address]:
    """Return the IPv4 addresses to which a translator or tunnel may pass on what is sent to `address`."""
    whole = int(address)
    low = IPv4Address(whole & 0xFFFFFFFF)
    if address.ipv4_mapped or address in _NAT64 or address in _SIIT or address in _COMPATIBLE:
        return [low]
    if address.sixtofour:
        return [address.sixtofour]
    if address.teredo:
        return list(address.teredo)
    found = [low] if (whole >> 32) & 0xFDFFFFFF == _ISATAP else []
    if address in _NAT64_LOCAL:
        # RFC 6052 splits the address around eight bits at prefixes shorter than 96; which one is in use is unknown.
        split_48 = (whole >> 64 & 0xFFFF) << 16 | whole >> 40 & 0xFFFF
        split_56 = (whole >> 64 & 0xFF) << 24 | whole >> 32 & 0xFFFFFF
        found += [low, IPv4Address(split_48), IPv4Address(split_56), IPv4Address(whole >> 24 & 0xFFFFFFFF)]
    return found


def _readings(address: Address) -> list[Address]:
    return [address, *_embedded(address)] if isinstance(address, IPv6Address) else [address]


def is_metadata(address: Address) -> bool:
    """Return whether `address` is a cloud's metadata or credential service, in whatever form: never a provider."""
    return any(reading in net for reading in _readings(address) for net in _METADATA_NETWORKS)


def is_public(address: Address) -> bool:
    """Return whether `address` lies outside every private, reserved, translated and metadata range."""
    if is_metadata(address) or (isinstance(address, IPv6Address) and address not in _GLOBAL_IPV6):
        return False
    return not any(reading in net for reading in _readings(address) for net in _BLOCKED_NETWORKS)


def _is_metadata_name(host: str) -> bool:
    return host in _METADATA_NAMES or host.endswith(_METADATA_SUFFIXES)


def may_connect(host: str, address: Address, trusted: Collection[str]) -> bool:
    """Return whether a connection to `address`, found for the name `host`, is allowed."""
    name = host.lower()
    if is_metadata(address) or _is_metadata_name(name):
        return False
    return name in trusted or str(address) in trusted or is_public(address)


def default_trusted_hosts(production: bool) -> frozenset[str]:  # noqa: FBT001 -- the one thing that it depends on
    """Return the private hosts that may be custom hosts when nobody says which: this machine, none in production."""
    return frozenset() if production else frozenset({"localhost", "127.0.0.1", "::1", "host.docker.internal"})


def trusted_hosts(setting: str | None, *, production: bool) -> frozenset[str]:
    """Return the trusted hosts of TRUSTED_CUSTOM_HOSTS, a comma list that replaces the defaults; None is unset.

    Names are in lower case, addresses in the form in which they are compared.
    """
    if setting is None:
        return default_trusted_hosts(production)
    words = (word.strip().lower() for word in setting.split(","))
    return frozenset(str(parse_address(word) or word) for word in words if word)


def _check_name(host: str, trusted: Collection[str]) -> None:
    if _is_metadata_name(host):
        raise ValueError("the host is a metadata or cluster service")
    if _ENDS_IN_NUMBER.fullmatch(host):
        raise ValueError("the host is a number that systems read as an address")
    if not _NAME.fullmatch(host) or len(host) > MAX_HOST_CHARS:
        raise ValueError("the host is not a name")
    if host in trusted:
        return
    if host.startswith("xn--") or ".xn--" in host:
        raise ValueError("the host is not a plain ASCII name")
    if len(host.split(".")) > MAX_LABELS:
        raise ValueError(f"the host has more than {MAX_LABELS} labels")
    if host == "localhost" or host.endswith(_PRIVATE_TLDS):
        raise ValueError("the host is private")
    if any(host == name or host.endswith("." + name) for name in _REBINDING):
        raise ValueError("the host is a name that resolves to any address")


def _check_address(host: str, address: Address, trusted: Collection[str]) -> None:
    if is_metadata(address):
        raise ValueError("the host is a metadata service")
    if host in trusted or str(address) in trusted:
        return
    if isinstance(address, IPv6Address):
        raise ValueError("IPv6 literals are not accepted")
    if not is_public(address):
        raise ValueError("the address is private")


def _check_authority(authority: str, trusted: Collection[str]) -> None:
    if "@" in authority:
        raise ValueError("must not hold credentials")
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        raise ValueError("has no host, or one that is not plain ASCII, or a port that is no number")
    host, port = match[1].lower(), match[2]
    if _PEER in host:
        raise ValueError(f"must not lead to {_PEER}")
    address = parse_address(host)
    if address is None or (host[0] == "[" and address.version == 4):
        _check_name(host, trusted)
    else:
        _check_address(host.strip("[]"), address, trusted)
    if port is not None and (int(port) in _BLOCKED_PORTS or int(port) > 65535):
        raise ValueError(f"port {port} belongs to another kind of service, or to none")


def _split(url: str, trusted: Collection[str]) -> tuple[str, str]:
    """Return path and query of `url`, whose scheme and authority have been checked; raises ValueError.

    Split here and not by `urlsplit`, which drops line breaks and blanks without a word: what is checked must be what
    is called.
    """
    if len(url) > MAX_URL_CHARS:
        raise ValueError(f"longer than {MAX_URL_CHARS} characters")
    if not url.isascii():
        raise ValueError("is not plain ASCII")
    if any(char <= " " or char == "\x7f" for char in url) or "\\" in url:
        raise ValueError("has a control character, blank or backslash")
    if "#" in url:
        raise ValueError("must not have a fragment")
    scheme = _SCHEME.match(url)
    if scheme is None:
        raise ValueError("must begin with http:// or https://")
    before, _, query = url[scheme.end() :].partition("?")
    authority, slash, path = before.partition("/")
    _check_authority(authority, trusted)
    # A server may cut a segment at its semicolon before it resolves the dots.
    if any(segment.partition(";")[0] in {".", ".."} for segment in path.split("/")):
        raise ValueError("must not have . or .. in its path")
    return slash + path, query


def check_custom_host(url: str, trusted: Collection[str]) -> str:
    """Return the base URL `url` without a trailing slash, or raise ValueError with what is wrong about it.

    `trusted` holds lower-case host names and addresses that are exempt from the private-range rules.
    """
    path, _ = _split(url, trusted)
    if "?" in url:
        raise ValueError("must not have a query")
    if not _PATH.fullmatch(path):
        raise ValueError("has a percent sign, an @ or another odd character in its path")
    if _PEER in path.lower():
        raise ValueError(f"must not lead to {_PEER}")
    return url.rstrip("/")


def check_outgoing_url(url: str, trusted: Collection[str], *, https_only: bool = False) -> str:
    """Return `url`, a whole one such as a webhook's, or raise ValueError with what is wrong about it.

    The rules are those for custom hosts, except that there may be a query, and escapes and `@` behind the host.
    `https_only` refuses plain http, trusted hosts included.
    """
    path, query = _split(url, trusted)
    if https_only and url[:6].lower() != "https:":
        raise ValueError("must begin with https://")
    if not _ESCAPED_PATH.fullmatch(path):
        raise ValueError("has an odd character in its path")
    if not _QUERY.fullmatch(query):
        raise ValueError("has an odd character in its query")
    return url


@lru_cache(maxsize=4096)
def host_of(url: str) -> str:
    """Return the lower-case host of a URL, without port; "" when there is none."""
    return (urlsplit(url).hostname or "").lower()
