"""Streams whose events say their type, at providers that speak the caller's own language.

The events are relayed as they come.  Who reads along says which members count, and what they mean.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Generic, TypeVar

import msgspec

from data_plane.core.types import CallFacts, Usage
from data_plane.providers._openai_like import DONE
from shared.errors import UpstreamBroken

Event = TypeVar("Event", bound=msgspec.Struct)


class RelayedEvents(ABC, Generic[Event]):
    """One stream, relayed event by event; see `StreamDecoder`.

    `decoder` reads those members of an event that count.
    """

    decoder: ClassVar[msgspec.json.Decoder[Any]]

    def __init__(self, _facts: CallFacts, *, provider: str) -> None:
        self.usage: Usage | None = None
        self.model: str | None = None
        self.finished = False
        self.provider = provider

    @abstractmethod
    def note(self, event: Event) -> None:
        """Take in what an event says; raises UpstreamBroken for one that is an error."""

    def feed(self, _event: str, data: bytes) -> list[bytes]:
        """Return the event's data; see `StreamDecoder.feed`."""
        text = data.strip()
        if not text or text == DONE:
            return []
        try:
            event = self.decoder.decode(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            raise UpstreamBroken(f"{self.provider} sent a piece of the answer that cannot be understood.") from None
        self.note(event)
        return [text]
