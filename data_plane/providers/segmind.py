"""Segmind: images by many models, each with an address and parameters of its own, which pass through.

An answer is the image itself, or in base64 when the caller sends `base64`.  It reaches the caller in base64 either way:
a URL would have to live somewhere.
Source: https://docs.segmind.com
"""

import time
from base64 import b64encode
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from data_plane.core.types import CallFacts, Json
from data_plane.providers._image_size import count_of, size_of
from data_plane.providers._listed_fault import read_listed_fault, refuse_listed
from data_plane.providers._openai_like import ChunkDecoder, key_in
from data_plane.providers._openai_media import image_usage
from data_plane.providers.base import Operation, Provider
from shared.errors import BadRequest, Unsupported, UpstreamInvalid

_ID: Final = "segmind"
_TRANSLATED: Final = frozenset({"model", "n", "size", "stream"})
#: OpenAI's parameters that are left out, each with the reason why the answer means the same without.
LEFT_OUT: Final[Mapping[str, str]] = {
    "user": "about who asks, not about the answer",
    "response_format": "images always come in base64, as OpenAI's newer models send them",
    "moderation": "how strictly OpenAI filters; Segmind has one way",
}
#: Beginnings of the models, all of them Stable Diffusion's, that call the two sides of an image `img_…`.
_PREFIXED: Final = ("sd", "ssd", "segmind")
_DATA_URL: Final = "base64,"


def _path(facts: CallFacts) -> str:
    if facts.model.strip(".") == "":
        raise BadRequest("model must name a model.", path="model")
    return f"/{quote(facts.model, safe='', errors='replace')}"


def _encode(body: Json, facts: CallFacts) -> Json:
    """Return the body of a model; raises BadRequest, and Unsupported for a stream."""
    if facts.stream:
        raise Unsupported(f"{_ID} does not stream images.", path="stream")
    request: Json = {name: value for name, value in body.items() if name not in _TRANSLATED and name not in LEFT_OUT}
    if body.get("n") is not None:
        request.setdefault("samples", count_of(body))
    size = size_of(body)
    if size is not None:
        prefix = "img_" if facts.model.lower().startswith(_PREFIXED) else ""
        request.setdefault(f"{prefix}width", size[0])
        request.setdefault(f"{prefix}height", size[1])
    return request


def _drawn(images: list[Json]) -> Json:
    return {"created": int(time.time()), "data": images, "provider": _ID}


def _image(told: Any) -> Json | None:
    if not isinstance(told, str) or not told:
        return None
    if told.startswith(("https://", "http://")):
        return {"url": told}
    return {"b64_json": told.partition(_DATA_URL)[2] if told.startswith("data:") else told}


def _decode(answer: Json, _facts: CallFacts) -> Json:
    """Return OpenAI's answer; raises UpstreamInvalid when there is no image."""
    held = answer.get("image", answer.get("images"))
    images = [image for told in (held if isinstance(held, list) else [held]) if (image := _image(told)) is not None]
    if not images:
        raise refuse_listed(answer, _ID)
    return _drawn(images)


def _decode_bytes(content: bytes, kind: str, _facts: CallFacts) -> Json:
    if not kind.lower().startswith("image/") or not content:
        raise UpstreamInvalid(f"Invalid response received from {_ID}.")
    return _drawn([{"b64_json": b64encode(content).decode()}])


PROVIDER = Provider(
    id=_ID,
    label="Segmind",
    base_url="https://api.segmind.com/v1",
    authorise=key_in("x-api-key"),
    operations={
        "image": Operation(
            path=_path,
            encode=_encode,
            decode=_decode,
            decode_binary=_decode_bytes,
            usage=image_usage,
            decoder=lambda _facts: ChunkDecoder(_ID, hides_usage=False),
            fault=read_listed_fault,
        )
    },
    lists_models=False,
)
