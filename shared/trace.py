"""Where does a request stand in a trace?  Ids from the caller's headers, metadata or W3C headers, and the way back out.

Each field is taken from the first that names it: `x-portkey-*` header, metadata key, `traceparent`; an id that nobody
named is made.  Callers may use free-form ids, which are kept as they are, cut to a bound; W3C headers know hexadecimal
ones only, so other ids go upstream as a digest, the same one every time.  Sources: W3C Trace Context, W3C Baggage,
`contract.md` 2.1 and 8.3.
"""

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Final, NamedTuple
from urllib.parse import quote, unquote_to_bytes

from shared import wire
from shared.ids import random_hex

MAX_ID_CHARS: Final = 128
MAX_TRACESTATE_CHARS: Final = 512
MAX_BAGGAGE_BYTES: Final = 8192
MAX_BAGGAGE_MEMBERS: Final = 32
TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"

#: Version 00 ends with its flags; a later version may go on, and is read as far as it is known.
_TRACEPARENT: Final = re.compile(
    r"(?:00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}"
    r"|(?!00|ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?)"
)
_HEX_TRACE_ID: Final = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_HEX_SPAN_ID: Final = re.compile(r"[0-9a-f]{16}")
_TRACESTATE: Final = re.compile(r"[\t -~]+")
_BAGGAGE_KEY: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
#: What may stand in a value, with `%` only where it begins an escape.
_BAGGAGE_VALUE: Final = re.compile(r"(?:[!#$&-+\--:<-\[\]-~]|%[0-9A-Fa-f]{2})*")
_BAGGAGE_SAFE: Final = "!#$&'()*+-./:<=>?@[]^_`{|}~"


class Trace(NamedTuple):
    """Where one request stands in a trace; `tracestate` is kept only along with the trace id that it came with."""

    trace_id: str
    span_id: str
    parent_span_id: str | None
    span_name: str | None
    tracestate: str | None = None


def _clean(text: str | None) -> str | None:
    """Drop what must not reach a response header or a log column: anything but printable ASCII."""
    if not text:
        return None
    kept = "".join(char for char in text[:MAX_ID_CHARS] if " " < char <= "~")
    return kept or None


def _clean_name(text: str | None) -> str | None:
    """Clean a span's name, in which blanks may stand: `POST /v1/chat/completions`."""
    if not text:
        return None
    kept = "".join(char for char in text[:MAX_ID_CHARS] if " " <= char <= "~").strip()
    return kept or None


def _parent(header: str | None) -> tuple[str, str] | None:
    """Return trace id and parent id of a `traceparent`, None when it is invalid and counts as absent."""
    match = _TRACEPARENT.fullmatch(header.strip()) if header else None
    if match is None:
        return None
    trace_id, parent = (match[1], match[2]) if match[1] else (match[3], match[4])
    return (trace_id, parent) if trace_id.strip("0") and parent.strip("0") else None


def _state(header: str | None) -> str | None:
    """Return a `tracestate` within its bound: whole members from the left, where the latest ones stand."""
    if not header or not _TRACESTATE.fullmatch(header):
        return None
    if len(header) > MAX_TRACESTATE_CHARS:
        header = header[: MAX_TRACESTATE_CHARS + 1].rpartition(",")[0]
    return header.strip() or None


def read_trace(
    headers: Mapping[str, str], metadata: Mapping[str, str] | None = None, default_name: str | None = None
) -> Trace:
    """Return the trace of a request; `headers` have lower-case names, `metadata` is the caller's.

    `default_name`, such as `POST /v1/chat/completions`, names the span when a `traceparent` was used and nobody else
    gave a name.  Ids are printable ASCII of at most MAX_ID_CHARS characters; what is invalid counts as absent.
    """
    trace_id, span_id = _clean(headers.get(wire.TRACE_ID)), _clean(headers.get(wire.SPAN_ID))
    parent, name = _clean(headers.get(wire.PARENT_SPAN_ID)), _clean_name(headers.get(wire.SPAN_NAME))
    if metadata:
        trace_id = trace_id or _clean(metadata.get("traceId"))
        span_id = span_id or _clean(metadata.get("spanId"))
        parent = parent or _clean(metadata.get("parentSpanId"))
        name = name or _clean_name(metadata.get("spanName"))
    state = None
    traceparent = headers.get(TRACEPARENT)
    found = _parent(traceparent) if traceparent else None
    if found is not None and not (trace_id and parent):
        if trace_id is None:
            trace_id, state = found[0], _state(headers.get(TRACESTATE))
        parent = parent or found[1]
        name = name or _clean_name(default_name)
    return Trace(trace_id or random_hex(16), span_id or random_hex(8), parent, name, state)


def _digest(text: str, chars: int) -> str:
    made = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:chars]
    return made if made.strip("0") else made[:-1] + "1"


def traceparent_of(trace: Trace, sampled: bool = True) -> str | None:  # noqa: FBT001, FBT002 -- reads well by position
    """Return the W3C `traceparent` for a call made within `trace`; None when it has no trace id.

    A trace id of 32 hexadecimal digits, or a UUID, is kept (in lower case, without hyphens); from any other follows
    the same 32 digits every time.  The parent is our span, likewise.  Never all zeros, which the standard forbids.
    """
    if not trace.trace_id:
        return None
    lowered = trace.trace_id.lower()
    trace_id = lowered.replace("-", "") if _HEX_TRACE_ID.fullmatch(lowered) else ""
    span_id = trace.span_id.lower()
    if not trace_id.strip("0"):
        trace_id = _digest(trace.trace_id, 32)
    if not _HEX_SPAN_ID.fullmatch(span_id) or not span_id.strip("0"):
        span_id = _digest(trace.span_id, 16)
    return f"00-{trace_id}-{span_id}-{'01' if sampled else '00'}"


def _member(text: str) -> tuple[str, str] | None:
    """Return key and decoded value of one member of a baggage list, without its properties; None when it is bad."""
    key, equals, value = text.partition(";")[0].partition("=")
    key, value = key.strip(" \t"), value.strip(" \t")
    if not equals or not _BAGGAGE_KEY.fullmatch(key) or not _BAGGAGE_VALUE.fullmatch(value):
        return None
    if "%" not in value:
        return key, value
    try:
        return key, unquote_to_bytes(value).decode()
    except UnicodeDecodeError:
        return None


def read_baggage(header: str | None) -> dict[str, str]:
    """Return the members of a W3C `baggage` header, values percent-decoded; bad members are left out.

    Of a header beyond MAX_BAGGAGE_BYTES the whole members within them count, and MAX_BAGGAGE_MEMBERS at most; of
    members with one key the last.  Values may hold any character that UTF-8 can spell, control characters among them.
    """
    if not header:
        return {}
    if len(header) > MAX_BAGGAGE_BYTES:
        header = header[: MAX_BAGGAGE_BYTES + 1].rpartition(",")[0]
    members = (_member(text) for text in header.split(",", MAX_BAGGAGE_MEMBERS)[:MAX_BAGGAGE_MEMBERS])
    return {member[0]: member[1] for member in members if member is not None}


def baggage_of(metadata: Mapping[str, str]) -> str | None:
    """Return the W3C `baggage` header of `metadata`, None when nothing of it can be sent.

    Left out are keys that are no tokens of HTTP, what UTF-8 cannot spell, and what exceeds the bounds of a header:
    MAX_BAGGAGE_MEMBERS and MAX_BAGGAGE_BYTES.
    """
    members: list[str] = []
    size = -1
    for key, value in metadata.items():
        if not _BAGGAGE_KEY.fullmatch(key):
            continue
        try:
            member = f"{key}={quote(value, safe=_BAGGAGE_SAFE)}"
        except UnicodeEncodeError:
            continue
        if size + 1 + len(member) > MAX_BAGGAGE_BYTES:
            continue
        size += 1 + len(member)
        members.append(member)
        if len(members) == MAX_BAGGAGE_MEMBERS:
            break
    return ",".join(members) or None
