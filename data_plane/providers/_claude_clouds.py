"""Claude in other houses, for callers who speak Anthropic's Messages API: Vertex AI, Bedrock and Azure AI Foundry.

Nothing is translated: the model moves into the path, the version of the API into the body, and Bedrock wraps every
event of a stream.  What no Claude is goes through the provider's chat.
Source: https://docs.anthropic.com/en/api/claude-on-vertex-ai, …/claude-on-amazon-bedrock,
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_CountTokens.html
"""

import binascii
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final
from urllib.parse import quote

import msgspec
import orjson

from data_plane.core.types import CallFacts, Json
from data_plane.providers._anthropic_like import messages
from data_plane.providers._anthropic_native import NativeEvents, native_messages
from data_plane.providers._aws import EVENT_STREAM, EventStreamSplitter
from data_plane.providers._converse_answer import read_bedrock_fault
from data_plane.providers._count_tokens import counting
from data_plane.providers._gemini_answer import read_google_fault
from data_plane.providers._vertex_models import Tongue, find_model
from data_plane.providers.base import Operation
from shared.errors import BadRequest, UpstreamBroken

#: Chooses an operation by the name of a model; None: the provider's usual one.
Chosen = Mapping[str, Callable[[str], Operation | None]]

VERTEX_VERSION: Final = "vertex-2023-10-16"
BEDROCK_VERSION: Final = "bedrock-2023-05-31"
#: What Anthropic itself sells and others do not.
_ANTHROPICS_OWN: Final = frozenset({"service_tier", "container", "inference_geo"})


def _own_body(body: Json, version: str) -> Json:
    kept = {name: value for name, value in body.items() if name not in _ANTHROPICS_OWN and name != "model"}
    return {"anthropic_version": version, **kept}


# Vertex AI


def _vertex_path(facts: CallFacts) -> str:
    return find_model(facts.model).path + (":streamRawPredict" if facts.stream else ":rawPredict")


def _vertex_count_path(facts: CallFacts) -> str:
    return find_model(facts.model).path.rpartition("/")[0] + "/count-tokens:rawPredict"


def _vertex_count(body: Json, facts: CallFacts) -> Json:
    return {**_own_body(body, VERTEX_VERSION), "model": find_model(facts.model).name}


_VERTEX: Final = replace(
    native_messages("vertex-ai"),
    path=_vertex_path,
    encode=lambda body, _facts: _own_body(body, VERTEX_VERSION),
    fault=read_google_fault,
    passes_through=False,
)
_VERTEX_COUNT: Final = counting(_VERTEX, "vertex-ai", _vertex_count_path, encode=_vertex_count)


def _on_vertex(operation: Operation) -> Callable[[str], Operation | None]:
    return lambda model: operation if find_model(model).tongue is Tongue.CLAUDE else None


ON_VERTEX: Final[Chosen] = {"messages": _on_vertex(_VERTEX), "count_tokens": _on_vertex(_VERTEX_COUNT)}


# Bedrock


class _Piece(msgspec.Struct):
    bytes: str = ""


_PIECE: Final = msgspec.json.Decoder(_Piece)


class BedrockEvents(NativeEvents):
    """One stream of Anthropic's events, each inside an event of AWS's."""

    def __init__(self, facts: CallFacts) -> None:
        super().__init__(facts, provider="bedrock")

    def feed(self, event: str, data: bytes) -> list[bytes]:
        """Return the event that is wrapped; see `StreamDecoder.feed`."""
        if event != "chunk":
            self._refuse(event, data)
            return []
        try:
            inner = b64decode(_PIECE.decode(data).bytes, validate=True)
        except (msgspec.DecodeError, UnicodeError, binascii.Error, ValueError):
            raise UpstreamBroken("bedrock sent a piece of the answer that cannot be understood.") from None
        return [_without_metrics(piece) for piece in super().feed("", inner)]

    @staticmethod
    def _refuse(event: str, data: bytes) -> None:
        """Raise UpstreamBroken for an event that is an error; one of a kind that is yet to come says nothing here."""
        if event.startswith(("exception:", "error:")):
            try:
                told: Any = orjson.loads(data)
            except orjson.JSONDecodeError:
                told = None
            fault = read_bedrock_fault(500, told if isinstance(told, dict) else None)
            raise UpstreamBroken(f"bedrock error: {fault.message}")


def _without_metrics(piece: bytes) -> bytes:
    """Return an event without what Bedrock adds to the last one, which is no part of Anthropic's API."""
    if b"amazon-bedrock-" not in piece:
        return piece
    try:
        told = orjson.loads(piece)
    except orjson.JSONDecodeError:
        return piece
    return orjson.dumps({name: value for name, value in told.items() if not name.startswith("amazon-bedrock-")})


def _bedrock_path(facts: CallFacts) -> str:
    return _model_path(facts, "invoke-with-response-stream" if facts.stream else "invoke")


def _model_path(facts: CallFacts, action: str) -> str:
    if facts.model.strip(".") == "":
        raise BadRequest("model must name a model.", path="model")
    return f"/model/{quote(facts.model, safe='', errors='replace')}/{action}"


def _bedrock_body(body: Json, facts: CallFacts) -> Json:
    shaped = _own_body(body, BEDROCK_VERSION)
    shaped.pop("stream", None)
    betas = [beta.strip() for beta in facts.headers.get("anthropic-beta", "").split(",") if beta.strip()]
    if betas and "anthropic_beta" not in shaped:
        shaped["anthropic_beta"] = betas
    return shaped


def _bedrock_count(body: Json, facts: CallFacts) -> Json:
    # The body is checked as a whole call, and a call must say how long its answer may be.
    shaped = {"max_tokens": 1, **_bedrock_body(body, facts)}
    try:
        inner = orjson.dumps(shaped)
    except TypeError:
        raise BadRequest("The body cannot be written as JSON.", path="messages") from None
    return {"input": {"invokeModel": {"body": b64encode(inner).decode()}}}


_BEDROCK: Final = replace(
    native_messages("bedrock"),
    path=_bedrock_path,
    encode=_bedrock_body,
    decoder=BedrockEvents,
    fault=read_bedrock_fault,
    passes_through=False,
    framing=replace(native_messages("bedrock").framing, splitter=EventStreamSplitter, content_type=EVENT_STREAM),
)
_BEDROCK_COUNT: Final = counting(
    _BEDROCK, "bedrock", partial(_model_path, action="count-tokens"), encode=_bedrock_count, holds="inputTokens"
)


def _on_bedrock(operation: Operation) -> Callable[[str], Operation | None]:
    return lambda model: operation if "anthropic.claude" in model else None


ON_BEDROCK: Final[Chosen] = {"messages": _on_bedrock(_BEDROCK), "count_tokens": _on_bedrock(_BEDROCK_COUNT)}


# Azure AI Foundry


def _beside(operation: Operation) -> Operation:
    return replace(operation, beside="/models")


_AZURE: Final = _beside(native_messages("azure-ai", path="/anthropic/v1/messages"))
_AZURE_COUNT: Final = _beside(counting(_AZURE, "azure-ai", "/anthropic/v1/messages/count_tokens", encode=_AZURE.encode))
_AZURE_CHAT: Final = _beside(messages("azure-ai", path="/anthropic/v1/messages"))


def _on_azure(operation: Operation) -> Callable[[str], Operation | None]:
    return lambda model: operation if is_foundry_claude(model) else None


def is_foundry_claude(model: str) -> bool:
    """Return whether a deployment at Foundry is a Claude: they are named after their models."""
    return model.lower().startswith("claude")


ON_AZURE: Final[Chosen] = {
    "chat": _on_azure(_AZURE_CHAT), "messages": _on_azure(_AZURE), "count_tokens": _on_azure(_AZURE_COUNT),
}  # fmt: skip
