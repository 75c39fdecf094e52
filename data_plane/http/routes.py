"""The route table: one line per endpoint; what is not listed below `/v1` goes to the provider as it came."""

from functools import partial
from http import HTTPStatus
from typing import Any

from aiohttp import web

from data_plane.core.endpoint import ENDPOINTS, PROXY, UNIVERSAL
from data_plane.http.batches import add_batch_routes
from data_plane.http.files import add_file_routes
from data_plane.http.health import health, livez, metrics, readyz
from data_plane.http.keys import RELAY
from data_plane.http.logs_api import read_body_kept_here
from data_plane.http.models import list_models, read_model
from data_plane.http.relay import relay
from data_plane.http.serve import refusal, serve
from data_plane.http.tokenize import add_tokenize_route
from shared.admin import ADMIN_SEGMENTS
from shared.errors import GatewayError, NotFound


class MethodNotAllowed(GatewayError):
    """The route exists, but not for this method."""

    status = 405
    code = "method_not_allowed"


#: What a provider may be asked with.  TRACE would send the provider's key back to the caller, CONNECT is a tunnel.
FORWARDED_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
#: What is the gateway's own below `/v1`, and so never a provider's; this version has none of it, or not all.
_OWN = ("logs", "feedback", "prompts", "otel", "gateway", "datasets", "dataservice", "agent", "realtime")


async def _unbuilt(request: web.Request) -> web.Response:
    return refusal(NotFound(f"{request.method} {request.path} is not available in this version of the gateway."))


async def _wrong_method(_request: web.Request) -> web.Response:
    return refusal(MethodNotAllowed("This method is not supported here."))


class _UnknownRoute(NotFound):
    """No route has this path; the contract has a word of its own for it."""

    def body(self) -> dict[str, Any]:
        return {**super().body(), "ok": False}


async def _unknown(_request: web.Request) -> web.Response:
    return refusal(_UnknownRoute("Not Found"))


async def _kept_or_relayed(request: web.Request) -> web.StreamResponse:
    kept = await read_body_kept_here(request)
    return await relay(request) if kept.status in {HTTPStatus.NOT_FOUND, HTTPStatus.UNAUTHORIZED} else kept


def add_routes(app: web.Application) -> None:
    """Add every route; an unknown path is answered in JSON like everything else."""
    router = app.router
    for endpoint in ENDPOINTS.values():
        if endpoint.is_list:
            continue
        answer = partial(serve, endpoint=endpoint.operation)
        if endpoint.query:
            router.add_get(endpoint.path, answer, allow_head=False)
            router.add_route("*", endpoint.path, _wrong_method)
        else:
            router.add_post(endpoint.path, answer)
    router.add_post("/v1/universal", partial(serve, endpoint=UNIVERSAL))
    router.add_get("/v1/models", list_models, allow_head=False)
    router.add_get("/v1/models/{model:@.+}", read_model, allow_head=False)
    relays = RELAY in app
    router.add_get("/v1/logs/{id}", _kept_or_relayed if relays else read_body_kept_here, allow_head=False)
    router.add_get("/v1/health", health)
    add_file_routes(router)
    add_batch_routes(router)
    add_tokenize_route(router)
    for path in ("/v1/universal", "/v1/models", "/v1/health"):
        router.add_route("*", path, _wrong_method)
    relayed = ADMIN_SEGMENTS if relays else frozenset()
    for name in sorted(relayed):
        router.add_route("*", f"/v1/{name}{{rest:(/.*)?}}", relay)
    # The router refuses a second handler for a path that it has just been given.
    for name in (name for name in _OWN if name not in relayed):
        router.add_route("*", f"/v1/{name}{{rest:(/.*)?}}", _unbuilt)
    for method in FORWARDED_METHODS:
        router.add_route(method, "/v1/{path:.+}", partial(serve, endpoint=PROXY))
    router.add_route("*", "/v1/{path:.+}", _wrong_method)
    router.add_get("/livez", livez)
    router.add_get("/readyz", readyz)
    router.add_get("/metrics", metrics)
    router.add_route("*", "/{path:.*}", _unknown)
