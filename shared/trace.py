"""Trace and span ids: made, or taken from the caller's headers and W3C `traceparent`.

Source: W3C Trace Context, level 1.  Callers may use free-form trace ids; they are kept as they are, cut to a bound.
"""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from shared import wire
from shared.ids import random_hex

MAX_ID_CHARS: Final = 128
_TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?")


class Trace(NamedTuple):
    """Where one request stands in a trace."""

    trace_id: str
    span_id: str
    parent_span_id: str | None
    span_name: str | None


def _clean(text: str | None) -> str | None:
    """Drop what must not reach a response header or a log column: anything but printable ASCII."""
    if not text:
        return None
    kept = "".join(char for char in text[:MAX_ID_CHARS] if " " < char <= "~")
    return kept or None


def read_trace(headers: Mapping[str, str]) -> Trace:
    """Return the trace of a request; `headers` have lower-case names.  `x-portkey-*` win over `traceparent`."""
    trace_id, parent = _clean(headers.get(wire.TRACE_ID)), _clean(headers.get(wire.PARENT_SPAN_ID))
    traceparent = headers.get("traceparent")
    if traceparent:
        match = _TRACEPARENT.fullmatch(traceparent.strip())
        if match and match[1].strip("0") and match[2].strip("0"):
            trace_id = trace_id or match[1]
            parent = parent or match[2]
    return Trace(
        trace_id or random_hex(16),
        _clean(headers.get(wire.SPAN_ID)) or random_hex(8),
        parent,
        _clean(headers.get(wire.SPAN_NAME)),
    )
