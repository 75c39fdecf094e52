"""OpenAI's image generation at hosts that draw in words of their own: Imagen at Vertex AI, Fireworks AI, Hyperbolic.

Pictures come in base64, as OpenAI's newer models send them: a URL would have to live somewhere.
Source: https://docs.cloud.google.com/vertex-ai/generative-ai/docs/model-reference/imagen-api,
https://docs.fireworks.ai/api-reference/generate-a-new-image-from-a-text-prompt,
https://docs.hyperbolic.xyz/docs/image-generation
"""

import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final
from urllib.parse import quote

from data_plane.core.types import CallFacts, Json
from data_plane.providers._image_size import aspect_ratio, count_of, size_of
from data_plane.providers._openai_like import ChunkDecoder, mapping, read_fault, told_error
from data_plane.providers._openai_media import image_usage
from data_plane.providers.base import Operation, ProviderFault
from shared.errors import BadRequest, Unsupported, UpstreamInvalid

_TRANSLATED: Final = frozenset({"model", "prompt", "n", "size", "stream"})
#: OpenAI's parameters that are left out, each with the reason why the answer means the same without.
LEFT_OUT: Final[Mapping[str, str]] = {
    "user": "about who asks, not about the answer",
    "response_format": "pictures always come in base64",
    "moderation": "how strictly OpenAI filters; these hosts have their own ways",
}


def _own(body: Json) -> Json:
    return {name: value for name, value in body.items() if name not in _TRANSLATED and name not in LEFT_OUT}


def _refuse_stream(facts: CallFacts, provider: str) -> None:
    if facts.stream:
        raise Unsupported(f"{provider} does not stream images.", path="stream")


def drawn(pictures: list[Any], answer: Json, provider: str) -> Json:
    """Return OpenAI's answer with pictures in base64; raises UpstreamInvalid when there is none."""
    made = [{"b64_json": told} for told in pictures if isinstance(told, str) and told]
    if not made:
        if answer.get("error"):
            raise UpstreamInvalid(told_error(provider, answer))
        raise UpstreamInvalid(f"Invalid response received from {provider}: no image.")
    return {"created": int(time.time()), "data": made, "provider": provider}


def _operation(
    provider: str,
    path: str | Callable[[CallFacts], str],
    encode: Callable[..., Json],
    decode: Callable[..., Json],
    fault: Callable[[int, Json | None], ProviderFault] = read_fault,
) -> Operation:
    return Operation(
        path=path,
        encode=partial(encode, provider=provider),
        decode=partial(decode, provider=provider),
        usage=image_usage,
        decoder=lambda _facts: ChunkDecoder(provider, hides_usage=False),
        fault=fault,
    )


# Imagen


def _encode_imagen(body: Json, facts: CallFacts, *, provider: str) -> Json:
    _refuse_stream(facts, provider)
    parameters: Json = {"sampleCount": count_of(body), **_own(body)}
    ratio = aspect_ratio(body, provider)
    if ratio is not None:
        parameters.setdefault("aspectRatio", ratio)
    return {"instances": [{"prompt": body.get("prompt")}], "parameters": parameters}


def _decode_imagen(answer: Json, _facts: CallFacts, *, provider: str) -> Json:
    told = answer.get("predictions")
    pictures = [mapping(one).get("bytesBase64Encoded") for one in told] if isinstance(told, list) else []
    return drawn(pictures, answer, provider)


def imagen(
    provider: str, path: Callable[[CallFacts], str], fault: Callable[[int, Json | None], ProviderFault]
) -> Operation:
    """Return the image operation of a `provider` (its id) that has Imagen, at `path`."""
    return _operation(provider, path, _encode_imagen, _decode_imagen, fault)


# Fireworks AI


def _fireworks_path(facts: CallFacts) -> str:
    name = facts.model.rpartition("/")[2]
    if name.strip(".") == "":
        raise BadRequest("model must name a model.", path="model")
    return f"/workflows/accounts/fireworks/models/{quote(name, safe='', errors='replace')}/text_to_image"


def _encode_fireworks(body: Json, facts: CallFacts, *, provider: str) -> Json:
    _refuse_stream(facts, provider)
    if count_of(body) != 1:
        raise Unsupported(f"{provider} makes one image per call.", path="n")
    request: Json = {"prompt": body.get("prompt"), **_own(body)}
    ratio = aspect_ratio(body, provider)
    if ratio is not None:
        request.setdefault("aspect_ratio", ratio)
    return request


def _decode_fireworks(answer: Json, _facts: CallFacts, *, provider: str) -> Json:
    told = answer.get("base64")
    return drawn(told if isinstance(told, list) else [told], answer, provider)


def _fireworks_bytes(content: bytes, kind: str, _facts: CallFacts, *, provider: str) -> Json:
    if not kind.lower().startswith("image/") or not content:
        raise UpstreamInvalid(f"Invalid response received from {provider}.")
    return drawn([b64encode(content).decode()], {}, provider)


def fireworks_image(provider: str) -> Operation:
    """Return the image operation of Fireworks AI, under the name `provider`."""
    made = _operation(provider, _fireworks_path, _encode_fireworks, _decode_fireworks)
    return replace(made, decode_binary=partial(_fireworks_bytes, provider=provider))


# Hyperbolic


def _encode_hyperbolic(body: Json, facts: CallFacts, *, provider: str) -> Json:
    _refuse_stream(facts, provider)
    request: Json = {"model_name": facts.model, "prompt": body.get("prompt"), **_own(body)}
    if body.get("n") is not None:
        request.setdefault("num_images", count_of(body))
    size = size_of(body)
    if size is not None:
        request.setdefault("width", size[0])
        request.setdefault("height", size[1])
    return request


def _decode_hyperbolic(answer: Json, _facts: CallFacts, *, provider: str) -> Json:
    told = answer.get("images")
    return drawn([mapping(one).get("image") for one in told] if isinstance(told, list) else [], answer, provider)


def hyperbolic_image(provider: str) -> Operation:
    """Return the image operation of Hyperbolic, under the name `provider`."""
    return _operation(provider, "/image/generation", _encode_hyperbolic, _decode_hyperbolic)
