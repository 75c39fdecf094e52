"""request → Call: size limits, content type, lower-case header names; and bodies that are read while they arrive."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final, Self

from aiohttp import web

from data_plane.core.exchange import Call
from data_plane.core.parts import LARGE_BYTES
from data_plane.core.types import FormField, Upload
from data_plane.http.form_fields import FormFields
from data_plane.pipeline.settle import now_us
from shared.client_address import Network, client_address
from shared.errors import BadRequest, BodyTooLarge

#: How long a caller may send nothing in the middle of a body that is sent on while it arrives.
UPLOAD_SILENCE_S: Final = 120.0
#: How long a body may take that is read whole.
BODY_TIMEOUT_S: Final = 600.0


def headers_of(request: web.Request) -> dict[str, str]:
    """Return the request's headers with lower-case names; of a repeated header the first counts."""
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        headers.setdefault(name.lower(), value if value.isascii() else _readable(value))
    return headers


def _readable(text: str) -> str:
    """Return `text` without the halves of surrogate pairs that stand for bytes which are no UTF-8.

    No record and no answer could hold them.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape").decode("latin-1")
    return text


def call_of(
    request: web.Request,
    endpoint: str,
    started_s: float,
    body: bytes | None = None,
    *,
    proxies: tuple[Network, ...] = (),
) -> Call:
    """Return the call without reading its body; `body` stands in the place of one that is not to be read.

    `proxies` may say who calls, by `x-forwarded-for`.
    """
    return Call(
        endpoint,
        request.method,
        _readable(request.path),
        headers_of(request),
        body or b"",
        now_us(),
        started_s,
        request.raw_path,
        client=_client(request, proxies),
    )


def _client(request: web.Request, proxies: tuple[Network, ...]) -> str:
    """Return the caller's address, as it is without proxies between; empty when there is none."""
    peer = request.remote or ""
    if not proxies and peer[:7] != "::ffff:":
        return peer
    address = client_address(peer, request.headers.get("x-forwarded-for", ""), proxies)
    return str(address) if address else ""


def is_json(request: web.Request) -> bool:
    """Return whether the request says that its body is JSON."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"


def check_json(request: web.Request) -> None:
    """Raise BadRequest for a body that is said to be something else than JSON."""
    if request.headers.get("content-type", "").strip() and not is_json(request):
        raise BadRequest("Invalid content type passed")


async def read_body(request: web.Request) -> bytes | bytearray:
    """Return the whole body; raises BodyTooLarge (413), or BadRequest (400) also when it is said to be no JSON."""
    check_json(request)
    try:
        if request.content.is_eof():
            # Small bodies come with their head: a timer for each would cost more than reading them.
            return await request.read()
        async with asyncio.timeout(BODY_TIMEOUT_S):
            if (request.content_length or 0) <= LARGE_BYTES:
                return await request.read()
            return await _read_large(request)
    except web.HTTPRequestEntityTooLarge:
        raise BodyTooLarge("The request body is too large.") from None
    except TimeoutError:
        raise BadRequest("The request body did not come in time.") from None
    except (web.HTTPException, web.RequestPayloadError, ConnectionError, ValueError):
        raise BadRequest("The request body cannot be read.") from None


async def _read_large(request: web.Request) -> bytearray:
    """Read piece by piece into one buffer that is not copied again: each copy of 32 MB stalls the loop for 20 ms."""
    limit = request.client_max_size
    if limit and (request.content_length or 0) > limit:
        raise BodyTooLarge("The request body is too large.")
    body = bytearray()
    while piece := await request.content.readany():
        body += piece
        if limit and len(body) > limit:
            raise BodyTooLarge("The request body is too large.")
    return body


class _Upload(AsyncIterator[bytes]):
    """The body of one request in pieces; it can be gone through once."""

    def __init__(self, request: web.Request, limit: int, silence_s: float) -> None:
        self._request = request
        self._content = request.content
        self._limit = self._left = limit
        self._silence_s = silence_s
        self.begun = False

    def _begin(self) -> None:
        if self.begun:
            # What was read is gone: the rest alone would look like a whole body.
            raise BadRequest("The request body was sent while it arrived, and cannot be sent again.")
        self.begun = True

    def __aiter__(self) -> Self:
        self._begin()
        return self

    def fields(self) -> AsyncIterator[FormField]:
        self._begin()
        return FormFields(self._request, self._limit, self._silence_s).fields()

    async def __anext__(self) -> bytes:
        try:
            async with asyncio.timeout(self._silence_s):
                piece = await self._content.readany()
        except TimeoutError:
            raise BadRequest("The request body did not go on in time.") from None
        except (web.RequestPayloadError, ConnectionError, ValueError):
            raise BadRequest("The request body cannot be read.") from None
        if not piece:
            raise StopAsyncIteration
        self._left -= len(piece)
        if self._left < 0:
            raise BodyTooLarge("The request body is too large.")
        return piece


def upload_of(request: web.Request, limit: int, *, silence_s: float = UPLOAD_SILENCE_S) -> Upload:
    """Return the request's body in pieces, read from the caller no faster than they are taken.

    Packed bodies come unpacked.  Raises BodyTooLarge (413) beyond `limit` bytes: at once when the request says so,
    else where the limit is passed; BadRequest (400) for a body that breaks off or stays away for `silence_s`, and
    when it is gone through a second time.
    """
    if request.content_length is not None and request.content_length > limit:
        raise BodyTooLarge("The request body is too large.")
    return _Upload(request, limit, silence_s)
