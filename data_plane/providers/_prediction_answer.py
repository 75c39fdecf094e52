"""What came of a prediction on Replicate?  Its output as a chat or as images, or why there is none.

A prediction that is still running when Replicate stops waiting is an error: an answer without the answer would look
like an empty one.  Texts of models come as lists of pieces; a caller's stream is made of the whole when it is there.
Source: https://replicate.com/docs/topics/predictions/create-a-prediction
"""

import time
from typing import Any, Final
from uuid import uuid4

import orjson

from data_plane.core.types import CallFacts, Json, Usage
from data_plane.providers._openai_like import count, mapping, read_usage, told_error
from data_plane.providers.base import Framing
from shared.errors import GatewayError, UpstreamBroken, UpstreamInvalid, UpstreamTimeout

_RUNNING: Final = frozenset({"starting", "processing"})
_DONE: Final = "succeeded"
#: As much as a whole answer may hold.
MAX_ANSWER_BYTES: Final = 32 * 1024 * 1024


class StillRunning(UpstreamTimeout):
    """The prediction takes longer than its provider keeps a call open; it goes on, under its id."""

    def __init__(self, provider: str, prediction: object) -> None:
        named = f" {prediction}" if isinstance(prediction, str) and prediction.isalnum() else ""
        GatewayError.__init__(self, f"{provider} error: the prediction{named} was not ready in time.")


def _output(answer: Json, provider: str) -> Any:
    """Return what a prediction put out; raises StillRunning, and UpstreamInvalid when it failed or is none."""
    status = answer.get("status")
    if status in _RUNNING if isinstance(status, str) else False:
        raise StillRunning(provider, answer.get("id"))
    if answer.get("error"):
        raise UpstreamInvalid(told_error(provider, {"error": answer["error"]}))
    if status != _DONE:
        named = isinstance(status, str) and status.isalpha()
        raise UpstreamInvalid(
            f"{provider} error: the prediction ended as {status}."
            if named
            else f"Invalid response received from {provider}."
        )
    return answer.get("output")


def _usage(answer: Json) -> Json | None:
    """Return OpenAI's usage object of what a language model counted, None when it did not."""
    metrics = mapping(answer.get("metrics"))
    if not ("input_token_count" in metrics or "output_token_count" in metrics):
        return None
    told = count(metrics.get("input_token_count")), count(metrics.get("output_token_count"))
    return {"prompt_tokens": told[0], "completion_tokens": told[1], "total_tokens": sum(told)}


def _text(output: Any, provider: str) -> str:
    if isinstance(output, str):
        return output
    if isinstance(output, list) and all(isinstance(piece, str) for piece in output):
        return "".join(output)
    raise UpstreamInvalid(f"{provider} error: the model put out no text.")


def decode_chat(answer: Json, facts: CallFacts, *, provider: str) -> Json:
    """Return the chat completion of a prediction; raises StillRunning and UpstreamInvalid."""
    text = _text(_output(answer, provider), provider)
    name = answer.get("id")
    completion: Json = {
        "id": name if isinstance(name, str) and name else f"chatcmpl-{uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": facts.model,
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": text}, "logprobs": None, "finish_reason": "stop"}
        ],
    }
    usage = _usage(answer)
    if usage is not None:
        completion["usage"] = usage
    completion["provider"] = provider
    return completion


def _image(told: Any) -> Json | None:
    if not isinstance(told, str):
        return None
    if told.startswith("data:"):
        return {"b64_json": told.partition("base64,")[2]}
    return {"url": told} if told.startswith("https://") else None


def decode_image(answer: Json, _facts: CallFacts, *, provider: str) -> Json:
    """Return OpenAI's images of a prediction; raises StillRunning and UpstreamInvalid."""
    output = _output(answer, provider)
    listed = output if isinstance(output, list) else [output]
    images = [image for told in listed if (image := _image(told)) is not None]
    if not images or len(images) != len(listed):
        raise UpstreamInvalid(f"{provider} error: the model put out no image.")
    return {"created": int(time.time()), "data": images, "provider": provider}


class WholeSplitter:
    """Keeps a body until it is whole, and makes one event of it."""

    def __init__(self) -> None:
        self._pieces = bytearray()

    def feed(self, piece: bytes) -> list[tuple[str, bytes]]:
        """Return nothing; raises UpstreamInvalid when the body is too large."""
        self._pieces += piece
        if len(self._pieces) > MAX_ANSWER_BYTES:
            raise UpstreamInvalid("The provider sent an answer that is too large.")
        return []

    def close(self) -> list[tuple[str, bytes]]:
        """Return the body."""
        return [("", bytes(self._pieces))]


WHOLE: Final = Framing(WholeSplitter, "application/json")


class PredictionDecoder:
    """Makes a stream of a whole prediction: its text, its end, its tokens."""

    def __init__(self, facts: CallFacts, *, provider: str) -> None:
        self.usage: Usage | None = None
        self.model: str | None = facts.model
        self.finished = False
        self._facts = facts
        self._provider = provider

    def feed(self, _event: str, data: bytes) -> list[bytes]:
        """Return the chunks of the prediction; raises StillRunning, and UpstreamBroken when there is no answer."""
        try:
            told = orjson.loads(data)
        except orjson.JSONDecodeError:
            told = None
        if not isinstance(told, dict):
            raise UpstreamBroken(f"{self._provider} sent an answer that cannot be understood.")
        try:
            completion = decode_chat(told, self._facts, provider=self._provider)
        except UpstreamInvalid as fault:
            raise UpstreamBroken(fault.message) from None
        self.finished = True
        return self._chunks(completion)

    def _chunks(self, completion: Json) -> list[bytes]:
        head = {name: completion[name] for name in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
        message, usage = completion["choices"][0]["message"], completion.get("usage")
        out = [
            orjson.dumps({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
            for delta, finish in ((message, None), ({}, "stop"))
        ]
        if usage is not None:
            self.usage = read_usage(usage)
            if self._facts.include_usage:
                out.append(orjson.dumps({**head, "choices": [], "usage": usage}))
        return out
