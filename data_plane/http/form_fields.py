"""A form whose fields are read while they arrive, so that a file in it may be larger than the memory."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Final

from aiohttp import BodyPartReader, web
from aiohttp.http import HttpProcessingError

from shared.errors import BadRequest, BodyTooLarge

#: What the parser raises for a form that it cannot read, beside HTTP errors: it has no exception of its own.
UNREADABLE: Final = (ConnectionError, ValueError, AssertionError, RuntimeError)
MAX_FIELDS: Final = 256
PIECE_BYTES: Final = 64 * 1024


@contextmanager
def _readable() -> Iterator[None]:
    """Turn what the parser raises into a BadRequest."""
    try:
        yield
    except TimeoutError:
        raise BadRequest("The request body did not go on in time.") from None
    except (web.HTTPException, web.RequestPayloadError, HttpProcessingError, *UNREADABLE):
        raise BadRequest("The request body is not a form that can be read.", path="body") from None


class _Field:
    """One field; what is read of it counts for the whole form."""

    def __init__(self, part: BodyPartReader, form: "FormFields") -> None:
        self.name = part.name or ""
        self.filename = part.filename
        self._part = part
        self._form = form

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the content as it arrives."""
        while True:
            with _readable():
                async with asyncio.timeout(self._form.silence_s):
                    piece = await self._part.read_chunk(PIECE_BYTES)
            if not piece:
                return
            self._form.count(len(piece))
            yield bytes(piece)


class FormFields:
    """The fields of one request's form, up to `limit` bytes of content; `silence_s` is how long nothing may come."""

    def __init__(self, request: web.Request, limit: int, silence_s: float) -> None:
        self._request = request
        self._left = limit
        self.silence_s = silence_s

    def count(self, size: int) -> None:
        """Note that some content came; raises BodyTooLarge beyond the limit."""
        self._left -= size
        if self._left < 0:
            raise BodyTooLarge("The request body is too large.")

    async def fields(self) -> AsyncIterator[_Field]:
        """Yield the fields in their order; what is left of one is skipped when the next is asked for."""
        with _readable():
            reader = await self._request.multipart()
        for count in itertools.count():
            with _readable():
                async with asyncio.timeout(self.silence_s):
                    part = await reader.next()
            if part is None:
                return
            if not isinstance(part, BodyPartReader) or not part.name or count >= MAX_FIELDS:
                raise BadRequest(
                    f"The form must have plain, named fields, and at most {MAX_FIELDS} of them.", path="body"
                )
            yield _Field(part, self)
