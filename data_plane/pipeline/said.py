"""What do a request's single headers say?  Each is read here, once, and refused here when it makes no sense.

Booleans may be written in any case, lists as JSON or with commas.  In saved-only mode nothing that defines a provider
may be sent inline (`contract.md` 1.8, 2.1).
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from data_plane.core.job import Choice, Principal
from shared import wire
from shared.crypto.tokens import parse_key
from shared.errors import BadRequest, InlineBlocked, Unsupported
from shared.redact import Secret
from shared.schema.config import MAX_RETRIES, MAX_TIMEOUT_MS
from shared.schema.target_settings import ADDRESS_SETTINGS, SETTING_HEADERS

#: What the Portkey SDK sends as `Authorization` when its user gave no provider key.
PLACEHOLDERS: Final = frozenset({"OPENAI_API_KEY", "dummy", ""})
_TRUE: Final = frozenset({"true", "1"})
_FALSE: Final = frozenset({"false", "0"})
#: No number that a header may hold has more digits.
_MAX_DIGITS: Final = 12
_CACHE_MODES: Final = frozenset({"simple", "semantic"})


def flag(text: str | None) -> bool | None:
    """Return whether a header says true (or 1) or false (or 0); None when it is absent or says neither."""
    word = (text or "").strip().lower()
    return True if word in _TRUE else False if word in _FALSE else None


def _number(text: str) -> int | None:
    """Return a plain decimal number, None for what is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS else None


def holds_gateway_key(value: str) -> bool:
    """Return whether a header's value is a key to this gateway, bare or as a bearer token."""
    bare = value[7:] if value[:7].lower() == "bearer " else value
    return parse_key(bare.strip()) is not None


def timeout_ms(headers: Mapping[str, str]) -> int | None:
    """Return the limit that the request sets, in milliseconds; raises BadRequest."""
    text = headers.get(wire.REQUEST_TIMEOUT, "").strip()
    if not text:
        return None
    number = _number(text)
    if number is None or not 0 < number <= MAX_TIMEOUT_MS:
        raise BadRequest("x-portkey-request-timeout must be a number of milliseconds.", path=wire.REQUEST_TIMEOUT)
    return number


def retries(headers: Mapping[str, str]) -> int | None:
    """Return how many extra tries the request wants of each target; raises BadRequest."""
    text = headers.get(wire.RETRIES, "").strip()
    if not text:
        return None
    number = _number(text)
    if number is None or number > MAX_RETRIES:
        raise BadRequest(f"{wire.RETRIES} must be a number from 0 to {MAX_RETRIES}.", path=wire.RETRIES)
    return number


def check_cache(headers: Mapping[str, str]) -> None:
    """Raise BadRequest for a cache mode that is none, Unsupported for one, as this version has no cache."""
    text = headers.get(wire.CACHE, "").strip().lower()
    if not text:
        return
    if text not in _CACHE_MODES:
        raise BadRequest(f"{wire.CACHE} must be simple or semantic.", path=wire.CACHE)
    raise Unsupported(f"{wire.CACHE}: the cache is not available in this version of the gateway", path=wire.CACHE)


def names(text: str | None, header: str) -> tuple[str, ...] | None:
    """Return the header names that a header lists, in lower case, with commas or as a JSON array."""
    if not text:
        return None
    listed: object = text.split(",")
    if text.lstrip().startswith("["):
        try:
            listed = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError):
            listed = None
    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        raise BadRequest(f"{header} must be a comma-separated list or a JSON array.", path=header)
    lowered = tuple(name.strip().lower() for name in listed if name.strip())
    if wire.FORWARD_HEADERS in lowered:
        raise BadRequest(f"forward_headers must not contain the '{wire.FORWARD_HEADERS}' header", path=header)
    return lowered


def _settings(headers: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for header in headers:
        setting = SETTING_HEADERS.get(header)
        if setting is not None and headers[header]:
            name, is_secret = setting
            found[name] = Secret(headers[header]) if is_secret else headers[header]
    return found


def _refuse_inline(headers: Mapping[str, str], provider: str | None, settings: Mapping[str, Any]) -> None:
    """Raise InlineBlocked for the first thing that a saved-only organisation does not accept."""
    if provider and not provider.startswith("@"):
        raise InlineBlocked("inline_provider_blocked", wire.PROVIDER)
    if headers.get(wire.CUSTOM_HOST):
        raise InlineBlocked("inline_custom_host_blocked", wire.CUSTOM_HOST)
    for name in ADDRESS_SETTINGS:
        if name in settings:
            raise InlineBlocked("inline_provider_url_blocked", f"{wire.PREFIX}{name.replace('_', '-')}")
    if headers.get(wire.FORWARD_HEADERS):
        raise InlineBlocked("inline_forward_headers_blocked", wire.FORWARD_HEADERS)


def choice(headers: Mapping[str, str], principal: Principal) -> Choice:
    """Return what the request says about its provider; raises InlineBlocked."""
    provider = headers.get(wire.PROVIDER, "").strip() or None
    settings = _settings(headers)
    if principal.org.block_inline:
        _refuse_inline(headers, provider, settings)
    key = None
    if headers.get(wire.API_KEY):
        bearer = headers.get("authorization", "")
        text = bearer[7:].strip() if bearer[:7].lower() == "bearer " else headers.get("x-api-key", "").strip()
        # Clients that put the gateway's key everywhere do not mean it for the provider.
        key = None if text in PLACEHOLDERS or holds_gateway_key(text) else Secret(text)
    virtual_key = headers.get(wire.VIRTUAL_KEY, "").strip() or None
    return Choice(provider, virtual_key, key, headers.get(wire.CUSTOM_HOST, "").strip() or None, settings)
