"""Jina AI: embeddings of texts and pictures, and ranks.  Source: https://api.jina.ai/redoc"""

from dataclasses import replace
from typing import Any, Final

from data_plane.core.types import CallFacts, Json
from data_plane.providers._cohere_embed import image_of, texts_of
from data_plane.providers._openai_like import bearer
from data_plane.providers._openai_request import split_data_url
from data_plane.providers._rerank import rerank
from data_plane.providers._vectors import LEFT_OUT, embedding
from data_plane.providers.base import Operation, Provider

_TRANSLATED: Final = frozenset({"encoding_format", *LEFT_OUT})


def _item(item: Any, path: str) -> Any:
    """Return one input, whose picture is a URL or base64 without a prefix; raises BadRequest."""
    url = image_of(item, path) if isinstance(item, dict) else None
    if url is None:
        return item
    return {**item, "image": split_data_url(url, f"{path}.image")[1] if url.startswith("data:") else url}


def _encode(body: Json, facts: CallFacts, *, provider: str) -> Json:
    request: Json = {name: value for name, value in body.items() if name not in _TRANSLATED}
    request["model"] = facts.model
    request["input"] = [_item(item, f"input[{number}]") for number, item in enumerate(texts_of(body, provider))]
    if body.get("encoding_format") is not None:
        request.setdefault("embedding_type", body["encoding_format"])
    return request


def _ranking(operation: Operation) -> Operation:
    def encode(body: Json, facts: CallFacts) -> Json:
        # Jina would send every document back unasked; who asks gets its own.
        return {**operation.encode(body, facts), "return_documents": False}

    return replace(operation, encode=encode)


PROVIDER = Provider(
    id="jina",
    label="Jina AI",
    base_url="https://api.jina.ai/v1",
    authorise=bearer,
    operations={"embed": embedding("jina", "/embeddings", _encode), "rerank": _ranking(rerank("jina"))},
    lists_models=False,
)
