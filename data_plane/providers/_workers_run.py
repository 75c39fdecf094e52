"""Operations that Workers AI has no words of OpenAI's for: one endpoint runs any model, by its name.

What a body must look like is the model's own affair: JSON for most, a form for newer models of images, and nothing but
the sound for the first ones that listen.  So a request holds its model until it is written.
Source: https://developers.cloudflare.com/workers-ai/models
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
from data_plane.providers._image_size import count_of, size_of
from data_plane.providers._listed_fault import refuse_listed
from data_plane.providers._openai_like import mapping
from data_plane.providers._openai_request import put_if, wrong
from data_plane.providers._rerank import decode_ranks, document_texts, own_words
from shared.errors import BadRequest, Unsupported, UpstreamInvalid

#: OpenAI's parameters that are left out, each with the reason why the answer means the same without.
LEFT_OUT: Final[Mapping[str, str]] = {
    "user": "about who asks, not about the answer",
    "response_format": "images always come in base64; what a transcription cannot be is refused",
    "quality": "each of these models has one quality",
    "style": "OpenAI's names of two moods",
    "moderation": "how strictly OpenAI filters; these models have one way",
    "temperature": "a transcript is written in one way",
    "timestamp_granularities[]": "whatever times there are come",
}
_OF_IMAGES: Final = frozenset({"prompt", "n", "size", "model", "stream"})
_OF_SOUND: Final = frozenset({"file", "model", "prompt", "language", "stream"})
#: The generation of image models that takes forms only.
_BY_FORM: Final = "flux-2"
_LISTENS: Final = "whisper"
_LISTENS_TO_JSON: Final = "whisper-large-v3"
_TRANSCRIPTS: Final = (None, "json", "verbose_json")


def run_path(facts: CallFacts) -> str:
    """Return where the model runs; raises BadRequest for a name that leads elsewhere."""
    if any(step.strip(".") == "" for step in facts.model.split("/")):
        raise BadRequest("model must name a model.", path="model")
    return f"/run/{quote(facts.model, safe='@/', errors='replace')}"


def write_run(request: Json) -> Binary:
    """Return a request as its model takes it; raises BadRequest."""
    model, body = request["model"], {name: value for name, value in request.items() if name != "model"}
    sound = body.get("file")
    if isinstance(sound, FormFile):
        return Binary((sound.content,), sound.content_type or "application/octet-stream")
    try:
        if _BY_FORM in model:
            return write_form(body, token_hex(24))
        return Binary((orjson.dumps(body),), "application/json")
    except TypeError:
        raise BadRequest("The request holds a value that cannot be written.", path="body") from None


def _result(answer: Json, provider: str) -> Json:
    """Return what a run made; raises UpstreamInvalid with Cloudflare's reasons."""
    held = answer.get("result")
    if answer.get("success") is False or not isinstance(held, dict) or not held:
        raise refuse_listed(answer, provider)
    return held


def _refuse_stream(facts: CallFacts, provider: str) -> None:
    if facts.stream:
        raise Unsupported(f"{provider} does not stream this.", path="stream")


# images


def encode_image(body: Json, facts: CallFacts, *, provider: str) -> Json:
    """Return the order for an image; raises BadRequest and Unsupported."""
    _refuse_stream(facts, provider)
    if count_of(body) != 1:
        raise Unsupported(f"{provider} makes one image per call.", path="n")
    own = {name: value for name, value in body.items() if name not in _OF_IMAGES and name not in LEFT_OUT}
    request: Json = {"model": facts.model, "prompt": body.get("prompt"), **own}
    size = size_of(body)
    if size is not None:
        request["width"], request["height"] = size
    return request


def _drawn(image: str, provider: str) -> Json:
    return {"created": int(time.time()), "data": [{"b64_json": image}], "provider": provider}


def decode_image(answer: Json, _facts: CallFacts, *, provider: str) -> Json:
    """Return OpenAI's answer; raises UpstreamInvalid when there is no image."""
    image = _result(answer, provider).get("image")
    if not isinstance(image, str) or not image:
        raise refuse_listed(answer, provider)
    return _drawn(image, provider)


def decode_image_bytes(content: bytes, kind: str, _facts: CallFacts, *, provider: str) -> Json:
    """Return OpenAI's answer of an image itself; raises UpstreamInvalid for anything else."""
    if not kind.lower().startswith("image/") or not content:
        raise UpstreamInvalid(f"Invalid response received from {provider}.")
    return _drawn(b64encode(content).decode(), provider)


# sound


def encode_sound(body: Json, facts: CallFacts, *, provider: str, task: str) -> Json:
    """Return the request that has a sound written down, or translated (`task`); raises BadRequest and Unsupported."""
    _refuse_stream(facts, provider)
    if _LISTENS not in facts.model or (task != "transcribe" and _LISTENS_TO_JSON not in facts.model):
        raise Unsupported(f"{task} is not supported by {provider} with the model {facts.model}.", path="model")
    sound, wanted = body.get("file"), body.get("response_format")
    if not isinstance(sound, FormFile):
        raise wrong("file", "must be a file.")
    if wanted not in _TRANSCRIPTS:
        raise Unsupported(f"{provider} writes transcripts as json or verbose_json.", path="response_format")
    if _LISTENS_TO_JSON not in facts.model:
        for name in ("language", "prompt"):
            if body.get(name):
                raise Unsupported(f"{provider} takes no {name} with this model.", path=name)
        return {"model": facts.model, "file": sound}
    own = {name: value for name, value in body.items() if name not in _OF_SOUND and name not in LEFT_OUT}
    request: Json = {"model": facts.model, "audio": b64encode(sound.content).decode(), "task": task, **own}
    put_if(request, "language", body.get("language"))
    put_if(request, "initial_prompt", body.get("prompt"))
    return request


def _listed(value: Any) -> list[Json]:
    return [dict(item) for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _verbose(result: Json, heard: Mapping[str, Any]) -> Json:
    """Return what OpenAI tells besides the text, as far as the model does."""
    segments = _listed(result.get("segments"))
    words = _listed(result.get("words")) or [word for segment in segments for word in _listed(segment.get("words"))]
    told: Json = {name: heard[name] for name in ("language", "duration") if heard.get(name) is not None}
    put_if(told, "segments", [{"id": number, **segment} for number, segment in enumerate(segments)])
    put_if(told, "words", words)
    return told


def decode_sound(answer: Json, facts: CallFacts, *, provider: str, task: str) -> Json:
    """Return OpenAI's transcript; raises UpstreamInvalid when there is no text."""
    result = _result(answer, provider)
    if not isinstance(result.get("text"), str):
        raise refuse_listed(answer, provider)
    heard = mapping(result.get("transcription_info"))
    transcript: Json = {"text": result["text"]}
    if facts.asked.get("response_format") == "verbose_json":
        transcript = {"task": task, **transcript, **_verbose(result, heard)}
    seconds = heard.get("duration")
    if isinstance(seconds, int | float) and not isinstance(seconds, bool):
        transcript["usage"] = {"type": "duration", "seconds": seconds}
    return {**transcript, "provider": provider}


# ranks


def encode_ranks(body: Json, facts: CallFacts, *, provider: str) -> Json:  # noqa: ARG001 -- as the other encoders
    """Return the request for ranks; raises BadRequest."""
    contexts = [{"text": text} for text in document_texts(body)]
    request = {"model": facts.model, "query": body.get("query"), "contexts": contexts, **own_words(body)}
    put_if(request, "top_k", body.get("top_n"))
    return request


def decode_run_ranks(answer: Json, facts: CallFacts, *, provider: str) -> Json:
    """Return ranks in the normal form, which a run names by ids; raises UpstreamInvalid."""
    result = _result(answer, provider)
    listed = result.get("response")
    rows = [{**row, "index": row.get("id")} for row in _listed(listed)] if isinstance(listed, list) else None
    if rows is not None and isinstance(listed, list) and len(rows) != len(listed):
        rows = None
    return decode_ranks({"results": rows, "usage": result.get("usage")}, facts, provider=provider)
