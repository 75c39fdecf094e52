"""OpenAI's embeddings as Voyage's: of texts, of texts with pictures, and of chunks that know their document.

Which of its three endpoints a call goes to is told by the model.
Source: https://docs.voyageai.com/reference/embeddings-api, …/multimodal-embeddings-api, …/contextualized-embeddings-api
"""

from typing import Any, Final

from data_plane.core.types import CallFacts, Json
from data_plane.providers._cohere_embed import image_of, texts_of
from data_plane.providers._openai_request import put_if, wrong
from data_plane.providers._vectors import LEFT_OUT, decode_rows
from shared.errors import Unsupported

_TRANSLATED: Final = frozenset({"model", "input", "dimensions", "encoding_format", *LEFT_OUT})


def _is_multimodal(model: str) -> bool:
    return "multimodal" in model


def _is_contextual(model: str) -> bool:
    return "voyage-context" in model


def embed_path(facts: CallFacts) -> str:
    """Return the endpoint of the model."""
    if _is_multimodal(facts.model):
        return "/multimodalembeddings"
    return "/contextualizedembeddings" if _is_contextual(facts.model) else "/embeddings"


def _content(item: Any, path: str) -> Json:
    """Return one input with text and picture; what is in Voyage's words already passes.  Raises BadRequest."""
    if isinstance(item, dict) and "content" in item:
        return item
    text = item if isinstance(item, str) else item.get("text")
    content: list[Json] = [{"type": "text", "text": text}] if isinstance(text, str) else []
    url = image_of(item, path) if isinstance(item, dict) else None
    if url is not None:
        kind = "image_base64" if url.startswith("data:") else "image_url"
        content.append({"type": kind, kind: url})
    if not content:
        raise wrong(path, "must hold a text or an image.")
    return {"content": content}


def _documents(body: Json) -> list[Any]:
    """Return each document as the list of its chunks; raises BadRequest."""
    given = body.get("input")
    documents = [[item] if isinstance(item, str) else item for item in (given if isinstance(given, list) else [given])]
    for number, document in enumerate(documents):
        if not isinstance(document, list) or not all(isinstance(chunk, str) for chunk in document):
            raise wrong(f"input[{number}]", "must be a string, or the list of a document's chunks.")
    return documents


def _texts(body: Json, provider: str) -> list[str]:
    items = texts_of(body, provider)
    texts = [item if isinstance(item, str) else item.get("text") for item in items]
    for number, (item, text) in enumerate(zip(items, texts, strict=True)):
        if not isinstance(text, str) or (isinstance(item, dict) and item.get("image") is not None):
            raise Unsupported(f"{provider} embeds only texts with this model.", path=f"input[{number}]")
    return texts


def encode_request(body: Json, facts: CallFacts, *, provider: str) -> Json:
    """Return the request of the model's endpoint; raises BadRequest, and Unsupported for what it does not embed."""
    request: Json = {name: value for name, value in body.items() if name not in _TRANSLATED}
    request["model"] = facts.model
    put_if(request, "output_dimension", body.get("dimensions"))
    if _is_contextual(facts.model):
        if "inputs" not in request:
            request["inputs"] = _documents(body)
    elif _is_multimodal(facts.model):
        if "inputs" not in request:
            items = texts_of(body, provider)
            request["inputs"] = [_content(item, f"input[{number}]") for number, item in enumerate(items)]
    else:
        request["input"] = _texts(body, provider)
        if body.get("encoding_format") == "base64":
            # Floats are what Voyage answers anyway; it refuses the word.
            request["encoding_format"] = "base64"
    return request


def _chunks(listed: list[Any]) -> list[Any]:
    """Return the rows of all documents in one list, numbered on; rows that stand in no document stay as they are."""
    rows: list[Any] = []
    for item in listed:
        held = item.get("data") if isinstance(item, dict) else None
        rows += held if isinstance(held, list) else [item]
    return [{**row, "index": index} if isinstance(row, dict) else row for index, row in enumerate(rows)]


def decode_answer(answer: Json, facts: CallFacts, *, provider: str) -> Json:
    """Return OpenAI's answer; raises UpstreamInvalid."""
    listed = answer.get("data")
    if _is_contextual(facts.model) and isinstance(listed, list):
        answer = {**answer, "data": _chunks(listed)}
    return decode_rows(answer, facts, provider=provider)
