"""OpenAI's embeddings as Cohere's: which input goes where, and the vectors of an answer as a list.

Source: https://docs.cohere.com/v2/reference/embed
"""

from collections.abc import Mapping
from typing import Any, Final

from data_plane.core.types import CallFacts, Json
from data_plane.providers._openai_like import count, mapping, told_error
from data_plane.providers._openai_request import put_if, wrong
from shared.errors import Unsupported, UpstreamInvalid

#: What a text is embedded for; Cohere demands a word, and OpenAI has none.
DEFAULT_INPUT_TYPE: Final = "search_document"
_TRANSLATED: Final = frozenset({"model", "input", "dimensions", "encoding_format", "stream"})
#: OpenAI's parameters that are left out, each with the reason why the answer means the same without.
LEFT_OUT: Final[Mapping[str, str]] = {"user": "about who asks, not about the answer"}
_GIVEN: Final = ("texts", "images", "inputs")


def image_of(item: Json, path: str) -> str | None:
    """Return the image of an input `{"text": …, "image": {"url" or "base64": …}}` as a URL; None when it has none."""
    image = item.get("image")
    if image is None:
        return None
    held = mapping(image)
    url = image if isinstance(image, str) else held.get("url") or held.get("base64")
    if not isinstance(url, str):
        raise wrong(f"{path}.image", "must hold url or base64.")
    return url if ":" in url[:16] else f"data:image/png;base64,{url}"


def texts_of(body: Json, provider: str) -> list[Any]:
    """Return what `input` holds: strings and objects; raises BadRequest, and Unsupported for tokens."""
    given = body.get("input")
    items = given if isinstance(given, list) else [given]
    if any(isinstance(item, int | list) for item in items):
        raise Unsupported(f"{provider} embeds texts, not tokens.", path="input")
    if not items or not all(isinstance(item, str | dict) for item in items):
        raise wrong("input", "must be a string or a list of strings.")
    return items


def _mixed(item: Any, path: str) -> Json:
    """Return one input with text and image; raises BadRequest."""
    content: list[Json] = []
    text = item if isinstance(item, str) else item.get("text")
    if isinstance(text, str):
        content.append({"type": "text", "text": text})
    if isinstance(item, dict) and (url := image_of(item, path)) is not None:
        content.append({"type": "image_url", "image_url": {"url": url}})
    if not content:
        raise wrong(path, "must hold a text or an image.")
    return {"content": content}


def _put_input(request: Json, body: Json, provider: str) -> None:
    if any(name in request for name in _GIVEN):
        return
    items = texts_of(body, provider)
    if all(isinstance(item, str) for item in items):
        request["texts"] = items
    elif all(isinstance(item, dict) and item.get("text") is None and item.get("image") is not None for item in items):
        request["images"] = [image_of(item, f"input[{number}]") for number, item in enumerate(items)]
        request.setdefault("input_type", "image")
    else:
        request["inputs"] = [_mixed(item, f"input[{number}]") for number, item in enumerate(items)]


def encode_embed(body: Json, provider: str) -> Json:
    """Return the request without model and types of embeddings; raises BadRequest and Unsupported."""
    request: Json = {name: value for name, value in body.items() if name not in _TRANSLATED and name not in LEFT_OUT}
    _put_input(request, body, provider)
    request.setdefault("input_type", DEFAULT_INPUT_TYPE)
    put_if(request, "output_dimension", body.get("dimensions"))
    return request


def encode_request(body: Json, facts: CallFacts, *, provider: str) -> Json:
    """Return the embed request of OpenAI's; raises BadRequest and Unsupported."""
    request = encode_embed(body, provider)
    request["model"] = facts.model
    request.setdefault("embedding_types", ["base64" if body.get("encoding_format") == "base64" else "float"])
    return request


def vectors_of(answer: Json, provider: str) -> list[Any]:
    """Return the vectors of an answer, the floats when there are several kinds; raises UpstreamInvalid."""
    held = answer.get("embeddings")
    if isinstance(held, dict):
        kinds = [held.get("float"), *held.values()]
        held = next((vectors for vectors in kinds if isinstance(vectors, list)), None)
    if not isinstance(held, list):
        if answer.get("message"):
            raise UpstreamInvalid(told_error(provider, answer))
        raise UpstreamInvalid(f"Invalid response received from {provider}.")
    return held


def openai_list(vectors: list[Any], model: str, tokens: int | None, provider: str) -> Json:
    """Return OpenAI's list of embeddings; `tokens` None when nobody counted."""
    rows = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    told: Json = {"object": "list", "data": rows, "model": model}
    if tokens is not None:
        told["usage"] = {"prompt_tokens": tokens, "total_tokens": tokens}
    told["provider"] = provider
    return told


def whole(value: object) -> int:
    """Return a number of tokens, which Cohere may write as 3.0; 0 for what is none."""
    return count(int(value)) if isinstance(value, float) and value.is_integer() else count(value)


def decode_answer(answer: Json, facts: CallFacts, *, provider: str) -> Json:
    """Return OpenAI's answer of an embed answer; raises UpstreamInvalid."""
    vectors = vectors_of(answer, provider)
    billed = mapping(answer.get("meta")).get("billed_units")
    units = mapping(billed)
    tokens = whole(units.get("input_tokens")) + whole(units.get("image_tokens"))
    return openai_list(vectors, facts.model, tokens if isinstance(billed, dict) else None, provider)
