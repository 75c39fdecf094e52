"""How relevant is each document to a query?  One form of asking and of answering, whoever ranks.

Asked is `{model, query, documents, top_n, return_documents}`, a document being a text or an object with one.  The
answer lists index and score, the best first, with the documents if the caller wants them back: they are the caller's
own, so no provider has to send them.  Ranking is billed by tokens or by searches; both are read in one place.
Source: https://docs.cohere.com/v2/reference/rerank, https://jina.ai/reranker, https://docs.voyageai.com/docs/reranker
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from operator import itemgetter
from typing import Any, Final

import orjson

from data_plane.core.parts import unfolded
from data_plane.core.types import NO_USAGE, CallFacts, Json, Usage
from data_plane.providers._cohere_embed import whole
from data_plane.providers._openai_like import listing, mapping
from data_plane.providers._openai_request import wrong
from data_plane.providers._vectors import refuse_answer
from data_plane.providers.base import Operation

#: What a request says in the words of every rank; the rest is the provider's own and passes.
NORMAL: Final = frozenset({"model", "query", "documents", "top_n", "return_documents", "rank_fields", "stream", "user"})
#: Where hosts keep their ranks, and what they call a score.
_HOLDERS: Final = ("results", "data")
_TOKENS: Final = ("prompt_tokens", "input_tokens", "total_tokens")
#: Members of a provider's answer that have another form in ours.
_TRANSLATED: Final = frozenset({"id", "object", "model", "results", "data", "usage", "provider"})


def _lines(document: Json, fields: Sequence[str]) -> str:
    """Return an object as a model reads it best: as YAML, whose values may be JSON; raises TypeError."""
    named = ((name, document[name]) for name in fields if name in document)
    written = ((name, value if isinstance(value, str) else orjson.dumps(value).decode()) for name, value in named)
    return "\n".join(f"{name}: {value}" for name, value in written)


def _text_of(document: Any, fields: Sequence[str] | None) -> str | None:
    """Return what of a document is ranked, None for what is none."""
    if isinstance(document, str):
        return document
    if not isinstance(document, dict):
        return None
    if fields is None and isinstance(document.get("text"), str):
        return str(document["text"])
    try:
        return _lines(document, list(document) if fields is None else fields) or None
    except TypeError:
        return None


def document_texts(body: Json) -> list[str]:
    """Return the documents of a request as texts, objects by their `rank_fields`; raises BadRequest."""
    documents, fields = body.get("documents"), body.get("rank_fields")
    if not isinstance(documents, list) or not documents:
        raise wrong("documents", "must be a list that is not empty.")
    if fields is not None and not (isinstance(fields, list) and all(isinstance(name, str) for name in fields)):
        raise wrong("rank_fields", "must be a list of names.")
    texts: list[str] = []
    for number, document in enumerate(documents):
        text = _text_of(document, fields)
        if text is None:
            raise wrong(f"documents[{number}]", "must be a string, or an object with a text.")
        texts.append(text)
    return texts


def own_words(body: Json) -> Json:
    """Return what a request says beyond the normal form."""
    return {name: value for name, value in body.items() if name not in NORMAL}


def rank_usage(answer: Json) -> Usage:
    """Return the tokens and searches of an answer, a provider's or ours; `NO_USAGE` when it counts nothing."""
    usage, meta = mapping(answer.get("usage")), mapping(answer.get("meta"))
    billed = mapping(meta.get("billed_units"))
    counts = (usage, billed, mapping(meta.get("tokens")), mapping(answer.get("tokens")))
    tokens = next((number for told in counts for name in _TOKENS if (number := whole(told.get(name)))), 0)
    searches = whole(usage.get("search_units")) or whole(billed.get("search_units"))
    return Usage(input=tokens, searches=searches) if tokens or searches else NO_USAGE


def _usage(counted: Usage) -> Json:
    told: Json = {"prompt_tokens": counted.input, "total_tokens": counted.input} if counted.input else {}
    return {**told, "search_units": counted.searches} if counted.searches else told


def _row(told: Any, documents: Sequence[Any] | None) -> Json | None:
    """Return one rank; None for what is none, or is the rank of a document that nobody sent."""
    rank = mapping(told)
    index, score = rank.get("index"), rank.get("relevance_score", rank.get("score"))
    if type(index) is not int or index < 0 or not isinstance(score, int | float) or isinstance(score, bool):
        return None
    row: Json = {"index": index, "relevance_score": score}
    if documents is not None:
        if index >= len(documents):
            return None
        document = documents[index]
        row["document"] = document if isinstance(document, dict) else {"text": document}
    return row


def _documents(facts: CallFacts) -> list[Any] | None:
    """Return the documents that the caller wants back, None for none."""
    if facts.asked.get("return_documents") is not True:
        return None
    documents = unfolded(facts.asked).get("documents")
    return documents if isinstance(documents, list) else None


def decode_ranks(answer: Json, facts: CallFacts, *, provider: str) -> Json:
    """Return an answer with ranks in the normal form; raises UpstreamInvalid when it is none."""
    listed = next((held for name in _HOLDERS if isinstance(held := answer.get(name), list)), None)
    if listed is None:
        raise refuse_answer(answer, provider)
    documents = _documents(facts)
    rows = [row for told in listed if (row := _row(told, documents)) is not None]
    if len(rows) != len(listed):
        raise refuse_answer({}, provider)
    rows.sort(key=itemgetter("relevance_score"), reverse=True)
    wanted = facts.asked.get("top_n")
    if type(wanted) is int and wanted > 0:
        # Not every provider knows how to leave some out.
        del rows[wanted:]
    model = answer.get("model")
    ranked: Json = {"id": answer["id"]} if isinstance(answer.get("id"), str) else {}
    ranked |= {"object": "list", "model": model if isinstance(model, str) and model else facts.model, "results": rows}
    usage = _usage(rank_usage(answer))
    if usage:
        ranked["usage"] = usage
    if not facts.strict:
        ranked |= {name: value for name, value in answer.items() if name not in _TRANSLATED}
    ranked["provider"] = provider
    return ranked


def rerank(provider: str, path: str = "/rerank") -> Operation:
    """Return the operation of `provider` that ranks documents, where it is asked in the normal form."""
    return replace(listing(provider, path), decode=partial(decode_ranks, provider=provider), usage=rank_usage)
