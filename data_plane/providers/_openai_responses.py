"""OpenAI's Responses API for callers who speak it, at providers that have it: nothing is translated, only read along.

Source: https://platform.openai.com/docs/api-reference/responses
"""

from functools import partial
from typing import Any, Final

import msgspec

from data_plane.core.types import CallFacts, Json, Usage
from data_plane.providers._openai_like import mapping, read_fault, read_usage, told_error
from data_plane.providers._responses_adapter import error_event
from data_plane.providers.base import Framing, Operation
from data_plane.providers.sse import named_frame
from shared.errors import UpstreamBroken, UpstreamInvalid

#: Events that end a response; after `failed` too nothing more comes, and the response itself says why.
_LAST: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})


def _encode(body: Json, facts: CallFacts) -> Json:
    return {**body, "model": facts.model}


def _decode(answer: Json, _facts: CallFacts, *, provider: str) -> Json:
    if not isinstance(answer.get("output"), list):
        if answer.get("error"):
            raise UpstreamInvalid(told_error(provider, answer))
        raise UpstreamInvalid(f"Invalid response received from {provider}.")
    answer["provider"] = provider
    return answer


def _usage(answer: Json) -> Usage:
    return read_usage(answer.get("usage"))


class _Event(msgspec.Struct):
    type: str
    response: dict[str, Any] | None = None
    message: Any = None
    code: Any = None


_EVENT: Final = msgspec.json.Decoder(_Event)


class NativeResponseEvents:
    """One stream, relayed event by event as it comes."""

    def __init__(self, _facts: CallFacts, *, provider: str) -> None:
        self.usage: Usage | None = None
        self.model: str | None = None
        self.finished = False
        self._provider = provider

    def feed(self, _event: str, data: bytes) -> list[bytes]:
        """Return the event's data; see `StreamDecoder.feed`."""
        text = data.strip()
        if not text or text == b"[DONE]":
            return []
        try:
            event = _EVENT.decode(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            raise UpstreamBroken(f"{self._provider} sent a piece of the answer that cannot be understood.") from None
        if event.type == "error":
            raise UpstreamBroken(told_error(self._provider, {"error": {"message": event.message, "code": event.code}}))
        told = mapping(event.response)
        if isinstance(told.get("model"), str):
            self.model = told["model"]
        if event.type in _LAST:
            self.finished = True
            self.usage = read_usage(told.get("usage"))
        return [text]


def native_responses(provider: str, *, path: str = "/responses") -> Operation:
    """Return the Responses operation of a `provider` (its id) that has OpenAI's own."""
    return Operation(
        path=path,
        encode=_encode,
        decode=partial(_decode, provider=provider),
        usage=_usage,
        decoder=partial(NativeResponseEvents, provider=provider),
        fault=read_fault,
        passes_through=True,
        framing=Framing(frame=named_frame, error_frame=error_event, end=b""),
    )
