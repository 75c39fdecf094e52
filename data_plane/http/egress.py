"""Answer → response: a JSON body, or server-sent events as they come; and the headers every answer carries."""

from aiohttp import web

from data_plane.core.types import Answer
from shared import wire
from shared.trace import Trace


def put_gateway_headers(answer: Answer, trace: Trace, request_id: str) -> None:
    """Set the headers that every answer has: SDKs repeat a 5xx that lacks them."""
    answer.headers[wire.TRACE_ID] = trace.trace_id
    answer.headers[wire.REQUEST_ID] = request_id


async def write(request: web.Request, answer: Answer) -> web.StreamResponse:
    """Write the answer; raises ConnectionResetError when the caller has gone."""
    if answer.frames is None:
        return web.Response(
            body=answer.body, status=answer.status, headers=answer.headers, content_type=answer.content_type
        )
    headers = answer.headers | {"content-type": "text/event-stream", "cache-control": "no-cache"}
    response = web.StreamResponse(status=answer.status, headers=headers)
    await response.prepare(request)
    async for frames in answer.frames:
        await response.write(frames)
    await response.write_eof()
    return response
