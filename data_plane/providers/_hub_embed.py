"""OpenAI's embeddings as Hugging Face's feature extraction, which answers with bare vectors.

An endpoint of one's own has OpenAI's words itself.
Source: https://huggingface.co/docs/inference-providers/tasks/feature-extraction
"""

from typing import Any, Final
from urllib.parse import quote

import msgspec

from data_plane.core.types import CallFacts, Json
from data_plane.providers._cohere_embed import texts_of
from data_plane.providers._vectors import LEFT_OUT, vector_list
from shared.errors import BadRequest, Unsupported, UpstreamInvalid

ADDRESS: Final = "huggingface_base_url"
_NUMBERS: Final = frozenset({int, float})
_TRANSLATED: Final = frozenset({"model", "input", "encoding_format", *LEFT_OUT})


def _is_own(facts: CallFacts) -> bool:
    return bool(facts.settings.get(ADDRESS))


def embed_path(facts: CallFacts) -> str:
    """Return where the model embeds; raises BadRequest for a name that leads elsewhere."""
    if _is_own(facts):
        return "/v1/embeddings"
    if any(step.strip(".") == "" for step in facts.model.split("/")):
        raise BadRequest("model must name a model.", path="model")
    model = quote(facts.model, safe="/", errors="replace")
    return f"/hf-inference/models/{model}/pipeline/feature-extraction"


def encode_request(body: Json, facts: CallFacts, *, provider: str) -> Json:
    """Return the request; raises BadRequest, and Unsupported for what is no text."""
    if _is_own(facts):
        return {**body, "model": facts.model}
    items = texts_of(body, provider)
    for number, item in enumerate(items):
        if not isinstance(item, str):
            raise Unsupported(f"{provider} embeds only texts.", path=f"input[{number}]")
    return {"inputs": items, **{name: value for name, value in body.items() if name not in _TRANSLATED}}


def _is_vector(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and _NUMBERS.issuperset(map(type, value))


def decode_vectors(content: bytes, _kind: str, facts: CallFacts, *, provider: str) -> Json:
    """Return OpenAI's answer of an array of vectors, or of one vector; raises UpstreamInvalid for anything else.

    Without pooling a model answers with a vector for each token, which is no embedding of a text.
    """
    try:
        told = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        told = None
    vectors = [told] if _is_vector(told) else told
    if not isinstance(vectors, list) or not vectors or not all(map(_is_vector, vectors)):
        raise UpstreamInvalid(f"Invalid response received from {provider}: not one vector for each text.")
    return vector_list(vectors, {}, facts, provider=provider)
