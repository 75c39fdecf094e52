"""Chat at Vertex AI: one operation that speaks to each model in its own tongue.

Source: https://docs.cloud.google.com/vertex-ai/generative-ai/docs/partner-models/claude/use-claude,
https://docs.cloud.google.com/vertex-ai/generative-ai/docs/open-models/use-maas
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from data_plane.core.types import CallFacts, Json
from data_plane.providers._anthropic_like import messages
from data_plane.providers._gemini_answer import read_google_fault
from data_plane.providers._gemini_count import vertex_count
from data_plane.providers._gemini_like import gemini_chat, method
from data_plane.providers._openai_like import chat, usage_of
from data_plane.providers._vertex_models import Tongue, find_model
from data_plane.providers.base import Operation, StreamDecoder

_ID: Final = "vertex-ai"
#: Says, in the body, which version of its API Claude is asked by.
CLAUDE_VERSION: Final = "vertex-2023-10-16"


def _raw_method(facts: CallFacts) -> str:
    return ":streamRawPredict" if facts.stream else ":rawPredict"


_METHODS: Final[Mapping[Tongue, Callable[[CallFacts], str]]] = {
    Tongue.GEMINI: method,
    Tongue.CLAUDE: _raw_method,
    Tongue.RAW: _raw_method,
    Tongue.OPEN: lambda _facts: "/chat/completions",
    Tongue.DEPLOYED: lambda _facts: "/chat/completions",
}


def _path(facts: CallFacts) -> str:
    model = find_model(facts.model)
    return model.path + _METHODS[model.tongue](facts)


_OPERATIONS: Final[Mapping[Tongue, Operation]] = {
    Tongue.GEMINI: gemini_chat(_ID, _path),
    Tongue.CLAUDE: messages(_ID),
    # These publishers' own servers answer, which count without being asked and refuse to be.
    Tongue.RAW: chat(_ID, asks_usage=False),
    Tongue.OPEN: chat(_ID),
    Tongue.DEPLOYED: chat(_ID),
}


def _spoken(facts: CallFacts) -> tuple[Tongue, Operation, CallFacts]:
    """Return how a call is spoken, and its facts with the name that the model has there."""
    model = find_model(facts.model)
    known = facts if model.name == facts.model else replace(facts, model=model.name)
    return model.tongue, _OPERATIONS[model.tongue], known


def _encode(body: Json, facts: CallFacts) -> Json:
    tongue, operation, known = _spoken(facts)
    request = operation.encode(body, known)
    if tongue is Tongue.CLAUDE:
        # The path names the model; the tiers that Anthropic sells are not Google's.
        request = {"anthropic_version": CLAUDE_VERSION, **request}
        for name in ("model", "service_tier"):
            request.pop(name, None)
    elif tongue is Tongue.RAW:
        request["model"] = known.model.partition("@")[0]
    return request


def _decode(answer: Json, facts: CallFacts) -> Json:
    _, operation, known = _spoken(facts)
    return operation.decode(answer, known)


def _decoder(facts: CallFacts) -> StreamDecoder:
    _, operation, known = _spoken(facts)
    return operation.decoder(known)


_COUNT: Final = vertex_count(_ID, _OPERATIONS[Tongue.GEMINI], lambda facts: find_model(facts.model).path)


def gemini_count(model: str) -> Operation | None:
    """Return the operation that counts the tokens of a message for a Gemini, None for any other model."""
    return _COUNT if find_model(model).tongue is Tongue.GEMINI else None


def vertex_chat() -> Operation:
    """Return Vertex AI's chat operation."""
    return Operation(
        path=_path, encode=_encode, decode=_decode, usage=usage_of, decoder=_decoder, fault=read_google_fault
    )
