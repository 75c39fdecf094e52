"""The route table: one line per endpoint."""

from functools import partial

from aiohttp import web

from data_plane.http.health import health, livez, metrics, readyz
from data_plane.http.logs_api import read_body_kept_here
from data_plane.http.models import list_models
from data_plane.http.serve import refusal, serve
from shared.errors import GatewayError, NotFound


class MethodNotAllowed(GatewayError):
    """The route exists, but not for this method."""

    status = 405
    code = "method_not_allowed"


async def _unknown(request: web.Request) -> web.Response:
    if any(request.path == known for known in _KNOWN):
        return refusal(MethodNotAllowed("This method is not supported here."))
    return refusal(NotFound("Not Found"))


_KNOWN = ("/v1/chat/completions", "/v1/models", "/v1/health")


def add_routes(app: web.Application) -> None:
    """Add every route; an unknown path is answered in JSON like everything else."""
    app.router.add_post("/v1/chat/completions", partial(serve, endpoint="chat"))
    app.router.add_get("/v1/models", list_models)
    app.router.add_get("/v1/logs/{id}", read_body_kept_here)
    app.router.add_get("/v1/health", health)
    app.router.add_get("/livez", livez)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    app.router.add_route("*", "/{path:.*}", _unknown)
