"""Which metadata does a request have?  What caller, API key and workspace say, merged, cleaned and bounded.

A later source wins: body `user`, copied headers, baggage, `x-portkey-metadata`, API key, workspace.  So an owner's
labels cannot be forged by a caller; and when there are too many keys, it is the caller's that are left out.
Source: `contract.md` 8.2, which bounds values only; the bounds on keys keep a request's memory and its log row small.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from shared.trace import read_baggage

MAX_METADATA_KEYS: Final = 64
MAX_KEY_CHARS: Final = 128
MAX_VALUE_CHARS: Final = 128
#: The key whose value analytics count as the user.
USER: Final = "_user"
#: Credentials are no metadata, whatever an operator lists: metadata is stored and shown.
_NEVER_COPIED: Final = frozenset({
    "authorization", "proxy-authorization", "cookie", "x-api-key", "api-key", "x-portkey-api-key",
})  # fmt: skip
#: Control characters, and halves of surrogate pairs, which neither UTF-8 nor a database can hold.
_UNFIT: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def _bounded(text: str, limit: int) -> str:
    """Return `text` without control characters, cut to `limit`; what lies far beyond it is not even looked at."""
    if len(text) <= limit and text.isprintable():
        return text
    return _UNFIT.sub("", text[: 4 * limit])[:limit]


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def read_metadata(sent: str | None) -> dict[str, str]:
    """Return the object of an `x-portkey-metadata` header as text by key, not yet bounded.

    Values that are no strings are JSON-encoded, nulls left out; what is not a JSON object counts as empty.
    """
    if not sent:
        return {}
    try:
        decoded = msgspec.json.decode(sent)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return {}
    if not isinstance(decoded, dict):
        return {}
    return {name: _as_text(value) for name, value in decoded.items() if value is not None}


def _copied(headers: Mapping[str, str], names: tuple[str, ...]) -> dict[str, str]:
    return {name: headers[name] for name in names if name in headers and name not in _NEVER_COPIED}


def _merged(layers: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Merge `layers`, the strongest first."""
    merged: dict[str, str] = {}
    for layer in layers:
        for name, value in layer.items():
            key = _bounded(name, MAX_KEY_CHARS)
            if key and key not in merged:
                if len(merged) == MAX_METADATA_KEYS:
                    return merged
                merged[key] = _bounded(value, MAX_VALUE_CHARS)
    return merged


def merge_metadata(
    *,
    sent: str | None,
    baggage: str | None,
    headers: Mapping[str, str],
    header_names: tuple[str, ...],
    user: object,
    key: Mapping[str, str],
    workspace: Mapping[str, str],
    key_user: str | None,
) -> dict[str, str]:
    """Return the metadata of a request; nothing a caller sends raises.

    From the weakest to the strongest: `user` of the body (as `_user`, when it is a text), the headers that
    `header_names` lists (lower case, as are the names of `headers`; credentials are never copied), the W3C header
    `baggage`, the header `x-portkey-metadata` (`sent`), metadata of the API key, its user (`key_user`, as `_user`),
    metadata of the workspace.

    Bounds: MAX_METADATA_KEYS keys, of which the strongest stay; keys and values are cut to 128 characters, control
    characters are taken out.  Values that are no strings are JSON-encoded, nulls left out.
    """
    return _merged((
        workspace,
        {USER: key_user} if key_user else {},
        key,
        read_metadata(sent),
        read_baggage(baggage),
        _copied(headers, header_names) if header_names else {},
        {USER: user} if isinstance(user, str) and user else {},
    ))  # fmt: skip
