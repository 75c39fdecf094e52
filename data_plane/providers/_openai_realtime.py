"""OpenAI's realtime sessions: how their address is written, and what of their events counts.

A session is a WebSocket on which both sides send events as JSON.  They are relayed as they come; those of the provider
that hold tokens are read along.  Most events are pieces of sound, and are told from the others without decoding them.
Source: https://platform.openai.com/docs/api-reference/realtime
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final
from urllib.parse import quote

import msgspec
import orjson

from data_plane.core.types import CallFacts, Json, Usage
from data_plane.providers._azure import api_version, deployment
from data_plane.providers._openai_like import count, listing, mapping, read_usage
from data_plane.providers.base import Framing, Operation
from shared.errors import BadRequest, GatewayError
from shared.ids import uuid7

#: No recording is longer.
MAX_SECONDS: Final = 10**9
#: Parameters of an address that say what the session is, in place of a model.
_KINDS: Final = ("intent", "call_id")
_TRANSCRIPTION: Final = "transcription"
#: Azure's API versions that mean the surface without deployments in its addresses.
_UNVERSIONED: Final = frozenset({"", "v1", "preview", "latest"})

_DELTA: Final = re.compile(rb'"type"\s*:\s*"[^"\\]*\.delta"')
#: Where an event says its type, if it says it first or behind its id.
_HEAD_BYTES: Final = 160
_SESSION_TYPES: Final = (b'"session.created"', b'"session.updated"')
_DONE: Final = "response.done"
_WRITTEN: Final = "conversation.item.input_audio_transcription.completed"
_USAGE_TYPES: Final = tuple(f'"{kind}"'.encode() for kind in (_DONE, _WRITTEN))


class _Event(msgspec.Struct):
    type: str = ""
    session: Any = None
    response: Any = None
    usage: Any = None


_EVENT: Final = msgspec.json.Decoder(_Event)


def _parts_told(usage: object) -> Usage:
    """Return the tokens of one answer or transcription; the words for their parts are this API's own."""
    told: Mapping[str, Any] = mapping(usage)
    counted = read_usage(told)
    if counted.source == "none":
        seconds: Any = told.get("seconds")
        if type(seconds) not in {int, float} or not 0 < seconds < MAX_SECONDS:
            return counted
        return replace(counted, audio_ms=int(seconds * 1000), source="provider")
    of_input, of_output = mapping(told.get("input_token_details")), mapping(told.get("output_token_details"))
    cached = min(count(of_input.get("cached_tokens")), counted.input)
    # Sound that was cached costs what is cached, and must not be counted as both.
    cached_audio = min(count(mapping(of_input.get("cached_tokens_details")).get("audio_tokens")), cached)
    heard = max(0, count(of_input.get("audio_tokens")) - cached_audio)
    return replace(
        counted,
        cache_read=cached,
        cache_read_audio=cached_audio,
        audio_input=min(heard, counted.input - cached),
        audio_output=min(count(of_output.get("audio_tokens")), counted.output),
        reasoning=min(count(of_output.get("reasoning_tokens")), counted.output),
    )


def _sum(first: Usage, second: Usage) -> Usage:
    return Usage(
        input=first.input + second.input,
        output=first.output + second.output,
        cache_read=first.cache_read + second.cache_read,
        cache_read_audio=first.cache_read_audio + second.cache_read_audio,
        reasoning=first.reasoning + second.reasoning,
        audio_input=first.audio_input + second.audio_input,
        audio_output=first.audio_output + second.audio_output,
        audio_ms=first.audio_ms + second.audio_ms,
    )


def _model_of(session: Mapping[str, Any]) -> str | None:
    """Return the model of a session; one that only writes down what is said names it elsewhere."""
    sound = mapping(mapping(session.get("audio")).get("input"))
    writers = (sound.get("transcription"), session.get("input_audio_transcription"))
    named = (session.get("model"), *(mapping(writer).get("model") for writer in writers))
    return next((name for name in named if isinstance(name, str) and name), None)


class SessionEvents:
    """The events of one session, read along; `usage` is the sum of all its answers."""

    def __init__(self, facts: CallFacts) -> None:
        self.usage: Usage | None = None
        self.model: str | None = facts.model or None
        self.finished = False

    def feed(self, _event: str, data: bytes) -> list[bytes]:
        """Return the event as it came; see `StreamDecoder.feed`.  What cannot be read counts nothing."""
        if _DELTA.search(data, 0, _HEAD_BYTES) is None:
            if any(kind in data for kind in _USAGE_TYPES):
                self._count(data)
            elif any(kind in data for kind in _SESSION_TYPES):
                self._name(data)
        return [data]

    def _count(self, data: bytes) -> None:
        event = _read(data)
        told = {_DONE: mapping(event.response).get("usage"), _WRITTEN: event.usage}
        counted = _parts_told(told.get(event.type))
        if counted.source != "none":
            self.usage = counted if self.usage is None else _sum(self.usage, counted)

    def _name(self, data: bytes) -> None:
        event = _read(data)
        if event.type in {"session.created", "session.updated"}:
            self.model = _model_of(mapping(event.session)) or self.model


def _read(data: bytes) -> _Event:
    try:
        return _EVENT.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return _Event()


def error_event(error: GatewayError) -> bytes:
    """Return the event that tells a client of a session what went wrong."""
    told = {"type": error.code, "code": error.code, "message": error.message, "param": error.path, "event_id": None}
    return orjson.dumps({"type": "error", "event_id": f"event_{uuid7().hex}", "error": told})


def _parameters(body: Json, facts: CallFacts, *, passed: tuple[str, ...]) -> Json:
    """Return the parameters of the address of a session; raises BadRequest for one that names no model."""
    asked = {name: body[name] for name in (*_KINDS, *passed) if isinstance(body.get(name), str) and body[name]}
    # A session that only writes down is told its model in its first event, and refused with one in its address.
    if facts.model and asked.get("intent") != _TRANSCRIPTION:
        return {"model": facts.model, **asked}
    if not any(name in asked for name in _KINDS):
        raise BadRequest("model is required.", path="model")
    return asked


def realtime(provider: str, *, passed: tuple[str, ...] = ()) -> Operation:
    """Return the realtime operation of `provider`; `passed` are parameters that its address knows besides OpenAI's."""
    return replace(
        listing(provider, "/realtime"),
        encode=partial(_parameters, passed=passed),
        decoder=SessionEvents,
        framing=Framing(error_frame=error_event),
        passes_through=False,
        is_socket=True,
    )


def azure_realtime(provider: str) -> Operation:
    """Return the realtime operation as Azure has it: below `/v1`, or with a deployment and a version.

    Source: https://learn.microsoft.com/azure/ai-foundry/openai/how-to/realtime-audio-websockets
    """
    operation = realtime(provider)

    def place(facts: CallFacts) -> str:
        version = api_version(facts)
        return "/v1/realtime" if version.lower() in _UNVERSIONED else f"/realtime?api-version={quote(version)}"

    def encode(body: Json, facts: CallFacts) -> Json:
        asked = _parameters(body, replace(facts, model=deployment(facts)), passed=())
        if api_version(facts).lower() in _UNVERSIONED:
            return asked
        return {("deployment" if name == "model" else name): value for name, value in asked.items()}

    return replace(operation, path=place, encode=encode)
