"""Anthropic's Messages API for callers who speak it themselves: nothing is translated, only read along.

Source: https://docs.anthropic.com/en/api/messages
"""

from functools import partial
from typing import Any, Final

import msgspec

from data_plane.core.types import NO_USAGE, CallFacts, Json, Usage
from data_plane.providers._anthropic_answer import openai_usage
from data_plane.providers._messages_adapter import error_event
from data_plane.providers._openai_like import mapping, read_fault, read_usage, told_error
from data_plane.providers.base import Framing, Operation
from data_plane.providers.sse import named_frame
from shared.errors import UpstreamBroken, UpstreamInvalid


def _encode(body: Json, facts: CallFacts) -> Json:
    return {**body, "model": facts.model}


def _decode(answer: Json, _facts: CallFacts, *, provider: str) -> Json:
    if not isinstance(answer.get("content"), list):
        if answer.get("error"):
            raise UpstreamInvalid(told_error(provider, answer))
        raise UpstreamInvalid(f"Invalid response received from {provider}.")
    answer["provider"] = provider
    return answer


def usage_of(answer: Json) -> Usage:
    """Return the tokens of a message; `NO_USAGE` when it counts nothing."""
    told = mapping(answer.get("usage"))
    return read_usage(openai_usage(told)) if told else NO_USAGE


class _Event(msgspec.Struct):
    type: str
    message: dict[str, Any] | None = None
    usage: dict[str, Any] | None = None
    error: Any = None


_EVENT: Final = msgspec.json.Decoder(_Event)


class NativeEvents:
    """One stream, relayed event by event as it comes."""

    def __init__(self, _facts: CallFacts, *, provider: str) -> None:
        self.usage: Usage | None = None
        self.model: str | None = None
        self.finished = False
        self._provider = provider
        self._told: Json = {}

    def feed(self, _event: str, data: bytes) -> list[bytes]:
        """Return the event's data; see `StreamDecoder.feed`."""
        text = data.strip()
        if not text:
            return []
        try:
            event = _EVENT.decode(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            raise UpstreamBroken(f"{self._provider} sent a piece of the answer that cannot be understood.") from None
        if event.type == "error":
            raise UpstreamBroken(told_error(self._provider, {"error": event.error}))
        started = mapping(event.message)
        if isinstance(started.get("model"), str):
            self.model = started["model"]
        counted = {**mapping(started.get("usage")), **(event.usage or {})}
        if counted:
            self._told |= counted
            self.usage = read_usage(openai_usage(self._told))
        self.finished = self.finished or event.type == "message_stop"
        return [text]


def native_messages(provider: str, *, path: str = "/messages") -> Operation:
    """Return the Messages operation of a `provider` (its id) that has Anthropic's own."""
    return Operation(
        path=path,
        encode=_encode,
        decode=partial(_decode, provider=provider),
        usage=usage_of,
        decoder=partial(NativeEvents, provider=provider),
        fault=read_fault,
        passes_through=True,
        framing=Framing(frame=named_frame, error_frame=error_event, end=b""),
    )
