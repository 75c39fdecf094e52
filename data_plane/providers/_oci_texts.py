"""OpenAI's embeddings, and ranks, as Oracle's Generative AI takes and answers them.

Source: https://docs.oracle.com/iaas/api/#/en/generative-ai-inference/20231130/datatypes/EmbedTextDetails,
…/datatypes/RerankTextDetails
"""

from typing import Any, Final

from data_plane.core.types import CallFacts, Json
from data_plane.providers._cohere_embed import texts_of
from data_plane.providers._oci_answer import openai_usage
from data_plane.providers._oci_request import placed
from data_plane.providers._openai_like import mapping
from data_plane.providers._openai_request import put_if, wrong
from data_plane.providers._rerank import decode_ranks, document_texts, own_words
from data_plane.providers._vectors import LEFT_OUT, refuse_answer, vector_list

_TRANSLATED: Final = frozenset({"model", "input", "encoding_format", "dimensions", "input_type", "truncate"})


def _capitals(body: Json, name: str) -> str | None:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise wrong(name, "must be a string.")
    return value.upper() if value else None


def encode_embed(body: Json, facts: CallFacts, *, provider: str) -> Json:
    """Return the request of an OpenAI embeddings body; raises BadRequest and Unsupported."""
    texts = texts_of(body, provider)
    if not all(isinstance(text, str) for text in texts):
        raise wrong("input", "must be a string or a list of strings.")
    own = {name: value for name, value in body.items() if name not in _TRANSLATED and name not in LEFT_OUT}
    request: Json = {**placed(facts, provider), "inputs": texts, **own}
    put_if(request, "outputDimensions", body.get("dimensions"))
    put_if(request, "inputType", _capitals(body, "input_type"))
    put_if(request, "truncate", _capitals(body, "truncate"))
    return request


def _vectors(answer: Json) -> list[Any] | None:
    held = answer.get("embeddings")
    if not isinstance(held, list):
        held = mapping(answer.get("embeddingsByType")).get("float")
    return held if isinstance(held, list) else None


def decode_embed(answer: Json, facts: CallFacts, *, provider: str) -> Json:
    """Return OpenAI's list of vectors; raises UpstreamInvalid when there are none."""
    vectors = _vectors(answer)
    if vectors is None:
        raise refuse_answer(answer, provider)
    told = {"model": answer.get("modelId"), "usage": openai_usage(answer.get("usage"))}
    return vector_list(vectors, told, facts, provider=provider)


def encode_ranks(body: Json, facts: CallFacts, *, provider: str) -> Json:
    """Return the request of a ranking; raises BadRequest."""
    request: Json = {
        **placed(facts, provider), "input": body.get("query"), "documents": document_texts(body), **own_words(body),
    }  # fmt: skip
    put_if(request, "topN", body.get("top_n"))
    return request


def _rank(told: Any) -> Json:
    return {"index": mapping(told).get("index"), "relevance_score": mapping(told).get("relevanceScore")}


def decode_oci_ranks(answer: Json, facts: CallFacts, *, provider: str) -> Json:
    """Return an answer with ranks in the normal form; raises UpstreamInvalid when it is none."""
    listed = answer.get("documentRanks")
    told: Json = {name: answer[name] for name in ("id", "message", "error") if name in answer}
    if isinstance(listed, list):
        told["results"] = [_rank(one) for one in listed]
    told["model"] = answer.get("modelId")
    usage = openai_usage(answer.get("usage"))
    if usage is not None:
        told["usage"] = usage
    return decode_ranks(told, facts, provider=provider)
