"""Whose model is it, and where does it stand at Vertex AI?  The name of a model decides how it is spoken to.

A model is named as its publisher names it (`claude-sonnet-4-5@20250929`, `meta/llama-3.3-70b-instruct-maas`), with the
publisher before a dot (`anthropic.claude-…`), or by its whole path (`publishers/google/models/gemini-…`).  Models that
an account has deployed itself are `endpoints/123` when they speak Gemini's API, `endpoints.123` when OpenAI's.
Source: https://docs.cloud.google.com/vertex-ai/generative-ai/docs/partner-models/use-partner-models
"""

import re
from enum import Enum
from functools import lru_cache
from typing import Final, NamedTuple

from data_plane.providers._gemini_like import step_of
from shared.errors import BadRequest


class Tongue(Enum):
    """The API that a model is spoken to in."""

    GEMINI = "Gemini's own"
    CLAUDE = "Anthropic's Messages"
    RAW = "OpenAI's chat, under the model's own path"
    OPEN = "OpenAI's chat, at the endpoint of all open models"
    DEPLOYED = "OpenAI's chat, at an endpoint of the account"


class VertexModel(NamedTuple):
    """One model: its tongue, its name in a body, and the path of its resource."""

    tongue: Tongue
    name: str
    path: str


_PUBLISHED: Final = re.compile(r"publishers/([^/]+)/models/([^/]+)")
#: Publishers that may stand before a dot, where other names have dots of their own.
_DOTTED: Final = re.compile(r"(google|anthropic|meta|mistralai|ai21|qwen|deepseek-ai|openai|endpoints)\.(.+)")
#: Publishers whose models answer at their own paths; those of all others are open models.
_TONGUES: Final = {
    "google": Tongue.GEMINI, "anthropic": Tongue.CLAUDE, "mistralai": Tongue.RAW, "ai21": Tongue.RAW,
}  # fmt: skip
_ENDPOINTS: Final = "endpoints"


def _publisher(model: str) -> tuple[str, str]:
    """Return (publisher, name) of a model."""
    if match := _PUBLISHED.fullmatch(model) or _DOTTED.fullmatch(model):
        return match[1], match[2]
    publisher, slash, name = model.partition("/")
    if slash:
        return publisher, name
    if model.startswith("claude"):
        return "anthropic", model
    return "google", model


@lru_cache(maxsize=1024)
def find_model(model: str) -> VertexModel:
    """Return what `model` names; raises BadRequest for what can be no model."""
    if len(model) > 400:
        raise BadRequest("model is no name of a model.", path="model")
    publisher, name = _publisher(model)
    if publisher == _ENDPOINTS:
        # The dot is for what speaks OpenAI's API; the slash is how Google writes the path of a tuned Gemini.
        tongue = Tongue.DEPLOYED if model.startswith("endpoints.") else Tongue.GEMINI
        return VertexModel(tongue, name, f"/endpoints/{step_of(name)}")
    tongue = _TONGUES.get(publisher, Tongue.OPEN)
    if tongue is Tongue.OPEN:
        return VertexModel(tongue, f"{step_of(publisher)}/{step_of(name)}", "/endpoints/openapi")
    return VertexModel(tongue, step_of(name), f"/publishers/{publisher}/models/{name}")
