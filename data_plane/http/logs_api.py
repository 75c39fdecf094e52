"""`GET /v1/logs/{id}` at the gateway: the bodies that stay here, for callers of the same workspace."""

import uuid

from aiohttp import web

from data_plane.http.ingress import call_of
from data_plane.http.keys import DEPS, PAYLOADS
from data_plane.http.serve import refusal
from data_plane.pipeline.authenticate import authenticate, require_scope
from shared.errors import GatewayError, NotFound, NotReady

SCOPES = ("logs.view", "completions.write", "logs.write")


async def read_body_kept_here(request: web.Request) -> web.Response:
    """Answer with the stored request and response, or 404."""
    deps = request.app[DEPS]
    call = call_of(request, "logs", deps.clock(), proxies=deps.proxies)
    try:
        snapshot = deps.holder.current
        if snapshot is None:
            raise NotReady("The gateway has no configuration yet.")
        principal = authenticate(call, snapshot, deps.holder.denied)
        require_scope(principal, *SCOPES)
        record_id = request.match_info["id"]
        try:
            uuid.UUID(record_id)
        except ValueError:
            raise NotFound("No such log is kept here.") from None
        stored = request.app[PAYLOADS].get(record_id)
        if stored is None or stored.get("ws") != principal.ws.id:
            raise NotFound("No such log is kept here.")
    except GatewayError as error:
        return refusal(error)
    return web.json_response(
        {"_id": record_id, "request": {"body": stored["request"]}, "response": {"body": stored["response"]}}
    )
