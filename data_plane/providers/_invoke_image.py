"""OpenAI's image generation as the bodies that image models on Bedrock take, each family its own.

Source: https://docs.aws.amazon.com/nova/latest/userguide/image-gen-req-resp-structure.html,
https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-stability-diffusion.html
"""

import time
from collections.abc import Mapping
from typing import Any, Final

from data_plane.core.types import CallFacts, Json
from data_plane.providers._image_size import aspect_ratio, size_of
from data_plane.providers._openai_like import told_error
from data_plane.providers._openai_request import put_if, wrong
from shared.errors import Unsupported, UpstreamInvalid

_AMAZON: Final = ("amazon.titan-image", "amazon.nova-canvas")
_STABILITY: Final = "stability."
_TRANSLATED: Final = frozenset(
    {"model", "prompt", "n", "size", "quality", "response_format", "stream", "negative_prompt"}
)
#: OpenAI's parameters that are left out, each with the reason why the answer means the same without.
LEFT_OUT: Final[Mapping[str, str]] = {
    "user": "about who asks, not about the answer",
    "moderation": "how strictly OpenAI filters; Bedrock's models have one way",
}
#: What belongs beside `imageGenerationConfig`, not into it.
_OF_THE_TASK: Final = frozenset({"taskType", "textToImageParams", "imageGenerationConfig"})
_QUALITIES: Final[Mapping[str, str]] = {
    "hd": "premium", "high": "premium", "premium": "premium", "standard": "standard", "medium": "standard",
    "low": "standard",
}  # fmt: skip


def _own(body: Json) -> Json:
    return {name: value for name, value in body.items() if name not in _TRANSLATED and name not in LEFT_OUT}


def _object(value: Any, name: str) -> Json:
    if value is not None and not isinstance(value, dict):
        raise wrong(name, "must be an object.")
    return dict(value or {})


def _amazon(body: Json) -> Json:
    own = _own(body)
    config = {name: value for name, value in own.items() if name not in _OF_THE_TASK}
    config |= _object(own.get("imageGenerationConfig"), "imageGenerationConfig")
    put_if(config, "numberOfImages", body.get("n"))
    size = size_of(body)
    if size is not None:
        config["width"], config["height"] = size
    quality = body.get("quality")
    put_if(config, "quality", _QUALITIES.get(quality) if isinstance(quality, str) else None)
    task: Json = {"text": body.get("prompt")}
    put_if(task, "negativeText", body.get("negative_prompt"))
    request: Json = {
        "taskType": own.get("taskType") or "TEXT_IMAGE",
        "textToImageParams": task | _object(own.get("textToImageParams"), "textToImageParams"),
    }
    put_if(request, "imageGenerationConfig", config)
    return request


def _stability(body: Json, provider: str) -> Json:
    if body.get("n") not in {None, 1}:
        raise Unsupported(f"{provider} makes one image per call with this model.", path="n")
    request: Json = {"prompt": body.get("prompt"), **_own(body)}
    put_if(request, "negative_prompt", body.get("negative_prompt"))
    if "aspect_ratio" not in request:
        put_if(request, "aspect_ratio", aspect_ratio(body, provider))
    return request


def encode_request(body: Json, facts: CallFacts, *, provider: str) -> Json:
    """Return the body that the model takes; raises BadRequest, and Unsupported for a model of another family."""
    if body.get("response_format") == "url":
        raise Unsupported(f"{provider} answers with images, not with URLs of them.", path="response_format")
    n = body.get("n")
    if n is not None and type(n) is not int:
        raise wrong("n", "must be a whole number.")
    if any(name in facts.model for name in _AMAZON):
        return _amazon(body)
    if _STABILITY in facts.model:
        return _stability(body, provider)
    raise Unsupported(f"{provider} makes no images with the model {facts.model}.", path="model")


def _why(answer: Json) -> str:
    """Return why there is no image: a refusal comes with status 200."""
    reasons = answer.get("finish_reasons")
    told = [reason for reason in reasons if isinstance(reason, str)] if isinstance(reasons, list) else []
    error = answer.get("error") or answer.get("message")
    return "; ".join(told) or (error if isinstance(error, str) else "")


def decode_answer(answer: Json, _facts: CallFacts, *, provider: str) -> Json:
    """Return OpenAI's answer; raises UpstreamInvalid when there is no image."""
    images = answer.get("images")
    made = [image for image in images if isinstance(image, str) and image] if isinstance(images, list) else []
    if not made:
        why = _why(answer)
        told = told_error(provider, {"message": why}) if why else f"Invalid response received from {provider}."
        raise UpstreamInvalid(told)
    return {"created": int(time.time()), "data": [{"b64_json": image} for image in made], "provider": provider}
