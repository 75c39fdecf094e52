"""Gemini as Google sells it to developers.  Source: https://ai.google.dev/api"""

from functools import partial
from typing import Final

from data_plane.core.types import CallFacts
from data_plane.providers._gemini_answer import read_google_fault
from data_plane.providers._gemini_embeddings import decode_embeddings, encode_batch
from data_plane.providers._gemini_like import gemini_chat, method, step_of
from data_plane.providers._gemini_stream import CandidateDecoder
from data_plane.providers._google_auth import api_key
from data_plane.providers._models import models
from data_plane.providers._openai_like import usage_of
from data_plane.providers.base import Operation, Provider

_ID: Final = "google"
#: Collections that a model may be named in; without one it is among the models.
_COLLECTIONS: Final = frozenset({"models", "tunedModels"})


def _place(facts: CallFacts) -> str:
    collection, slash, name = facts.model.partition("/")
    if slash and collection in _COLLECTIONS:
        return f"/{collection}/{step_of(name)}"
    return f"/models/{step_of(facts.model)}"


PROVIDER = Provider(
    id=_ID,
    label="Google Gemini",
    base_url="https://generativelanguage.googleapis.com/v1beta",
    authorise=api_key,
    operations={
        "models": models("google", "/models?pageSize=1000", holds="models", names=("name",)),
        "chat": gemini_chat(_ID, lambda facts: _place(facts) + method(facts), tiers=True),
        "embed": Operation(
            path=lambda facts: _place(facts) + ":batchEmbedContents",
            encode=partial(encode_batch, provider=_ID),
            decode=partial(decode_embeddings, provider=_ID),
            usage=usage_of,
            decoder=partial(CandidateDecoder, provider=_ID),
            fault=read_google_fault,
        ),
    },
    price_source="google",
)
