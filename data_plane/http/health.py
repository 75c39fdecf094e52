"""Liveness, readiness, metrics.

Readiness depends on an active configuration and on nothing outside: not on the control plane, Redis or the spool, so
that an outage of theirs never takes the gateway out of service.
"""

from typing import Final

from aiohttp import web

from data_plane.http.keys import DEPS, METRICS
from data_plane.http.metrics import CONTENT_TYPE
from shared.version import VERSION

_HEADERS: Final = {"cache-control": "no-store"}


async def health(_request: web.Request) -> web.Response:
    """Answer `GET /v1/health` in the contract's words."""
    body = {"status": "success", "message": "Server is healthy", "version": VERSION}
    return web.json_response(body, headers=_HEADERS)


async def livez(_request: web.Request) -> web.Response:
    """Say that the process runs."""
    return web.json_response({"status": "ok"}, headers=_HEADERS)


async def readyz(request: web.Request) -> web.Response:
    """Say whether requests can be served: 200 with an active configuration, else 503."""
    snapshot = request.app[DEPS].holder.current
    if snapshot is None:
        return web.json_response({"status": "no configuration"}, status=503, headers=_HEADERS)
    return web.json_response({"status": "ok", "configuration": snapshot.name}, headers=_HEADERS)


async def metrics(request: web.Request) -> web.Response:
    """Answer `GET /metrics`."""
    deps, counted = request.app[DEPS], request.app[METRICS]
    snapshot = deps.holder.current
    counted.active_seq.set(snapshot.version[1] if snapshot else 0)
    counted.streams.set(len(deps.streams))
    counted.sessions.set(deps.sockets.open_count)
    counted.routing(deps.breakers, deps.sticky)
    for reason, count in deps.recorder.totals().items():
        counted.dropped.labels(reason).set(count)
    return web.Response(body=counted.render(), headers={"content-type": CONTENT_TYPE})
