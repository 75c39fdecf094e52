"""Does what an organisation says of a provider of its own make sense?

The control plane checks by these rules what it saves; a gateway checks them again before it builds a provider, so that
a row that should not exist costs the requests that name it, and no others.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import orjson

from shared.hosts import check_custom_host
from shared.schema.config import NEVER_FORWARDED
from shared.schema.rows import AuthRow, CustomProviderRow, ParameterMap
from shared.wire import PREFIX

MAX_SLUG_CHARS: Final = 80
MAX_HEADERS: Final = 32
#: Of each kind of rule; and of all defaults together, as JSON.
MAX_RULES: Final = 100
MAX_DEFAULTS_BYTES: Final = 16 * 1024
MAX_DEFAULTS_DEPTH: Final = 16
#: No provider may be called so: the gateway itself, the API that it speaks, and what means "none of them" or "mine".
RESERVED_SLUGS: Final = frozenset({"gatehouse", "portkey", "proxy", "custom", "default", "none", "null", "universal"})

_SLUG: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,79}")
_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]{1,128}")
_VALUE: Final = re.compile(r"[!-~](?:[ -~]{0,1022}[!-~])?")
_PREFIX: Final = re.compile(r"(?:[!-~][ -~]{0,63})?")
_PARAMETER: Final = re.compile(r"[A-Za-z0-9_.$:-]{1,128}")
#: Headers that belong to one connection, to one body, or to the gateway.
_NOT_FOR_PROVIDERS: Final = NEVER_FORWARDED | {
    "accept-encoding", "baggage", "content-encoding", "content-type", "cookie", "cookie2", "expect", "forwarded",
    "http2-settings", "keep-alive", "metadata", "te", "traceparent", "tracestate", "trailer", "upgrade", "via",
    "x-http-method", "x-http-method-override", "x-method-override", "x-real-ip",
}  # fmt: skip
_NOT_FOR_PROVIDERS_PREFIXES: Final = (PREFIX, "proxy-", "x-forwarded-")
#: An answer in pieces is read otherwise than a whole one, so nobody but the caller may ask for it.
_STREAM: Final = "stream"


def check_slug(slug: str) -> None:
    """Raise ValueError with what is wrong about the id of a custom provider."""
    if not _SLUG.fullmatch(slug):
        raise ValueError(f"must be lower-case letters, digits and '-', at most {MAX_SLUG_CHARS}, no '-' at the start")
    if slug in RESERVED_SLUGS:
        raise ValueError("is reserved")


def _of_header_name(name: str) -> Iterator[str]:
    if not _HEADER.fullmatch(name):
        yield "is no header's name in lower case"
    elif name in _NOT_FOR_PROVIDERS or name.startswith(_NOT_FOR_PROVIDERS_PREFIXES):
        yield "is a header that is not a provider's"


def _of_headers(headers: Mapping[str, str], auth: AuthRow | None) -> Iterator[str]:
    if len(headers) > MAX_HEADERS:
        yield f"headers: are more than {MAX_HEADERS}"
        return
    for name, value in headers.items():
        yield from (f"headers.{name[:128]}: {fault}" for fault in _of_header_name(name))
        if not _VALUE.fullmatch(value):
            yield f"headers.{name[:128]}: the value must be 1 to 1024 printable ASCII characters"
        if auth is not None and name == auth.header:
            yield f"headers.{name}: is the header of the credential"


def header_faults(headers: Mapping[str, str]) -> list[str]:
    """Return what keeps headers (lower case) from being those of requests to a provider, each fault a sentence."""
    return list(_of_headers(headers, None))


def _of_auth(auth: AuthRow) -> Iterator[str]:
    yield from (f"auth.header: {fault}" for fault in _of_header_name(auth.header))
    if not _PREFIX.fullmatch(auth.prefix):
        yield "auth.prefix: must be at most 64 printable ASCII characters and not begin with a blank"


def _of_path(path: str, where: str) -> Iterator[str]:
    if not path.startswith("/"):
        yield f"{where}: must begin with /"
        return
    try:
        check_custom_host(f"https://host.example{path}", ())
    except ValueError as fault:
        yield f"{where}: {fault}"


def _of_names(names: Iterable[str], where: str) -> Iterator[str]:
    listed = list(names)
    if len(listed) > MAX_RULES:
        yield f"{where}: has more than {MAX_RULES} entries"
        return
    for name in listed:
        if not _PARAMETER.fullmatch(name):
            yield f"{where}: {name[:128]!r} is no parameter's name"


def _of_values(defaults: Mapping[str, Any]) -> Iterator[str]:
    """Yield what keeps values from being sent on, or would keep the rows of everybody else from being published."""
    level: list[Any] = [defaults]
    for _ in range(MAX_DEFAULTS_DEPTH):
        inside = (item.values() if isinstance(item, dict) else item for item in level if isinstance(item, dict | list))
        level = [value for values in inside for value in values]
    if level:
        yield f"are nested more than {MAX_DEFAULTS_DEPTH} deep"
        return
    try:
        size = len(orjson.dumps(defaults))
    except TypeError:
        yield "hold a number that is too large, or a text that is none"
        return
    if size > MAX_DEFAULTS_BYTES:
        yield f"are larger than {MAX_DEFAULTS_BYTES} bytes"


def _of_parameters(rules: ParameterMap, where: str) -> Iterator[str]:
    for kind in ("rename", "drop", "defaults", "refuse"):
        yield from _of_names(getattr(rules, kind), f"{where}.{kind}")
    yield from _of_names(rules.rename.values(), f"{where}.rename")
    yield from (f"{where}.defaults: {fault}" for fault in _of_values(rules.defaults))
    dropped, refused = set(rules.drop), set(rules.refuse)
    for name in sorted((dropped | refused) & (rules.rename.keys() | rules.defaults.keys()) | (dropped & refused)):
        yield f"{where}: {name[:128]!r} is to be left out and sent at once"
    if _STREAM in dropped | rules.defaults.keys():
        yield f"{where}: 'stream' can be refused or renamed, but the caller alone says whether it is sent"


def faults_of(row: CustomProviderRow) -> list[str]:
    """Return what is wrong with a custom provider, each with the path of what it is about; empty when it can be built.

    Its address is not judged here: which hosts are trusted is for each plane to say (`shared/hosts.py`).
    """
    faults: list[str] = []
    try:
        check_slug(row.slug)
    except ValueError as fault:
        faults.append(f"slug: {fault}")
    faults += _of_headers(row.headers, row.auth)
    if row.auth is not None:
        faults += _of_auth(row.auth)
    faults += _of_parameters(row.parameters, "parameters")
    for operation, endpoint in row.endpoints.items():
        where = f"endpoints.{operation[:128]}"
        if endpoint.path is not None:
            faults += _of_path(endpoint.path, f"{where}.path")
        if endpoint.parameters is not None:
            faults += _of_parameters(endpoint.parameters, f"{where}.parameters")
    return faults
