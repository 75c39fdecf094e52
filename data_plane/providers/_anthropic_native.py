"""Anthropic's Messages API for callers who speak it themselves: nothing is translated, only read along.

Source: https://docs.anthropic.com/en/api/messages
"""

from dataclasses import replace
from functools import partial
from typing import Any

import msgspec

from data_plane.core.types import NO_USAGE, CallFacts, Json, Usage
from data_plane.providers._anthropic_answer import counted_usage
from data_plane.providers._messages_adapter import error_event
from data_plane.providers._openai_like import listing, mapping, told_error
from data_plane.providers._relayed_events import RelayedEvents
from data_plane.providers.base import Framing, Operation
from data_plane.providers.sse import named_frame
from shared.errors import UpstreamBroken


def usage_of(answer: Json) -> Usage:
    """Return the tokens of a message; `NO_USAGE` when it counts nothing."""
    told = mapping(answer.get("usage"))
    return counted_usage(told) if told else NO_USAGE


class _Event(msgspec.Struct):
    type: str
    message: dict[str, Any] | None = None
    usage: dict[str, Any] | None = None
    error: Any = None


class NativeEvents(RelayedEvents[_Event]):
    """One stream of a message."""

    decoder = msgspec.json.Decoder(_Event)

    def __init__(self, facts: CallFacts, *, provider: str) -> None:
        super().__init__(facts, provider=provider)
        self._told: Json = {}

    def note(self, event: _Event) -> None:
        """Take in what an event says; raises UpstreamBroken for one that is an error."""
        if event.type == "error":
            raise UpstreamBroken(told_error(self.provider, {"error": event.error}))
        started = mapping(event.message)
        if isinstance(started.get("model"), str):
            self.model = started["model"]
        counted = {**mapping(started.get("usage")), **(event.usage or {})}
        if counted:
            self._told |= counted
            self.usage = counted_usage(self._told)
        self.finished = self.finished or event.type == "message_stop"


def native_messages(provider: str, *, path: str = "/messages") -> Operation:
    """Return the Messages operation of a `provider` (its id) that has Anthropic's own."""
    return replace(
        listing(provider, path, holds="content"),
        usage=usage_of,
        decoder=partial(NativeEvents, provider=provider),
        framing=Framing(frame=named_frame, error_frame=error_event, end=b""),
    )
