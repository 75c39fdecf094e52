"""Gemini's shape: the operation that translates OpenAI's chat to `generateContent` and back, and how models are named.

The parts are `_gemini_request` (with `_messages`, `_parts`, `_tools`, `_schema`), `_gemini_answer` and
`_gemini_stream`.
"""

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from data_plane.core.types import CallFacts
from data_plane.providers._gemini_answer import decode_answer, read_google_fault
from data_plane.providers._gemini_count import developer_count
from data_plane.providers._gemini_embeddings import decode_embeddings, encode_batch
from data_plane.providers._gemini_request import encode_request
from data_plane.providers._gemini_stream import CandidateDecoder
from data_plane.providers._models import models
from data_plane.providers._openai_like import usage_of
from data_plane.providers.base import Operation
from shared.errors import BadRequest

#: A name that can only be one step of a path: nothing that a path, a query or a method is told by.
_STEP: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,199}")
#: Collections that a model may be named in; without one it is among the models.
_COLLECTIONS: Final = frozenset({"models", "tunedModels"})


def step_of(name: str) -> str:
    """Return `name` when it can stand in a path as one step; raises BadRequest."""
    if not _STEP.fullmatch(name):
        raise BadRequest("model is no name of a model.", path="model")
    return name


def method(facts: CallFacts) -> str:
    """Return the method that generates content, with the query that has a stream sent as events."""
    return ":streamGenerateContent?alt=sse" if facts.stream else ":generateContent"


def gemini_chat(provider: str, path: Callable[[CallFacts], str], *, tiers: bool = False) -> Operation:
    """Return the chat operation of a `provider` (its id) that speaks Gemini's API, at `path`.

    `tiers`: the provider takes `serviceTier` in a request.
    """
    return Operation(
        path=path,
        encode=partial(encode_request, provider=provider, tiers=tiers),
        decode=partial(decode_answer, provider=provider),
        usage=usage_of,
        decoder=partial(CandidateDecoder, provider=provider),
        fault=read_google_fault,
    )


def _place(facts: CallFacts) -> str:
    collection, slash, name = facts.model.partition("/")
    if slash and collection in _COLLECTIONS:
        return f"/{collection}/{step_of(name)}"
    return f"/models/{step_of(facts.model)}"


def developer_operations(provider: str) -> Mapping[str, Operation]:
    """Return the operations of a `provider` (its id) that is the Gemini API as Google sells it to developers."""
    chat = gemini_chat(provider, lambda facts: _place(facts) + method(facts), tiers=True)
    return {
        "models": models(provider, "/models?pageSize=1000", holds="models", names=("name",)),
        "chat": chat,
        "count_tokens": developer_count(provider, chat, _place),
        "embed": Operation(
            path=lambda facts: _place(facts) + ":batchEmbedContents",
            encode=partial(encode_batch, provider=provider),
            decode=partial(decode_embeddings, provider=provider),
            usage=usage_of,
            decoder=partial(CandidateDecoder, provider=provider),
            fault=read_google_fault,
        ),
    }
