"""Counting the tokens of a message for a Gemini, by what it would be asked.

Source: https://ai.google.dev/api/tokens, https://docs.cloud.google.com/vertex-ai/generative-ai/docs/model-reference/count-tokens
"""

from collections.abc import Callable

from data_plane.core.types import CallFacts, Json
from data_plane.providers._count_tokens import counting
from data_plane.providers._messages_adapter import messages_by_chat
from data_plane.providers.base import Operation

#: What Vertex AI takes of a request to count it.
_COUNTED = ("contents", "systemInstruction", "tools")


def developer_count(provider: str, chat: Operation, place: Callable[[CallFacts], str]) -> Operation:
    """Return the operation of a `provider` (its id) that is the Gemini API, whose model stands at `place`."""
    asking = messages_by_chat(chat)

    def encode(body: Json, facts: CallFacts) -> Json:
        return {"generateContentRequest": {"model": place(facts).removeprefix("/"), **asking.encode(body, facts)}}

    return counting(chat, provider, lambda facts: place(facts) + ":countTokens", encode=encode, holds="totalTokens")


def vertex_count(provider: str, chat: Operation, place: Callable[[CallFacts], str]) -> Operation:
    """Return the operation of a `provider` (its id) that is Vertex AI, whose model stands at `place`."""
    asking = messages_by_chat(chat)

    def encode(body: Json, facts: CallFacts) -> Json:
        asked = asking.encode(body, facts)
        return {name: asked[name] for name in _COUNTED if name in asked}

    return counting(chat, provider, lambda facts: place(facts) + ":countTokens", encode=encode, holds="totalTokens")
