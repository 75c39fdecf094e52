"""Serve one inference call; whatever happens, it is settled once."""

import asyncio
from collections.abc import Mapping

import orjson
import structlog
from aiohttp import web

from data_plane.core.endpoint import ENDPOINTS, PROXY
from data_plane.core.exchange import Exchange
from data_plane.core.form import described
from data_plane.core.types import Answer
from data_plane.http.egress import put_gateway_headers, write
from data_plane.http.forms import is_form, read_form
from data_plane.http.ingress import call_of, check_json, is_json, read_body, upload_of
from data_plane.http.keys import DEPS, METRICS
from data_plane.http.metrics import Metrics
from data_plane.http.realtime import take_handshake
from data_plane.pipeline.answer import answer, refuse
from data_plane.pipeline.attempt import error_answer
from data_plane.pipeline.deps import Deps
from data_plane.pipeline.forward import json_operation
from data_plane.pipeline.resolve import is_nitro
from data_plane.pipeline.settle import settle
from shared import wire
from shared.errors import GatewayError
from shared.ids import uuid7
from shared.metadata import read_metadata
from shared.routing.decision import DecisionTrace
from shared.trace import read_trace

log = structlog.get_logger(module=__name__)

CLOSED_BY_CLIENT = 499


async def _take_body(request: web.Request, exchange: Exchange, deps: Deps) -> None:
    """Read the body, or prepare to send it on while it arrives: one that is not JSON, or that nobody is to read."""
    call = exchange.call
    if call.body:
        return
    endpoint = ENDPOINTS.get(call.endpoint)
    if endpoint is not None and endpoint.query:
        take_handshake(request, call, endpoint.query)
        return
    if endpoint is not None and endpoint.takes_form and is_form(request):
        call.form = await read_form(request)
        call.body = described(call.form)
        return
    if call.endpoint != PROXY or json_operation(call.target) is not None:
        check_json(request)
        unread = is_nitro(call.headers)
    else:
        unread = is_nitro(call.headers) or not is_json(request)
    if not unread:
        call.body = await read_body(request)
    elif request.can_read_body:
        call.upload = upload_of(request, deps.max_upload_bytes)


async def _answer(request: web.Request, exchange: Exchange, deps: Deps) -> Answer:
    """Return the answer, whatever goes wrong on the way to it."""
    try:
        await _take_body(request, exchange, deps)
        return await answer(exchange, deps)
    except GatewayError as error:
        return refuse(exchange, error)
    except Exception:  # the request is an edge: a defect here must not cost the caller an answer
        log.exception("request_failed", id=exchange.id)
        exchange.error_class, exchange.error_type = "Defect", "internal_error"
        body = orjson.dumps({"status": "failure", "message": "Something went wrong", "error": _DEFECT})
        return Answer(500, body, {wire.GATEWAY_EXCEPTION: "true"})


_DEFECT = {"message": "Something went wrong", "type": "internal_error", "param": None, "code": "internal_error"}


def _trace_metadata(headers: Mapping[str, str]) -> dict[str, str] | None:
    """Return the metadata when it may say where the request stands in a trace."""
    sent = headers.get(wire.METADATA)
    return read_metadata(sent) if sent and ("trace" in sent or "pan" in sent) else None


async def serve(
    request: web.Request,
    endpoint: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    target: str | None = None,
) -> web.StreamResponse:
    """Serve one inference call: the request as it came, or with other `headers`, another `body` or `target`."""
    deps, metrics = request.app[DEPS], request.app[METRICS]
    call = call_of(request, endpoint, deps.clock(), body, proxies=deps.proxies)
    if headers is not None:
        call.headers = {**call.headers, **headers}
    if target is not None:
        call.target = target
    trace = read_trace(call.headers, _trace_metadata(call.headers), f"{call.method} {call.path}")
    exchange = Exchange(str(uuid7()), call, trace, DecisionTrace(deps.clock))
    result: Answer | None = None
    try:
        result = await _answer(request, exchange, deps)
        exchange.status = result.status
        put_gateway_headers(result, exchange.trace, exchange.id)
        return await write(request, result)
    except (asyncio.CancelledError, ConnectionError):
        # The caller hung up; the provider's connection is dropped by `on_close` or was by the cancellation.
        exchange.error_class, exchange.error_type = "ClientClosed", "client_closed_request"
        exchange.status = exchange.status if exchange.first_byte_s is not None else CLOSED_BY_CLIENT
        raise
    except Exception:  # an edge, too: the caller sees its connection end, the record must say why
        exchange.error_class, exchange.error_type = "Defect", "internal_error"
        exchange.status = exchange.status or 500
        raise
    finally:
        if result is not None and result.on_close is not None:
            result.on_close()
        _finish(exchange, deps, metrics)


def _finish(exchange: Exchange, deps: Deps, metrics: Metrics) -> None:
    settle(exchange, deps.holder.current, deps)
    provider = exchange.provider or "none"
    metrics.request(exchange.call.endpoint, provider, exchange.status, deps.clock() - exchange.call.started_s)
    metrics.tokens(provider, taken=exchange.usage.input, given=exchange.usage.output)


def refusal(error: GatewayError) -> web.Response:
    """Return the response of a refusal outside of inference, with the headers every answer has."""
    result = error_answer(error)
    put_gateway_headers(result, read_trace({}), str(uuid7()))
    return web.Response(
        body=result.body, status=result.status, headers=result.headers, content_type=result.content_type
    )
