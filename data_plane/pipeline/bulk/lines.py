"""Lines of files, translated one by one while they pass: a file of any size takes the memory of its longest line."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec
import orjson

from data_plane.core.types import CallFacts, Json
from data_plane.providers._bulk import BATCHED, Batches, Result, Tunings
from shared.errors import BadRequest, Forbidden, GatewayError, UpstreamInvalid
from shared.routing.naming import split_model

MAX_LINE_BYTES: Final = 32 * 1024 * 1024
MAX_CUSTOM_ID_CHARS: Final = 512
BATCH: Final = "batch"
FINE_TUNE: Final = "fine-tune"
PURPOSES: Final = (BATCH, FINE_TUNE)


class LineSplitter:
    """Cuts a stream of bytes into lines; one longer than `limit` raises `too_long`."""

    def __init__(self, too_long: Callable[[int], GatewayError], limit: int = MAX_LINE_BYTES) -> None:
        self._rest = bytearray()
        self._too_long = too_long
        self._limit = limit
        self.number = 0

    def _counted(self, line: bytes) -> tuple[int, bytes]:
        self.number += 1
        if len(line) > self._limit:
            raise self._too_long(self.number)
        return self.number, line

    def feed(self, piece: bytes) -> list[tuple[int, bytes]]:
        """Return the lines that `piece` completes, each with its number from 1."""
        begun, newline, _ = piece.rpartition(b"\n")
        if not newline:
            self._rest += piece
            if len(self._rest) > self._limit:
                raise self._too_long(self.number + 1)
            return []
        whole = bytes(self._rest) + begun
        self._rest = bytearray(piece[len(begun) + 1 :])
        return [self._counted(line) for line in whole.split(b"\n")]

    def close(self) -> list[tuple[int, bytes]]:
        """Return the last line, when the file does not end with a newline."""
        rest, self._rest = bytes(self._rest), bytearray()
        return [self._counted(rest)] if rest else []


def line_too_long(number: int) -> GatewayError:
    """Return the refusal of a caller's line."""
    return BadRequest(f"Line {number} of the file is longer than {MAX_LINE_BYTES} bytes.", path="file")


def result_too_long(number: int) -> GatewayError:
    """Return the failure of a provider's line."""
    return UpstreamInvalid(f"Line {number} of the results is longer than {MAX_LINE_BYTES} bytes.")


def decoded_line(line: bytes) -> Json | None:
    """Return the JSON object that a line is, None for any other."""
    try:
        told: Any = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return told if isinstance(told, dict) else None


@dataclass(slots=True)
class LineEncoder:
    """Makes the provider's lines of OpenAI's.

    `model` is what the whole file is for when it `is_fixed`, whatever the lines say; else it is that of the first line,
    and the others must have the same.  `allowed` raises for a model that the account may not call.  `purpose` "" is
    read off the first line.
    """

    batches: Batches
    tunings: Tunings
    facts: CallFacts
    purpose: str
    allowed: Callable[[str], None]
    model: str = ""
    is_fixed: bool = False
    operation: str = ""
    count: int = 0

    def encode(self, number: int, line: bytes) -> bytes:
        """Return the provider's line, b"" for an empty one; raises BadRequest and Unsupported that name the line."""
        if not line.strip():
            return b""
        said = decoded_line(line)
        if said is None:
            raise BadRequest(f"Line {number} of the file is not a JSON object.", path="file")
        if not self.purpose:
            self.purpose = FINE_TUNE if "custom_id" not in said and "messages" in said else BATCH
        try:
            made = self._request(said) if self.purpose == BATCH else self._example(said)
            encoded = orjson.dumps(made) + b"\n"
        except GatewayError as error:
            place = f" ({error.path})" if error.path else ""
            told = f"Line {number} of the file: {error.message}{place}"
            raise (Forbidden if isinstance(error, Forbidden) else BadRequest)(told, path="file") from None
        except (TypeError, RecursionError):
            raise BadRequest(
                f"Line {number} of the file is nested too deeply, or has a number too large.", path="file"
            ) from None
        self.count += 1
        return encoded

    def _example(self, said: Json) -> Json:
        self.allowed(self.model)
        return self.tunings.encode(said, replace(self.facts, model=self.model, asked=said))

    def _choose_model(self, body: Json) -> None:
        asked = body.get("model")
        if asked is not None and not isinstance(asked, str):
            raise BadRequest("model must be a string.", path="body.model")
        bare = split_model(asked or "")[1]
        if self.is_fixed:
            return
        if not bare:
            raise BadRequest("a model is required, here or for the whole file.", path="body.model")
        self.model = self.model or bare
        if bare != self.model:
            raise BadRequest(f"all lines must have one model, {self.model}.", path="body.model")

    def _request(self, said: Json) -> Json:
        custom_id, body, url = said.get("custom_id"), said.get("body"), said.get("url")
        if not isinstance(custom_id, str) or not 0 < len(custom_id) <= MAX_CUSTOM_ID_CHARS:
            raise BadRequest(f"custom_id must have 1 to {MAX_CUSTOM_ID_CHARS} characters.", path="custom_id")
        if said.get("method", "POST") != "POST":
            raise BadRequest("method must be POST.", path="method")
        if not isinstance(body, dict):
            raise BadRequest("body must be an object.", path="body")
        if body.get("stream"):
            raise BadRequest("stream cannot be had in a batch.", path="body.stream")
        if url is None:
            url = "/v1/embeddings" if "input" in body and "messages" not in body else "/v1/chat/completions"
        operation = BATCHED.get(url) if isinstance(url, str) else None
        if operation is None:
            raise BadRequest(f"url must be one of: {', '.join(BATCHED)}", path="url")
        if self.operation and operation != self.operation:
            raise BadRequest("all lines must have one url.", path="url")
        self.operation = operation
        self._choose_model(body)
        self.allowed(self.model)
        facts = replace(self.facts, model=self.model, asked=body)
        return self.batches.encode(custom_id, operation, {**body, "model": self.model}, facts)


def result_line(number: int, result: Result) -> bytes:
    """Return OpenAI's line of what became of the request with this number, from 1."""
    name = f"batch_req_{number}"
    response = error = None
    if result.body is not None:
        response = {"status_code": result.status, "request_id": name, "body": result.body}
    else:
        error = {"code": "provider_error", "message": result.error}
    told = {"id": name, "custom_id": result.custom_id, "response": response, "error": error}
    return orjson.dumps(told) + b"\n"


def decode_line(number: int, line: bytes, batches: Batches, facts: CallFacts) -> bytes:
    """Return OpenAI's line of a result, b"" for an empty one; what cannot be read is a line that says so."""
    if not line.strip():
        return b""
    said = decoded_line(line)
    if said is None:
        return result_line(number, Result("", error="This result cannot be read."))
    try:
        return result_line(number, batches.decode(said, facts))
    except GatewayError as error:
        known = said.get("recordId") or said.get("custom_id")
        return result_line(number, Result(known if isinstance(known, str) else "", error=error.message))
    except (TypeError, RecursionError):
        return result_line(number, Result("", error="This result cannot be read."))
