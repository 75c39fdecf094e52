"""What does a container behind a SageMaker endpoint say?  Its stream inside AWS's, and its error inside AWS's.

A stream comes in parts of bytes that are cut anywhere; put together they are server-sent events or, from some
containers, one line of JSON for each chunk.
Source: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_ResponseStream.html
"""

from dataclasses import replace
from typing import Any, Final

import orjson

from data_plane.core.types import Json
from data_plane.providers._aws import EventStreamSplitter
from data_plane.providers._openai_like import mapping, read_fault
from data_plane.providers.base import ProviderFault, Splitter
from data_plane.providers.sse import MAX_EVENT_BYTES, SseSplitter
from shared.errors import UpstreamInvalid

_PART: Final = "PayloadPart"
_ERRORS: Final = ("exception:", "error:")
Event = tuple[str, bytes]


def _object(text: Any) -> Json | None:
    try:
        told = orjson.loads(text)
    except (orjson.JSONDecodeError, TypeError):
        return None
    return told if isinstance(told, dict) else None


def read_container_fault(status: int, body: Json | None) -> ProviderFault:
    """Return the error of the container when the endpoint tells it, else the endpoint's own.

    The endpoint's sentence about a container's error is not shown: it holds the account's number and its logs' place.
    """
    told = mapping(body)
    original = told.get("OriginalMessage")
    if isinstance(original, str) and original:
        inner = _object(original)
        fault = ProviderFault(original) if inner is None else read_fault(status, inner)
        return fault if fault.type else replace(fault, type="ModelError")
    if isinstance(told.get("Message"), str) and told["Message"]:
        code = told.get("ErrorCode")
        return ProviderFault(told["Message"], code=code if isinstance(code, str) else None)
    return read_fault(status, body)


class LineSplitter:
    """Cuts lines of JSON into events."""

    def __init__(self) -> None:
        self._pending = b""

    def feed(self, piece: bytes) -> list[Event]:
        """Return the lines that `piece` completes; raises UpstreamInvalid for one that is too long."""
        *lines, self._pending = (self._pending + piece).split(b"\n")
        if len(self._pending) > MAX_EVENT_BYTES:
            raise UpstreamInvalid("The provider sent an event that is too large.")
        return [("", line) for line in lines if line.strip()]

    def close(self) -> list[Event]:
        """Return the last line when nothing ends it."""
        line, self._pending = self._pending, b""
        return [("", line)] if line.strip() else []


class PayloadSplitter:
    """Cuts a stream of an endpoint into the events of its container; an error is an event named `error`."""

    def __init__(self) -> None:
        self._outer = EventStreamSplitter()
        self._inner: Splitter | None = None

    def feed(self, piece: bytes) -> list[Event]:
        """Return the events that `piece` completes; raises UpstreamBroken and UpstreamInvalid for what is none."""
        return self._unwrapped(self._outer.feed(piece))

    def close(self) -> list[Event]:
        """Return the container's last event; raises UpstreamBroken when the stream ended inside a message."""
        events = self._unwrapped(self._outer.close())
        return events if self._inner is None else [*events, *self._inner.close()]

    def _unwrapped(self, messages: list[Event]) -> list[Event]:
        events: list[Event] = []
        for name, data in messages:
            if name == _PART:
                events += self._of_part(data)
            elif name.startswith(_ERRORS):
                fault = read_container_fault(500, _object(data))
                events.append(("error", orjson.dumps({"error": {"message": fault.message, "code": fault.code}})))
        return events

    def _of_part(self, data: bytes) -> list[Event]:
        if self._inner is None:
            if not data.strip():
                return []
            self._inner = LineSplitter() if data.lstrip()[:1] == b"{" else SseSplitter()
        return self._inner.feed(data)
