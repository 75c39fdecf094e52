"""request → Call: size limits, content type, lower-case header names."""

from aiohttp import web

from data_plane.core.exchange import Call
from data_plane.pipeline.settle import now_us
from shared.errors import BadRequest, BodyTooLarge


def headers_of(request: web.Request) -> dict[str, str]:
    """Return the request's headers with lower-case names; of a repeated header the first counts."""
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        headers.setdefault(name.lower(), value)
    return headers


def call_of(request: web.Request, endpoint: str, started_s: float, body: bytes = b"") -> Call:
    """Return the call without reading its body."""
    return Call(endpoint, request.method, request.path, headers_of(request), body, now_us(), started_s)


async def read_body(request: web.Request) -> bytes:
    """Return the whole body; raises BodyTooLarge (413) or BadRequest (400)."""
    content_type = request.headers.get("content-type", "")
    if content_type and not content_type.lower().startswith("application/json"):
        raise BadRequest("Invalid content type passed")
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise BodyTooLarge("The request body is too large.") from None
    except (web.HTTPException, web.RequestPayloadError, ValueError):
        raise BadRequest("The request body cannot be read.") from None
