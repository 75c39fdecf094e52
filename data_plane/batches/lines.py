"""One line of a batch: what is asked, and what is written about it.  Pure.

Source: https://platform.openai.com/docs/guides/batch
"""

from dataclasses import dataclass
from typing import Any, Final

import msgspec
import orjson

from data_plane.core.endpoint import ENDPOINTS

Json = dict[str, Any]
#: Operations whose answers are JSON, so that a line can hold them, by the path that a batch names.
BATCHED: Final = {
    ENDPOINTS[name].path: name
    for name in ("chat", "complete", "embed", "responses", "messages", "moderate", "rerank", "image")
}
MAX_CUSTOM_ID_CHARS: Final = 512


@dataclass(frozen=True, slots=True)
class Line:
    """One request of a batch; `number` counts from 1.  A line with a `fault` is not sent."""

    number: int
    custom_id: str
    body: bytes
    fault: str | None = None


class _Asked(msgspec.Struct):
    custom_id: str
    body: msgspec.Raw
    method: str = "POST"
    url: str | None = None


class _Streamed(msgspec.Struct):
    stream: Any = None


_ASKED: Final = msgspec.json.Decoder(_Asked)
_STREAMED: Final = msgspec.json.Decoder(_Streamed)


def _unfit(asked: _Asked, endpoint: str) -> str | None:
    if not asked.custom_id or len(asked.custom_id) > MAX_CUSTOM_ID_CHARS:
        return f"custom_id must have 1 to {MAX_CUSTOM_ID_CHARS} characters"
    if asked.method.upper() != "POST":
        return "method must be POST"
    if asked.url is not None and asked.url != endpoint:
        return f"url must be the batch's endpoint, {endpoint}"
    try:
        if _STREAMED.decode(asked.body).stream:
            return "stream cannot be had in a batch"
    except msgspec.DecodeError:
        return "body must be an object"
    return None


def read_line(number: int, text: bytes, endpoint: str, seen: set[str]) -> Line | None:
    """Return what a line asks, None for an empty one; `seen` are the custom ids so far, to which this one is added.

    A line that cannot be sent has a `fault`, and so has a second one with the same custom id.
    """
    if not text.strip():
        return None
    try:
        asked = _ASKED.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as unread:
        return Line(number, f"line-{number}", b"", f"not a request: {unread}")
    fault = _unfit(asked, endpoint)
    if fault is None and asked.custom_id in seen:
        fault = f"custom_id {asked.custom_id} was used before"
    seen.add(asked.custom_id)
    return Line(number, asked.custom_id, bytes(asked.body), fault)


def answer_line(custom_id: str, request_id: str, status: int, body: bytes) -> bytes:
    """Return what is written about an answer, whatever its status."""
    try:
        told: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        told = body.decode("utf-8", "replace")
    response = {"status_code": status, "request_id": request_id, "body": told}
    return orjson.dumps({"id": f"batch_req_{request_id}", "custom_id": custom_id, "response": response, "error": None})


def error_line(custom_id: str, code: str, message: str) -> bytes:
    """Return what is written about a line that was not sent."""
    told = {"id": None, "custom_id": custom_id, "response": None, "error": {"code": code, "message": message}}
    return orjson.dumps(told)


class Written(msgspec.Struct):
    """What is read of a line that was written: whose it is."""

    custom_id: str


_WRITTEN: Final = msgspec.json.Decoder(Written)


def read_written(text: bytes) -> str | None:
    """Return the custom id of a line that was written, None for one that was cut off."""
    if not text.endswith(b"\n"):
        return None
    try:
        return _WRITTEN.decode(text).custom_id
    except (msgspec.DecodeError, UnicodeError):
        return None
