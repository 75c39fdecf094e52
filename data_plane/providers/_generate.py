"""OpenAI's text completions as the generate extension of Triton: one text in, one text out, nothing counted.

A stream has no last event: it is complete when the server ends it, and a connection that breaks says so itself.
Source: https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/protocol/extension_generate.html
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote
from uuid import uuid4

import orjson

from data_plane.core.types import CallFacts, Json, Usage
from data_plane.providers._openai_like import DONE, told_error
from data_plane.providers._openai_request import max_tokens_of, put_if, refuse_what_matters, stop_of, wrong
from shared.errors import BadRequest, Unsupported, UpstreamBroken, UpstreamInvalid

_ID: Final = "triton"
_TRANSLATED: Final = frozenset({"model", "prompt", "max_tokens", "max_completion_tokens", "stop", "stream"})
#: OpenAI's parameters that are left out, each with the reason why the answer means the same without.
LEFT_OUT: Final[Mapping[str, str]] = {
    "user": "about who asks, not about the answer",
    "stream_options": "nothing is counted that could be shown",
}
#: OpenAI's parameters that change what the answer is, and which of their values do.
REFUSED: Final[Mapping[str, Callable[[Any], bool]]] = {
    "n": lambda value: value != 1,
    "best_of": lambda value: value != 1,
    "suffix": bool,
    "logprobs": bool,
    "logit_bias": bool,
    "echo": bool,
}
_OURS: Final = _TRANSLATED | LEFT_OUT.keys() | REFUSED.keys()


def model_step(facts: CallFacts) -> str:
    """Return the model as one step of a path; raises BadRequest."""
    if facts.model.strip(".") == "":
        raise BadRequest("model must name a model.", path="model")
    return quote(facts.model, safe="", errors="replace")


def _prompt(body: Json) -> str:
    prompt = body.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if isinstance(prompt, list | int):
        raise Unsupported(f"{_ID} completes one text per call.", path="prompt")
    if not isinstance(prompt, str):
        raise wrong("prompt", "must be a string.")
    return prompt


def encode_prompt(body: Json, facts: CallFacts) -> Json:
    """Return the request of a completion; raises BadRequest and Unsupported."""
    refuse_what_matters(body, _ID, REFUSED)
    request: Json = {name: value for name, value in body.items() if name not in _OURS}
    request["text_input"] = _prompt(body)
    put_if(request, "max_tokens", max_tokens_of(body))
    put_if(request, "stop_words", stop_of(body))
    if facts.stream:
        request["stream"] = True
    return request


def _text_of(told: Json) -> str | None:
    text = told.get("text_output")
    if isinstance(text, list) and all(isinstance(part, str) for part in text):
        return "".join(text)
    return text if isinstance(text, str) else None


def _completion(facts: CallFacts, text: str, finish: str | None) -> Json:
    return {
        "id": f"cmpl-{uuid4().hex}",
        "object": "text_completion",
        "created": int(time.time()),
        "model": facts.model,
        "choices": [{"index": 0, "text": text, "logprobs": None, "finish_reason": finish}],
    }


def decode_text(answer: Json, facts: CallFacts) -> Json:
    """Return the completion of an answer; raises UpstreamInvalid when it holds no text."""
    text = _text_of(answer)
    if text is None:
        if answer.get("error"):
            raise UpstreamInvalid(told_error(_ID, answer))
        raise UpstreamInvalid(f"Invalid response received from {_ID}.")
    return {**_completion(facts, text, "stop"), "provider": _ID}


class GenerateDecoder:
    """One stream: complete whenever the server ends it, once it has said something."""

    def __init__(self, facts: CallFacts) -> None:
        self.usage: Usage | None = None
        self.model: str | None = facts.model
        self.finished = False
        self._head = _completion(facts, "", None)

    def _chunk(self, text: str, finish: str | None) -> bytes:
        choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish}
        return orjson.dumps({**self._head, "choices": [choice]})

    def feed(self, _event: str, data: bytes) -> list[bytes]:
        """Return the chunk of a piece of text; see `StreamDecoder.feed`."""
        if data.strip() in {b"", DONE}:
            return []
        try:
            told = orjson.loads(data)
        except orjson.JSONDecodeError:
            told = None
        if isinstance(told, dict) and told.get("error"):
            raise UpstreamBroken(told_error(_ID, told))
        text = _text_of(told) if isinstance(told, dict) else None
        if text is None:
            raise UpstreamBroken(f"{_ID} sent a piece of the answer that cannot be understood.")
        self.finished = True
        return [self._chunk(text, None)] if text else []

    def close(self) -> list[bytes]:
        """Return the chunk that says that the text is complete."""
        return [self._chunk("", "stop")]
