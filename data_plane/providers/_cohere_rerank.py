"""Ranks in Cohere's words: documents are texts, and the caller keeps them.

Source: https://docs.cohere.com/v2/reference/rerank
"""

from dataclasses import replace
from functools import partial

from data_plane.core.types import CallFacts, Json
from data_plane.providers._openai_request import put_if
from data_plane.providers._rerank import document_texts, own_words, rerank
from data_plane.providers.base import Operation


def encode_texts(body: Json, facts: CallFacts, *, limit: str) -> Json:
    """Return a request whose documents are texts; `limit` is the provider's word for `top_n`.  Raises BadRequest."""
    request = {"model": facts.model, "query": body.get("query"), "documents": document_texts(body), **own_words(body)}
    put_if(request, limit, body.get("top_n"))
    return request


def rerank_texts(provider: str, path: str, *, limit: str = "top_n") -> Operation:
    """Return the operation of a provider that ranks texts only."""
    return replace(rerank(provider, path), encode=partial(encode_texts, limit=limit), passes_through=False)
