"""Administration through the gateway: what is the control plane's goes there as it came: one base URL does all.

Off unless the gateway knows an address for it.  Nothing is read, kept or recorded here: the control plane
authenticates, decides and writes its own trail.  Inference never depends on it.
"""

from typing import Final

import orjson
import structlog
from aiohttp import web

from data_plane.core.types import UpstreamBody
from data_plane.http.ingress import headers_of, upload_of
from data_plane.http.keys import RELAY
from data_plane.http.serve import refusal
from data_plane.pipeline.answer_headers import answer_headers
from shared import wire
from shared.errors import BadRequest, BodyTooLarge, GatewayError

MAX_BODY_BYTES: Final = 64 * 1024 * 1024
_RETRY: Final = {"retry-after": "5", wire.GATEWAY_EXCEPTION: "true"}
_AWAY: Final = "The control plane cannot be reached from this gateway; inference goes on."

log = structlog.get_logger(module=__name__)


def _away() -> web.Response:
    # Both shapes: callers of the Admin API look for `data`, those of the gateway for `message`.
    told = {"success": False, "status": "failure", "message": _AWAY, "data": {"message": _AWAY, "errorCode": "AB04"}}
    return web.Response(body=orjson.dumps(told), status=503, content_type="application/json", headers=_RETRY)


async def relay(request: web.Request) -> web.StreamResponse:
    """Answer an Admin API call with what the control plane says to it; 503 when it is away."""
    try:
        upload = upload_of(request, MAX_BODY_BYTES) if request.can_read_body else None
        answer = await request.app[RELAY].send(
            request.method, request.raw_path, headers_of(request), upload, request.remote
        )
    except (BadRequest, BodyTooLarge) as error:
        return refusal(error)
    except GatewayError as error:
        log.warning("admin_relay_failed", reason=error.code)
        return _away()
    try:
        return await _write(request, answer)
    finally:
        answer.close()


async def _write(request: web.Request, answer: UpstreamBody) -> web.StreamResponse:
    headers = answer_headers(answer.headers)
    kind = answer.headers.get("content-type")
    if kind:
        headers["content-type"] = kind
    response = web.StreamResponse(status=answer.status, headers=headers)
    length = answer.headers.get("content-length", "")
    if length.isdigit() and "content-encoding" not in answer.headers:
        response.content_length = int(length)
    await response.prepare(request)
    try:
        async for piece in answer.chunks():
            await response.write(piece)
    except GatewayError:
        # The head is out: all that is left to say is that this was not the whole answer.
        if request.transport is not None:
            request.transport.abort()
        return response
    await response.write_eof()
    return response
