"""OpenAI's images as Stability AI's two APIs take them, told apart by the model.

Engines like `stable-diffusion-xl-1024-v1-0` get JSON (version 1); `core`, `ultra` and `sd3.5-…` get a form (version 2).
Answers hold images in base64, whatever `response_format` says: a URL would have to live somewhere.
Source: https://platform.stability.ai/docs/api-reference
"""

import time
from base64 import b64encode
from collections.abc import Mapping
from secrets import token_hex
from typing import Any, Final
from urllib.parse import quote

import orjson

from data_plane.core.form import Binary, FormFile, write_form
from data_plane.core.types import CallFacts, Json
from data_plane.providers._image_size import aspect_ratio, count_of, size_of
from data_plane.providers._listed_fault import refuse_listed
from data_plane.providers._openai_like import mapping
from data_plane.providers._openai_request import put_if, wrong
from shared.errors import BadRequest, Unsupported, UpstreamInvalid

_FIRST: Final = "stable-diffusion-"
_SD3: Final = "sd3"
_PREFIX: Final = "stable-image-"
#: Ways of changing an image that are chosen like a model.
_EDITS: Final = frozenset(
    {"inpaint", "outpaint", "erase", "search-and-replace", "search-and-recolor", "remove-background"}
)
_TRANSLATED: Final = frozenset({"model", "prompt", "n", "size", "negative_prompt", "stream"})
_FILES: Final = frozenset({"image", "image[]", "mask"})
#: OpenAI's parameters that are left out, each with the reason why the answer means the same without.
LEFT_OUT: Final[Mapping[str, str]] = {
    "user": "about who asks, not about the answer",
    "response_format": "images always come in base64, as OpenAI's newer models send them",
    "quality": "each of Stability's models has one quality",
    "style": "OpenAI's names of two moods; Stability's own are in style_preset",
    "moderation": "how strictly OpenAI filters; Stability has one way",
}
#: How much of an image is drawn anew when nobody says; the counterpart of version 1's default.
DEFAULT_STRENGTH: Final = 0.65
_DONE: Final = "SUCCESS"


def _own(body: Json) -> Json:
    return {name: value for name, value in body.items() if name not in _TRANSLATED and name not in LEFT_OUT}


def _own_texts(body: Json) -> Json:
    return {name: value for name, value in _own(body).items() if name not in _FILES}


def _name(facts: CallFacts) -> str:
    """Return how the model is called in a path; raises BadRequest."""
    name = facts.model.removeprefix(_PREFIX)
    if name.strip(".") == "":
        raise BadRequest("model must name a model.", path="model")
    return quote(_SD3 if name.startswith(_SD3) else name, safe="", errors="replace")


def _is_first(facts: CallFacts) -> bool:
    return facts.model.startswith(_FIRST)


def image_path(facts: CallFacts) -> str:
    """Return where the model draws; raises BadRequest."""
    if _is_first(facts):
        return f"/v1/generation/{_name(facts)}/text-to-image"
    return f"/v2beta/stable-image/generate/{_name(facts)}"


def edit_path(facts: CallFacts) -> str:
    """Return where the model changes an image; raises BadRequest."""
    if _is_first(facts):
        return f"/v1/generation/{_name(facts)}/image-to-image"
    kind = "edit" if _name(facts) in _EDITS else "generate"
    return f"/v2beta/stable-image/{kind}/{_name(facts)}"


def _prompts(body: Json) -> list[Json]:
    prompts: list[Json] = [{"text": body.get("prompt"), "weight": 1}]
    if body.get("negative_prompt"):
        prompts.append({"text": body["negative_prompt"], "weight": -1})
    return prompts


def _one(body: Json, provider: str) -> None:
    if count_of(body) != 1:
        raise Unsupported(f"{provider} makes one image per call with this model.", path="n")


def _refuse_stream(facts: CallFacts, provider: str) -> None:
    if facts.stream:
        raise Unsupported(f"{provider} does not stream images.", path="stream")


def _first(body: Json) -> Json:
    request: Json = {"text_prompts": _prompts(body), **_own(body)}
    if body.get("n") is not None:
        request["samples"] = count_of(body)
    size = size_of(body)
    if size is not None:
        request["width"], request["height"] = size
    return request


def _second(body: Json, facts: CallFacts, provider: str) -> Json:
    _one(body, provider)
    request: Json = {"prompt": body.get("prompt"), **_own(body)}
    put_if(request, "negative_prompt", body.get("negative_prompt"))
    if "aspect_ratio" not in request:
        put_if(request, "aspect_ratio", aspect_ratio(body, provider))
    return request | _sort(facts)


def _sort(facts: CallFacts) -> Json:
    """Return which of the models is meant that share a path."""
    return {"model": facts.model} if facts.model.startswith(_SD3) and facts.model != _SD3 else {}


def encode_image(body: Json, facts: CallFacts, *, provider: str) -> Json:
    """Return the request of the model's API; raises BadRequest and Unsupported."""
    _refuse_stream(facts, provider)
    return _first(body) if _is_first(facts) else _second(body, facts, provider)


def _image(body: Json, provider: str) -> FormFile:
    """Return the image that is to be changed; raises BadRequest and Unsupported."""
    held = [item for name in ("image", "image[]") for item in _items(body.get(name))]
    if len(held) > 1:
        raise Unsupported(f"{provider} changes one image per call.", path="image")
    if not held or not isinstance(held[0], FormFile):
        raise wrong("image", "must be a file.")
    return held[0]


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _refuse(body: Json, provider: str, *names: str) -> None:
    for name in names:
        if body.get(name) not in (None, "auto"):
            raise Unsupported(f"{provider} takes no {name} with this model.", path=name)


def encode_edit(body: Json, facts: CallFacts, *, provider: str) -> Json:
    """Return the form of the model's API; raises BadRequest and Unsupported."""
    _refuse_stream(facts, provider)
    image = _image(body, provider)
    if _is_first(facts):
        return _first_edit(body, image, provider)
    _one(body, provider)
    form: Json = {"image": image, **_own_texts(body)}
    put_if(form, "prompt", body.get("prompt"))
    put_if(form, "negative_prompt", body.get("negative_prompt"))
    if _name(facts) in _EDITS:
        put_if(form, "mask", body.get("mask"))
        _refuse(body, provider, "size")
        return form
    if _name(facts) not in (_SD3, "ultra"):
        raise Unsupported(f"edit_image is not supported by {provider} with the model {facts.model}.", path="model")
    _refuse(body, provider, "mask", *(("size",) if _name(facts) == _SD3 else ()))
    form.setdefault("strength", DEFAULT_STRENGTH)
    if _name(facts) == _SD3:
        form["mode"] = "image-to-image"
    elif "aspect_ratio" not in form:
        put_if(form, "aspect_ratio", aspect_ratio(body, provider))
    return form | _sort(facts)


def _first_edit(body: Json, image: FormFile, provider: str) -> Json:
    # What these engines call a mask is another thing: brightness, not transparency, says what is drawn anew.
    _refuse(body, provider, "mask", "size")
    form: Json = {"init_image": image, **_own_texts(body)}
    for number, prompt in enumerate(_prompts(body)):
        form |= {f"text_prompts[{number}][{name}]": value for name, value in prompt.items()}
    if body.get("n") is not None:
        form["samples"] = count_of(body)
    return form


def write_image(request: Json) -> Binary:
    """Return a request as JSON or as a form, as its API takes it; raises BadRequest."""
    try:
        if "text_prompts" in request:
            return Binary((orjson.dumps(request),), "application/json")
        return write_form(request, token_hex(24))
    except TypeError:
        raise BadRequest("The request holds a value that cannot be written.", path="body") from None


def _made(answer: Json) -> list[Json]:
    """Return what an answer holds, each as {base64, finish, seed}."""
    listed = answer.get("artifacts")
    if isinstance(listed, list):
        found = [(told.get("base64"), told.get("finishReason"), told.get("seed")) for told in map(mapping, listed)]
    else:
        found = [(answer.get("image"), answer.get("finish_reason"), answer.get("seed"))]
    return [{"base64": image, "finish": finish, "seed": seed} for image, finish, seed in found]


def _drawn(images: list[Json], provider: str) -> Json:
    return {"created": int(time.time()), "data": images, "provider": provider}


def decode_image(answer: Json, facts: CallFacts, *, provider: str) -> Json:
    """Return OpenAI's answer; raises UpstreamInvalid when there is no image, or only ones that were made unseeable."""
    made = _made(answer)
    images = [
        {"b64_json": item["base64"], **({} if facts.strict else {"seed": item["seed"]})}
        for item in made
        if isinstance(item["base64"], str) and item["base64"] and item["finish"] in (None, _DONE)
    ]
    if not images:
        finishes = [item["finish"] for item in made if isinstance(item["finish"], str)]
        raise refuse_listed({"message": "; ".join(finishes)} if finishes else answer, provider)
    return _drawn(images, provider)


def decode_bytes(content: bytes, kind: str, _facts: CallFacts, *, provider: str) -> Json:
    """Return OpenAI's answer of an image itself; raises UpstreamInvalid for anything else."""
    if not kind.lower().startswith("image/") or not content:
        raise UpstreamInvalid(f"Invalid response received from {provider}.")
    return _drawn([{"b64_json": b64encode(content).decode()}], provider)
