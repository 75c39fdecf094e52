"""What the gateway's own endpoints share: who calls, and answers in JSON with the headers that every answer has."""

from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import structlog
from aiohttp import web

from data_plane.core.job import Principal
from data_plane.core.types import Answer
from data_plane.http.egress import put_gateway_headers
from data_plane.http.ingress import call_of, headers_of
from data_plane.http.keys import DEPS
from data_plane.http.serve import refusal
from data_plane.pipeline.authenticate import REQUIRED_SCOPE, authenticate, require_scope
from shared.errors import GatewayError, NotReady
from shared.ids import uuid7
from shared.trace import read_trace

log = structlog.get_logger(module=__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def principal_for(request: web.Request) -> Principal:
    """Return the caller of a request; raises Unauthenticated, Forbidden or NotReady."""
    deps = request.app[DEPS]
    snapshot = deps.holder.current
    if snapshot is None:
        raise NotReady("The gateway has no configuration yet.")
    principal = authenticate(call_of(request, "own", deps.clock(), proxies=deps.proxies), snapshot, deps.holder.denied)
    require_scope(principal, REQUIRED_SCOPE)
    return principal


def own_headers(request: web.Request) -> dict[str, str]:
    """Return the headers of every answer, for one that is made here."""
    answer = Answer(200)
    put_gateway_headers(answer, read_trace(headers_of(request)), str(uuid7()))
    return answer.headers


def json_response(request: web.Request, body: Any, status: int = 200) -> web.Response:
    """Return an answer in JSON."""
    headers = own_headers(request)
    return web.Response(body=orjson.dumps(body), status=status, headers=headers, content_type="application/json")


def refusing(handler: Handler) -> Handler:
    """Return `handler` with its refusals told as those of every other endpoint."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except GatewayError as error:
            return refusal(error)

    return handle
