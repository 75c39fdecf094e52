"""OpenAI's endpoints for pictures, sound and judgements: what they take passes through, their answers are read along.

Requests with files are forms; streams consist of typed events, which are relayed as they come.
Source: https://platform.openai.com/docs/api-reference/audio, …/images, …/moderations
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

import msgspec

from data_plane.core.types import CallFacts, Json, Usage
from data_plane.providers._openai_like import listing, mapping, read_usage, told_error
from data_plane.providers._relayed_events import RelayedEvents
from data_plane.providers._responses_adapter import error_event
from data_plane.providers.base import Framing, Operation
from data_plane.providers.sse import named_frame
from shared.errors import UpstreamBroken, UpstreamInvalid

#: The event after which nothing of an answer is missing.
_LAST: Final = frozenset({"transcript.text.done", "image_generation.completed", "image_edit.completed"})
_TYPED_EVENTS: Final = Framing(frame=named_frame, error_frame=error_event, end=b"")


class _Event(msgspec.Struct):
    """What is read of an event; a picture inside it is skipped without being copied."""

    type: str
    usage: Any = None
    error: Any = None
    message: Any = None
    code: Any = None


class TypedEvents(RelayedEvents[_Event]):
    """One stream of pictures, or of what is heard."""

    decoder = msgspec.json.Decoder(_Event)

    def __init__(self, facts: CallFacts, *, provider: str) -> None:
        super().__init__(facts, provider=provider)
        self._images = 0

    def note(self, event: _Event) -> None:
        """Take in what an event says; raises UpstreamBroken for one that is an error."""
        if event.type == "error" or event.error:
            told = event.error or {"message": event.message, "code": event.code}
            raise UpstreamBroken(told_error(self.provider, {"error": told}))
        if event.type in _LAST:
            self._end(event)

    def _end(self, event: _Event) -> None:
        self.finished = True
        self._images += event.type != "transcript.text.done"
        self.usage = replace(_sound_usage({"usage": event.usage}), images=self._images)
        if self._images and self.usage.source == "none":
            self.usage = replace(self.usage, source="provider")


def image_usage(answer: Json) -> Usage:
    """Return the tokens of an answer with pictures, if any are stated, and how many pictures it has."""
    listed = answer.get("data")
    made = len(listed) if isinstance(listed, list) else 0
    return replace(read_usage(answer.get("usage")), images=made, source="provider")


def image(provider: str, path: str = "/images/generations") -> Operation:
    """Return an operation of `provider` that answers with pictures: generations, edits or variations, by `path`."""
    return replace(
        listing(provider, path),
        usage=image_usage,
        decoder=partial(TypedEvents, provider=provider),
        framing=_TYPED_EVENTS,
    )


def _milliseconds(value: object) -> int:
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else 0
    return int(number * 1000) if 0 < number < 10**9 else 0


def _sound_usage(answer: Json) -> Usage:
    """Return what a transcription counted: tokens, or else how long the sound was."""
    told = mapping(answer.get("usage"))
    counted = read_usage(told)
    if counted.source != "none":
        # Transcriptions have their details under another name than chats.
        heard = mapping(told.get("input_token_details")).get("audio_tokens")
        return replace(counted, audio_input=heard) if type(heard) is int and 0 < heard <= counted.input else counted
    heard_ms = _milliseconds(told.get("seconds")) or _milliseconds(answer.get("duration"))
    return replace(counted, audio_ms=heard_ms, source="provider") if heard_ms else counted


def _decode_text(answer: Json, _facts: CallFacts, *, provider: str) -> Json:
    if not isinstance(answer.get("text"), str):
        if answer.get("error"):
            raise UpstreamInvalid(told_error(provider, answer))
        raise UpstreamInvalid(f"Invalid response received from {provider}.")
    answer["provider"] = provider
    return answer


def _encode_form(body: Json, facts: CallFacts) -> Json:
    return {**body, "model": facts.model} if facts.model else body


def transcription(provider: str, path: str = "/audio/transcriptions") -> Operation:
    """Return the operation of `provider` that writes down what is said: as JSON, as a text or as subtitles."""
    return replace(
        listing(provider, path),
        encode=_encode_form,
        decode=partial(_decode_text, provider=provider),
        usage=_sound_usage,
        decoder=partial(TypedEvents, provider=provider),
        framing=_TYPED_EVENTS,
        text_too=True,
        passes_through=False,
    )


def translation(provider: str) -> Operation:
    """Return the operation of `provider` that writes down in English what is said."""
    return transcription(provider, "/audio/translations")


def image_form(provider: str, path: str) -> Operation:
    """Return an operation of `provider` that makes pictures of the pictures in a form: edits or variations."""
    return replace(image(provider, path), encode=_encode_form, passes_through=False)


def moderation(provider: str, path: str = "/moderations") -> Operation:
    """Return the operation of `provider` that judges texts and pictures."""
    return replace(listing(provider, path, holds="results"), encode=_encode_form)


def forms(provider: str, *names: str) -> Mapping[str, Operation]:
    """Return the operations `names` of `provider` among those that take files, at OpenAI's own paths."""
    made = {
        "transcribe": transcription(provider),
        "translate": translation(provider),
        "edit_image": image_form(provider, "/images/edits"),
        "vary_image": image_form(provider, "/images/variations"),
    }
    return {name: made[name] for name in names}
