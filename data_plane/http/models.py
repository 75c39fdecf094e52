"""`GET /v1/models`: what a key can call, as `@slug/model`; or a provider's own list when the request names one.

Models of a virtual key are its allow-list, else those of the provider's price list.  A custom host or provider has no
such list, so it is asked, and left out when it does not answer in time.
"""

import asyncio
from typing import Any, Final

import msgspec
from aiohttp import web

from data_plane.core.exchange import Call
from data_plane.core.job import Choice, Job, Principal
from data_plane.core.types import Answer, UpstreamRequest
from data_plane.http.egress import put_gateway_headers
from data_plane.http.ingress import call_of
from data_plane.http.keys import DEPS
from data_plane.http.serve import refusal
from data_plane.pipeline.authenticate import authenticate, require_scope
from data_plane.pipeline.deps import Deps
from data_plane.pipeline.said import choice
from data_plane.pipeline.target import find_provider, locate
from data_plane.sync.snapshot import Snapshot
from shared import wire
from shared.errors import BadRequest, GatewayError, NotReady, Quarantined, UpstreamInvalid
from shared.ids import uuid7
from shared.routing.plan import DEFAULT_PLAN, Target
from shared.schema.rows import VirtualKeyRow
from shared.trace import read_trace

ASK_TIMEOUT_MS: Final = 3000
MAX_LIST_BYTES: Final = 8 * 1024 * 1024
MAX_LIMIT: Final = 1000
SCOPES: Final = ("completions.write", "virtual_keys.list", "models.list")

Entry = dict[str, Any]


def _entry(model: str, owner: str) -> Entry:
    return {"id": model, "object": "model", "created": 0, "owned_by": owner}


async def _ask(principal: Principal, snapshot: Snapshot, call: Call, choice: Choice, deps: Deps) -> list[Entry]:
    """Return the provider's own list; raises GatewayError when it has none to give."""
    job = Job("chat", DEFAULT_PLAN, {"model": "-"}, "-", stream=False, choice=choice)
    place = locate(
        Target(path="config"), job, principal, snapshot, denied=deps.holder.denied, headers=call.headers,
        providers=deps.providers, trusted_hosts=deps.trusted_hosts, any_model=True,
    )  # fmt: skip
    headers = dict(place.provider.default_headers)
    if place.credential.key is not None:
        place.provider.authorise(place.credential.key, headers)
    url = f"{place.base_url}/models"
    request = UpstreamRequest(url, headers, b"", stream=False, timeout_ms=ASK_TIMEOUT_MS, method="GET")
    response = await deps.client.send(request)
    try:
        content = await response.read(MAX_LIST_BYTES)
    finally:
        response.close()
    if response.status != 200:
        raise UpstreamInvalid(f"{place.provider.id} answered its list of models with status {response.status}.")
    try:
        listed = msgspec.json.decode(content)["data"]
        return [_entry(str(item["id"]), str(item.get("owned_by") or place.provider.id)) for item in listed]
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
        raise UpstreamInvalid(f"Invalid response received from {place.provider.id}.") from None


async def _models_of(
    row: VirtualKeyRow, principal: Principal, snapshot: Snapshot, call: Call, deps: Deps
) -> list[Entry]:
    try:
        provider = find_provider(row.provider, row.org, snapshot, deps.providers)
    except Quarantined:
        provider = None
    if row.models is not None or provider is None:
        names = sorted(row.models or ())
    elif row.custom_host or provider.is_custom:
        try:
            found = await _ask(principal, snapshot, call, Choice(virtual_key=row.slug), deps)
        except GatewayError:
            return []
        names = [entry["id"] for entry in found]
    else:
        prices = snapshot.prices.get(provider.price_source or provider.id)
        names = [model.id for model in prices.models] if prices else []
    return [_entry(f"@{row.slug}/{name}", row.provider) for name in names]


async def _catalogue(principal: Principal, snapshot: Snapshot, call: Call, deps: Deps) -> list[Entry]:
    rows = list(snapshot.virtual_keys.below(f"{principal.ws.id}/"))
    lists = await asyncio.gather(*(_models_of(row, principal, snapshot, call, deps) for row in rows))
    return [entry for entries in lists for entry in entries]


def _page(entries: list[Entry], request: web.Request) -> list[Entry]:
    query = request.query
    try:
        limit, offset = int(query.get("limit", MAX_LIMIT)), int(query.get("offset", 0))
    except ValueError:
        raise BadRequest("limit and offset must be whole numbers.", path="limit") from None
    if limit < 0 or offset < 0:
        raise BadRequest("limit and offset must not be negative.", path="limit")
    wanted = query.get("provider") or query.get("ai_service")
    if wanted:
        entries = [entry for entry in entries if wanted in {entry["owned_by"], entry["id"].partition("/")[0]}]
    if query.get("sort"):
        entries = sorted(entries, key=lambda entry: entry["id"], reverse=query.get("order") == "desc")
    return entries[offset : offset + limit]


async def _listed(request: web.Request, call: Call, deps: Deps) -> dict[str, Any]:
    snapshot = deps.holder.current
    if snapshot is None:
        raise NotReady("The gateway has no configuration yet.")
    principal = authenticate(call, snapshot, deps.holder.denied)
    require_scope(principal, *SCOPES)
    provider, slug = call.headers.get(wire.PROVIDER), call.headers.get(wire.VIRTUAL_KEY)
    if provider or slug:
        entries = await _ask(principal, snapshot, call, choice(call.headers, principal), deps)
        return {"object": "list", "data": _page(entries, request), "provider": (provider or slug or "").lstrip("@")}
    return {"object": "list", "data": _page(await _catalogue(principal, snapshot, call, deps), request)}


async def list_models(request: web.Request) -> web.Response:
    """Answer `GET /v1/models`."""
    deps = request.app[DEPS]
    call = call_of(request, "models", deps.clock())
    try:
        answer = Answer(200, msgspec.json.encode(await _listed(request, call, deps)))
    except GatewayError as error:
        return refusal(error)
    put_gateway_headers(answer, read_trace(call.headers), str(uuid7()))
    return web.Response(body=answer.body, headers=answer.headers, content_type="application/json")
