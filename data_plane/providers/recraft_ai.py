"""Recraft: images in OpenAI's shape, and of images in forms of its own.

Edits go to `imageToImage`, with a mask to `inpaint`, whose masks are black and white: white is drawn anew.
Source: https://www.recraft.ai/docs/api-reference/endpoints
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from data_plane.core.form import FormFile
from data_plane.core.types import CallFacts, Json
from data_plane.providers._openai_like import bearer
from data_plane.providers._openai_media import image, image_form
from data_plane.providers._openai_request import wrong
from data_plane.providers.base import Operation, Provider
from shared.errors import Unsupported

_ID: Final = "recraft-ai"
_IMAGE: Final = image(_ID)
_TO_IMAGE: Final = "/images/imageToImage"
_INPAINT: Final = "/images/inpaint"
#: How much of an image is drawn anew, and how large a variation is, when nobody says: Recraft demands both.
DEFAULT_STRENGTH: Final = "0.5"
DEFAULT_SIZE: Final = "1024x1024"


def _refuse_stream(facts: CallFacts) -> None:
    if facts.stream:
        raise Unsupported(f"{_ID} does not stream images.", path="stream")


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _encode_image(body: Json, facts: CallFacts) -> Json:
    _refuse_stream(facts)
    return _IMAGE.encode(body, facts)


def _form(body: Json, facts: CallFacts) -> Json:
    """Return a form with its one image; raises BadRequest and Unsupported."""
    _refuse_stream(facts)
    held = [item for name in ("image", "image[]") for item in _items(body.get(name))]
    if len(held) > 1:
        raise Unsupported(f"{_ID} changes one image per call.", path="image")
    if not held or not isinstance(held[0], FormFile):
        raise wrong("image", "must be a file.")
    form = {name: value for name, value in body.items() if name not in {"image[]", "stream"}}
    named = {"model": facts.model} if facts.model else {}
    return {**form, **named, "image": held[0]}


def _encode_edit(body: Json, facts: CallFacts) -> Json:
    form = _form(body, facts)
    if form.get("mask") is None:
        form.setdefault("strength", DEFAULT_STRENGTH)
    return form


def _encode_variation(body: Json, facts: CallFacts) -> Json:
    return {"size": DEFAULT_SIZE, **_form(body, facts)}


def _edit_path(facts: CallFacts) -> str:
    return _TO_IMAGE if facts.asked.get("mask") is None else _INPAINT


def _of_an_image(path: str | Callable[[CallFacts], str], encode: Callable[[Json, CallFacts], Json]) -> Operation:
    return replace(image_form(_ID, ""), path=path, encode=encode)


PROVIDER = Provider(
    id=_ID,
    label="Recraft AI",
    base_url="https://external.api.recraft.ai/v1",
    authorise=bearer,
    operations={
        "image": replace(_IMAGE, encode=_encode_image, passes_through=False),
        "edit_image": _of_an_image(_edit_path, _encode_edit),
        "vary_image": _of_an_image("/images/variateImage", _encode_variation),
    },
    lists_models=False,
)
