"""AI21: its Jamba models, in OpenAI's shape.  The older completions and embeddings of its own are gone.

Source: https://docs.ai21.com/reference/jamba-1-6-api-ref
"""

from dataclasses import replace
from typing import Final

from data_plane.core.types import CallFacts, Json
from data_plane.providers._openai_like import ChunkDecoder, bearer, chat
from data_plane.providers.base import Provider

_CHAT: Final = chat("ai21", asks_usage=False)


def _encode(body: Json, facts: CallFacts) -> Json:
    shaped = _CHAT.encode(body, facts)
    # AI21 counts at the end of every stream, and does not know the wish for it.
    shaped.pop("stream_options", None)
    return shaped


def _decoder(facts: CallFacts) -> ChunkDecoder:
    return ChunkDecoder("ai21", hides_usage=not facts.include_usage)


PROVIDER = Provider(
    id="ai21",
    label="AI21",
    base_url="https://api.ai21.com/studio/v1",
    authorise=bearer,
    operations={"chat": replace(_CHAT, encode=_encode, decoder=_decoder)},
    lists_models=False,
)
