"""Answer → response: a whole body, events or any other bytes as they come; and the headers every answer carries."""

import socket
import struct
from typing import Final

from aiohttp import web

from data_plane.core.types import Answer
from data_plane.http.realtime import converse
from shared import wire
from shared.errors import GatewayError
from shared.trace import Trace

EVENT_STREAM: Final = "text/event-stream"
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


def put_gateway_headers(answer: Answer, trace: Trace, request_id: str) -> None:
    """Set the headers that every answer has: SDKs repeat a 5xx that lacks them."""
    answer.headers[wire.TRACE_ID] = trace.trace_id
    answer.headers[wire.REQUEST_ID] = request_id
    answer.headers[wire.DECISION_ID] = request_id


def _headers(answer: Answer) -> dict[str, str]:
    headers = dict(answer.headers)
    if answer.content_type:
        headers["content-type"] = answer.content_type
    if answer.content_type.startswith(EVENT_STREAM):
        headers["cache-control"] = "no-cache"
    if answer.length is not None:
        headers["content-length"] = str(answer.length)
    return headers


def _cut(request: web.Request) -> None:
    """Reset the caller's connection: an orderly end would make half an answer look whole to an old client."""
    transport = request.transport
    if transport is None:
        return
    plug = transport.get_extra_info("socket")
    if plug is not None:
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    transport.abort()


async def write(request: web.Request, answer: Answer) -> web.StreamResponse:
    """Write the answer; raises ConnectionResetError when the caller has gone.

    When the answer's frames break off, so does the connection, and nothing is raised.
    """
    if answer.conversation is not None:
        return await converse(request, answer, answer.conversation)
    if answer.frames is None:
        return web.Response(body=answer.body, status=answer.status, headers=_headers(answer))
    response = web.StreamResponse(status=answer.status, headers=_headers(answer))
    await response.prepare(request)
    try:
        async for frames in answer.frames:
            if request.method != "HEAD":
                await response.write(frames)
    except GatewayError:
        _cut(request)
        return response
    await response.write_eof()
    return response
