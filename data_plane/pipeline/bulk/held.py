"""A file on its way into a provider that keeps it: a form whose lines are translated, held, and sent on as one form.

How many lines and bytes there are must be known before the first one is sent, so a file is held until it is whole: a
small one in memory, the rest of a large one in a temporary file.  A fault in any line leaves nothing at the provider.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from secrets import token_hex
from typing import IO, Final

import orjson

from data_plane.core.types import FormField, UpstreamRequest
from data_plane.pipeline.bulk.intake import field_text
from data_plane.pipeline.bulk.lines import LineSplitter, decoded_line, line_too_long
from data_plane.providers._hosted import Files, Taken
from shared.errors import BadRequest, BodyTooLarge, GatewayError, Unsupported

IN_MEMORY_BYTES: Final = 8 * 1024 * 1024
PIECE_BYTES: Final = 256 * 1024


class HeldFile:
    """One translated file; `close` forgets it."""

    def __init__(self) -> None:
        self.taken = Taken("", 0, 0)
        self._content: IO[bytes] = tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES)  # noqa: SIM115 -- closed by `close`

    def add(self, line: bytes, most: int) -> None:
        """Add a line; raises BodyTooLarge."""
        self.taken = replace(self.taken, size=self.taken.size + len(line), lines=self.taken.lines + 1)
        if self.taken.size > most:
            raise BodyTooLarge(
                f"Files for this provider are taken in up to {most // 1_000_000} MB: upload it there, and use its id."
            )
        self._content.write(line)

    def close(self) -> None:
        """Forget the content."""
        self._content.close()

    def form(self, request: UpstreamRequest, field: str) -> UpstreamRequest:
        """Return `request` with this file as its form."""
        boundary = token_hex(24)
        head = (
            f'--{boundary}\r\ncontent-disposition: form-data; name="{field}"; filename="file.jsonl"\r\n'
            "content-type: application/jsonl\r\n\r\n"
        ).encode()
        tail = f"\r\n--{boundary}--\r\n".encode()
        headers = {
            **request.headers, "content-type": f"multipart/form-data; boundary={boundary}",
            "content-length": str(len(head) + self.taken.size + len(tail)),
        }  # fmt: skip
        return replace(request, headers=headers, upload=_Form(head, self._content, tail))


class _Form:
    """A form of one file, read once."""

    def __init__(self, head: bytes, content: IO[bytes], tail: bytes) -> None:
        self.begun = False
        self._around = (head, tail)
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.begun = True
        yield self._around[0]
        self._content.seek(0)
        while piece := self._content.read(PIECE_BYTES):
            yield piece
        yield self._around[1]

    def fields(self) -> AsyncIterator[FormField]:
        """Refuse: what is sent is not read here."""
        raise TypeError("a form on its way out has no fields to read")


async def take_file(fields: AsyncIterator[FormField], files: Files, held: HeldFile) -> None:
    """Read a form's file into `held`, line by line; raises GatewayError."""
    purpose = ""
    async for field in fields:
        if field.filename is None:
            text = await field_text(field)
            purpose = text if field.name == "purpose" else purpose
        elif field.name != "file" or held.taken.name:
            raise BadRequest("The form must have one file.", path="file")
        else:
            held.taken = replace(held.taken, name=field.filename or "file")
            await _take_lines(field, files, held)
    if not held.taken.lines:
        raise BadRequest("The form must have a file with at least one line.", path="file")
    if purpose not in {"", files.purpose}:
        raise Unsupported(f"This provider has files here for the purpose: {files.purpose}", path="purpose")


async def _take_lines(field: FormField, files: Files, held: HeldFile) -> None:
    splitter = LineSplitter(line_too_long)
    async for piece in field.pieces():
        for number, line in splitter.feed(piece):
            _take(number, line, files, held)
        # Translating takes a while: others must have their turn, however fast the caller is.
        await asyncio.sleep(0)
    for number, line in splitter.close():
        _take(number, line, files, held)


def _take(number: int, line: bytes, files: Files, held: HeldFile) -> None:
    if not line.strip():
        return
    said = decoded_line(line)
    if said is None:
        raise BadRequest(f"Line {number} of the file is not a JSON object.", path="file")
    try:
        made, model = files.line(said)
        encoded = orjson.dumps(made) + b"\n"
    except GatewayError as error:
        place = f" ({error.path})" if error.path else ""
        raise BadRequest(f"Line {number} of the file: {error.message}{place}", path="file") from None
    except (TypeError, RecursionError):
        raise BadRequest(
            f"Line {number} of the file is nested too deeply, or has a number too large.", path="file"
        ) from None
    if model and held.taken.model and model != held.taken.model:
        raise BadRequest(f"Line {number} of the file: all lines must have one model, {held.taken.model}.", path="file")
    held.taken = replace(held.taken, model=held.taken.model or model)
    held.add(encoded, files.most_bytes)
