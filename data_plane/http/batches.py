"""`/v1/batches`: the gateway's own batches, which run at once and on any provider; every other is the provider's.

A batch is the gateway's own when its window is `immediate`.  `portkey_options` in the body are headers for
clients that cannot send any, and reach no provider.  Source: `contract.md` 3.3
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import orjson
from aiohttp import web

from data_plane.batches.lines import BATCHED
from data_plane.batches.model import BATCH_PREFIX, BatchRow, is_own, new_id
from data_plane.batches.store import BatchStore
from data_plane.core.endpoint import PROXY
from data_plane.core.types import Json
from data_plane.http.files import content_response, names_own, page_of, store_of
from data_plane.http.ingress import headers_of, read_body
from data_plane.http.keys import DEPS
from data_plane.http.own import json_response, principal_for, refusing
from data_plane.http.serve import serve
from data_plane.pipeline.inner import answered, inner_call, whole_body
from data_plane.pipeline.said import PLACEHOLDERS, holds_gateway_key
from shared import wire
from shared.errors import BadRequest, Forbidden, InvalidJson, NotFound
from shared.metadata import read_metadata
from shared.schema.target_settings import SECRET_SETTINGS, SETTING_HEADERS

IMMEDIATE: Final = "immediate"
#: How long the gateway tries to have a batch run to its end.
LIFE_S: Final = 24 * 3600
MAX_OPEN: Final = 100
MAX_BATCH_JSON: Final = 1024 * 1024
_OPTIONS: Final = "portkey_options"
#: Headers that a batch's calls are not sent with: the key is not kept, and these are about the one request.
_NOT_KEPT: Final = frozenset({wire.API_KEY, wire.TRACE_ID, wire.SPAN_ID, wire.PARENT_SPAN_ID, wire.NITRO_MODE})


class TooManyBatches(BadRequest):
    """The workspace has as many batches that have not ended as it may."""

    status = 429
    code = "too_many_batches"


async def _body(request: web.Request) -> Json:
    try:
        decoded = msgspec.json.decode(await read_body(request))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise InvalidJson("The request body is not valid JSON.") from None
    if not isinstance(decoded, dict):
        raise InvalidJson("The request body must be a JSON object.")
    return decoded


def _options(body: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers that a body holds; raises BadRequest."""
    options = body.get(_OPTIONS)
    if options is None:
        return {}
    if not isinstance(options, dict):
        raise BadRequest(f"{_OPTIONS} must be an object.", path=_OPTIONS)
    headers = {}
    for name, value in options.items():
        lowered = name.lower()
        if not lowered.startswith(wire.PREFIX) or lowered == wire.API_KEY:
            raise BadRequest(f"{_OPTIONS} may hold x-portkey-… headers only.", path=f"{_OPTIONS}.{name}")
        headers[lowered] = value if isinstance(value, str) else orjson.dumps(value).decode()
    return headers


async def forward_with_options(request: web.Request) -> web.StreamResponse:
    """Send a JSON body on to the provider, with the headers that it holds taken out of it."""
    body = await _body(request)
    return await _forward(request, body)


async def _forward(request: web.Request, body: Json) -> web.StreamResponse:
    options = _options(body)
    if not options:
        return await serve(request, endpoint=PROXY)
    rest = {name: value for name, value in body.items() if name != _OPTIONS}
    return await serve(request, endpoint=PROXY, headers=options, body=orjson.dumps(rest))


def _kept_headers(request: web.Request, options: Mapping[str, str]) -> dict[str, str]:
    """Return what a batch's calls are sent with; raises BadRequest for a provider's key, which is not kept."""
    headers = headers_of(request)
    for name in ("authorization", "x-api-key"):
        value = headers.get(name, "")
        bare = value[7:].strip() if value[:7].lower() == "bearer " else value.strip()
        if bare not in PLACEHOLDERS and not holds_gateway_key(bare):
            raise BadRequest(
                "A batch outlives its request, and no provider key is kept for it: name a saved provider.", path=name
            )
    _refuse_secrets(headers)
    said = {name: value for name, value in headers.items() if name.startswith(wire.PREFIX) and name not in _NOT_KEPT}
    if said.get(wire.PROVIDER, "").strip().lower() in {"gatehouse", "portkey"}:
        del said[wire.PROVIDER]
    _refuse_secrets(options)
    return {**said, **options}


def _refuse_secrets(headers: Mapping[str, str]) -> None:
    """Raise BadRequest for a secret in a header or an inline config: what a batch is made of waits on a disk."""
    for name in headers:
        if SETTING_HEADERS.get(name, ("", False))[1]:
            raise BadRequest(f"A batch keeps no secrets: {name} must be part of a saved provider.", path=name)
    config = headers.get(wire.CONFIG, "").strip()
    if config.startswith("{") and any(f'"{name}"' in config for name in ("api_key", *SECRET_SETTINGS)):
        raise BadRequest("A batch keeps no secrets: save the config, or name saved providers.", path=wire.CONFIG)


def _metadata(body: Mapping[str, Any]) -> dict[str, str]:
    metadata = body.get("metadata")
    if metadata is None:
        return {}
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise BadRequest("metadata must be an object of strings.", path="metadata")
    return metadata


def _row(request: web.Request, body: Json, *, ws: str, key: str) -> BatchRow:
    endpoint, source = body.get("endpoint"), body.get("input_file_id")
    if endpoint not in BATCHED:
        raise BadRequest(f"endpoint must be one of: {', '.join(BATCHED)}", path="endpoint")
    if not isinstance(source, str) or not source or "/" in source or not source.isascii():
        raise BadRequest("input_file_id must name a file.", path="input_file_id")
    headers = _kept_headers(request, _options(body))
    batch_id = new_id(BATCH_PREFIX)
    sent = read_metadata(headers[wire.METADATA]) if headers.get(wire.METADATA) else {}
    headers[wire.METADATA] = orjson.dumps({**sent, "batch_id": batch_id}).decode()
    now = int(time.time())
    return BatchRow(
        batch_id, ws, key, str(endpoint), source, now, now + LIFE_S, headers=headers, metadata=_metadata(body)
    )


async def create_batch(request: web.Request) -> web.StreamResponse:
    """Answer `POST /v1/batches`."""
    body = await _body(request)
    if body.get("completion_window") != IMMEDIATE:
        return await _forward(request, body)
    principal, store = principal_for(request), store_of(request)
    if principal.signed_by is not None:
        # A token is over before a batch is, and who may have what then would be nobody's word.
        raise Forbidden("A batch of the gateway's own needs an API key: a token may expire before it ends.")
    row = _row(request, body, ws=principal.ws.id, key=principal.key.id)
    await asyncio.to_thread(_admit, store, row)
    return json_response(request, row.shown())


def _admit(store: BatchStore, row: BatchRow) -> None:
    if is_own(row.input_file) and store.file(row.ws, row.input_file) is None:
        raise NotFound(f"There is no file {row.input_file}.")
    if sum(ws == row.ws for ws, _ in store.unfinished()) >= MAX_OPEN:
        raise TooManyBatches(f"At most {MAX_OPEN} batches of a workspace may run at a time.")
    store.check_room()
    store.create(row)


async def list_batches(request: web.Request) -> web.StreamResponse:
    """Answer `GET /v1/batches`."""
    if not names_own(request):
        return await serve(request, endpoint=PROXY)
    principal, store = principal_for(request), store_of(request)
    rows = await asyncio.to_thread(store.batches, principal.ws.id)
    start, end = page_of(request, [row.id for row in rows])
    shown = [_shown(store, row) for row in rows[start:end]]
    told = {
        "object": "list", "data": shown, "has_more": end < len(rows), "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
    }  # fmt: skip
    return json_response(request, told)


def _shown(store: BatchStore, row: BatchRow) -> Json:
    return row.shown(cancelling_since=store.cancelling_since(row))


async def _named(request: web.Request) -> tuple[BatchRow, BatchStore]:
    principal, store = principal_for(request), store_of(request)
    row = await asyncio.to_thread(store.batch, principal.ws.id, request.match_info["id"])
    if row is None:
        raise NotFound(f"There is no batch {request.match_info['id']}.")
    return row, store


async def read_batch(request: web.Request) -> web.StreamResponse:
    """Answer `GET /v1/batches/{id}`."""
    if not is_own(request.match_info["id"]):
        return await serve(request, endpoint=PROXY)
    row, store = await _named(request)
    return json_response(request, _shown(store, row))


async def cancel_batch(request: web.Request) -> web.StreamResponse:
    """Answer `POST /v1/batches/{id}/cancel`."""
    if not is_own(request.match_info["id"]):
        return await serve(request, endpoint=PROXY)
    row, store = await _named(request)
    await asyncio.to_thread(store.cancel, row)
    return json_response(request, _shown(store, row))


async def read_output(request: web.Request) -> web.StreamResponse:
    """Answer `GET /v1/batches/{id}/output`: what the batch has answered, one JSON object a line."""
    batch_id = request.match_info["id"]
    if not is_own(batch_id):
        return await _provider_output(request, batch_id)
    row, store = await _named(request)
    named = row.shown()["output_file_id"]
    if named is None:
        raise NotFound(f"The batch {batch_id} has no output: it is {_shown(store, row)['status']}.")
    return await content_response(request, store, row.ws, named)


async def _provider_output(request: web.Request, batch_id: str) -> web.StreamResponse:
    """Ask the provider for its batch, and then for the file that this names."""
    deps = request.app[DEPS]
    call = inner_call(PROXY, f"/v1/batches/{batch_id}", headers_of(request), deps.clock(), method="GET")
    async with answered(call, deps) as (answer, _):
        content = await whole_body(answer)
    if answer.status != 200:
        return web.Response(body=content, status=answer.status, headers=answer.headers, content_type="application/json")
    provider = deps.providers.get(answer.headers.get(wire.PROVIDER, ""))
    if provider is not None and provider.bulk is not None:
        return await serve(request, endpoint=PROXY)
    try:
        named = msgspec.json.decode(content)["output_file_id"]
    except (msgspec.DecodeError, UnicodeError, KeyError, TypeError):
        named = None
    if not isinstance(named, str) or not named:
        raise NotFound(f"The batch {batch_id} has no output yet.")
    return await serve(request, endpoint=PROXY, target=f"/v1/files/{named}/content")


def add_batch_routes(router: web.UrlDispatcher) -> None:
    """Add the routes of batches, and of what takes options in its body besides."""
    router.add_post("/v1/batches", refusing(create_batch))
    router.add_get("/v1/batches", refusing(list_batches), allow_head=False)
    router.add_get("/v1/batches/{id}", refusing(read_batch), allow_head=False)
    router.add_post("/v1/batches/{id}/cancel", refusing(cancel_batch))
    router.add_get("/v1/batches/{id}/output", refusing(read_output), allow_head=False)
    router.add_post("/v1/fine_tuning/jobs", refusing(forward_with_options))
