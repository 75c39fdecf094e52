"""Ranks by Google's ranking API, a service of its own whose models Vertex AI does not have.

Source: https://docs.cloud.google.com/generative-ai-app-builder/docs/ranking
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from data_plane.core.types import CallFacts, Json
from data_plane.providers._gemini_answer import read_google_fault
from data_plane.providers._openai_like import mapping
from data_plane.providers._openai_request import put_if
from data_plane.providers._rerank import decode_ranks, document_texts, own_words, rerank
from data_plane.providers._vertex_models import Tongue, find_model
from data_plane.providers._vertex_services import RANKING, service_at
from data_plane.providers.base import Operation
from shared.addresses import AddressIncomplete, fill_address
from shared.errors import BadRequest, Unsupported

_ID: Final = "vertex-ai"
_PATH: Final = "/v1/projects/{vertex_project_id}/locations/global/rankingConfigs/default_ranking_config:rank"
_NUMBER: Final = re.compile(r"[0-9]{1,9}")


def _path(facts: CallFacts) -> str:
    try:
        return fill_address(_PATH, facts.settings)
    except AddressIncomplete as fault:
        raise BadRequest(f"{fault} for the provider {_ID}.", path=fault.setting) from None


def _service(base_url: str, facts: CallFacts) -> str:
    return service_at(base_url, facts, RANKING)


def _title(document: Any) -> str | None:
    """Return the title of a document that has one beside its text; elsewhere it is among the text."""
    held: Mapping[str, Any] = mapping(document)
    title = held.get("title")
    return title if isinstance(title, str) and title and isinstance(held.get("text"), str) else None


def encode_records(body: Json, facts: CallFacts) -> Json:
    """Return a ranking's request, whose records are named by where they stand; raises BadRequest and Unsupported."""
    model = find_model(facts.model)
    if model.tongue is not Tongue.GEMINI:
        raise Unsupported(f"rerank is not supported by {_ID} for this model", path="model")
    texts = document_texts(body)
    records: list[Json] = [{"id": str(number), "content": text} for number, text in enumerate(texts)]
    if body.get("rank_fields") is None:
        for record, document in zip(records, body["documents"], strict=True):
            put_if(record, "title", _title(document))
    request: Json = {
        "model": model.name, "query": body.get("query"), "records": records,
        "ignoreRecordDetailsInResponse": True, **own_words(body),
    }  # fmt: skip
    put_if(request, "topN", body.get("top_n"))
    return request


def _rank(told: Any) -> Json:
    record: Mapping[str, Any] = mapping(told)
    named = record.get("id")
    is_ours = isinstance(named, str) and _NUMBER.fullmatch(named)
    return {"index": int(str(named)) if is_ours else None, "relevance_score": record.get("score")}


def decode_records(answer: Json, facts: CallFacts) -> Json:
    """Return an answer with ranks in the normal form; raises UpstreamInvalid when it is none."""
    told: Json = {name: answer[name] for name in ("error", "message") if name in answer}
    listed = answer.get("records")
    if isinstance(listed, list):
        told["results"] = [_rank(one) for one in listed]
    return decode_ranks(told, facts, provider=_ID)


def vertex_rank() -> Operation:
    """Return the operation that ranks documents.  Google tells no tokens: it bills by requests."""
    return replace(
        rerank(_ID),
        path=_path,
        encode=encode_records,
        decode=decode_records,
        fault=read_google_fault,
        passes_through=False,
        service=_service,
    )
