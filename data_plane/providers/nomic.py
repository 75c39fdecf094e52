"""Nomic: embeddings of texts, and of pictures in the same space.  Source: https://docs.nomic.ai/reference/api"""

import binascii
from base64 import b64decode
from dataclasses import replace
from secrets import token_hex
from typing import Any, Final

import orjson

from data_plane.core.form import Binary, FormFile, write_form
from data_plane.core.types import CallFacts, Json
from data_plane.providers._cohere_embed import image_of, texts_of
from data_plane.providers._openai_like import bearer
from data_plane.providers._openai_request import put_if, split_data_url, wrong
from data_plane.providers._vectors import LEFT_OUT, embedding, refuse_answer, vector_list
from data_plane.providers.base import Provider
from shared.errors import BadRequest, Unsupported

_ID: Final = "nomic"
_TRANSLATED: Final = frozenset({"model", "input", "dimensions", "encoding_format", *LEFT_OUT})


def _sees(facts: CallFacts) -> bool:
    return "vision" in facts.model


def _path(facts: CallFacts) -> str:
    return "/embedding/image" if _sees(facts) else "/embedding/text"


def _text(item: Any, path: str) -> str:
    text = item if isinstance(item, str) else item.get("text")
    if not isinstance(text, str) or (isinstance(item, dict) and item.get("image") is not None):
        raise Unsupported(f"{_ID} embeds only texts with this model.", path=path)
    return text


def _picture(item: Any, path: str) -> str | FormFile:
    """Return a picture's URL, or the picture; raises BadRequest and Unsupported."""
    url = image_of(item, path) if isinstance(item, dict) else None
    if url is None or item.get("text") is not None:
        raise Unsupported(f"{_ID} embeds only images with this model.", path=path)
    if not url.startswith("data:"):
        return url
    kind, payload = split_data_url(url, f"{path}.image")
    try:
        return FormFile("image", kind, b64decode(payload, validate=True))
    except binascii.Error:
        raise wrong(f"{path}.image", "is not written in base64.") from None


def _put_pictures(request: Json, items: list[Any]) -> None:
    pictures = [_picture(item, f"input[{number}]") for number, item in enumerate(items)]
    name = "urls" if isinstance(pictures[0], str) else "images"
    if any(isinstance(picture, str) != isinstance(pictures[0], str) for picture in pictures):
        # Nobody could tell which vector is whose.
        raise Unsupported(f"{_ID} takes either URLs or images, not both in one call.", path="input")
    request[name] = pictures


def _encode(body: Json, facts: CallFacts, *, provider: str) -> Json:
    request: Json = {name: value for name, value in body.items() if name not in _TRANSLATED}
    request["model"] = facts.model
    put_if(request, "dimensionality", body.get("dimensions"))
    items = texts_of(body, provider)
    if _sees(facts):
        _put_pictures(request, items)
    else:
        request["texts"] = [_text(item, f"input[{number}]") for number, item in enumerate(items)]
    return request


def _write(request: Json) -> Binary:
    """Return a request for texts as JSON, one for pictures as a form; raises BadRequest."""
    try:
        if "texts" in request:
            return Binary((orjson.dumps(request),), "application/json")
        return write_form(request, token_hex(24))
    except TypeError:
        raise BadRequest("The request holds a value that cannot be written.", path="body") from None


def _decode(answer: Json, facts: CallFacts, *, provider: str) -> Json:
    vectors = answer.get("embeddings")
    if not isinstance(vectors, list):
        raise refuse_answer(answer, provider)
    return vector_list(vectors, answer, facts, provider=provider)


PROVIDER = Provider(
    id=_ID,
    label="Nomic",
    base_url="https://api-atlas.nomic.ai/v1",
    authorise=bearer,
    operations={"embed": replace(embedding(_ID, _path, _encode, _decode), write=_write)},
    lists_models=False,
)
