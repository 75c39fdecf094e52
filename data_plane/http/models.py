"""`GET /v1/models`: what a key can call, as `@slug/model`; or a provider's own list when the request names one.

Models of a virtual key are its allow-list, else those of the provider's price list.  A custom host or provider has no
such list, so it is asked, and left out when it does not answer in time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from aiohttp import web

from data_plane.core.exchange import Call
from data_plane.core.job import Principal
from data_plane.core.types import Answer
from data_plane.http.egress import put_gateway_headers
from data_plane.http.ingress import call_of
from data_plane.http.keys import DEPS
from data_plane.http.serve import refusal
from data_plane.pipeline.authenticate import authenticate, require_scope
from data_plane.pipeline.deps import Deps
from data_plane.pipeline.inner import answered, inner_call
from data_plane.pipeline.said import flag
from data_plane.pipeline.target import find_provider
from data_plane.providers.base import Provider
from data_plane.sync.snapshot import Snapshot
from shared import wire
from shared.errors import BadRequest, GatewayError, NotFound, NotReady
from shared.ids import uuid7
from shared.model_lists import is_listed
from shared.schema.rows import VirtualKeyRow
from shared.trace import read_trace

#: Asks every provider of the workspace for its own list, in place of the models that prices are known of.
FETCH_INTEGRATED: Final = wire.PREFIX + "fetch-integrated-models"
ASK_TIMEOUT_MS: Final = 3000
MAX_LIMIT: Final = 1000
SCOPES: Final = ("completions.write", "virtual_keys.list", "models.list")

Entry = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Asking:
    """Who asks, of what."""

    principal: Principal
    snapshot: Snapshot
    deps: Deps


def _entry(model: str, owner: str) -> Entry:
    bare = model.partition("/")[2] if model.startswith("@") else model
    return {
        "id": model, "slug": bare, "canonical_slug": bare, "object": "model", "created": 0, "owned_by": owner,
    }  # fmt: skip


async def _ask(principal: Principal, headers: Mapping[str, str], deps: Deps) -> list[Entry]:
    """Return a provider's own list; raises GatewayError when it has none to give."""
    timely = {wire.REQUEST_TIMEOUT: str(ASK_TIMEOUT_MS), **headers}
    call = inner_call("models", "/v1/models", timely, deps.clock(), method="GET", body=b"{}")
    async with answered(call, deps, lambda *_: principal) as (answer, _):
        if answer.status != 200:
            raise _Refused(answer)
        entries: list[Entry] = msgspec.json.decode(answer.body)["data"]
        return entries


class _Refused(GatewayError):
    """A provider did not give its list; its own answer says why."""

    status = 502
    code = "upstream_error"

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"The provider answered its list of models with status {answer.status}.")
        self.answer = answer


async def _models_of(row: VirtualKeyRow, asking: _Asking, *, live: bool) -> list[Entry]:
    """Return the models of one virtual key: its allow-list, else the provider's own list or that of its prices."""
    try:
        provider = find_provider(row.provider, asking.principal.org.id, asking.snapshot, asking.deps.providers)
    except GatewayError:
        return []
    if row.models is not None or provider is None:
        names = sorted(row.models or ())
    elif live or row.custom_host or provider.is_custom:
        try:
            found = await _ask(asking.principal, {wire.VIRTUAL_KEY: row.slug}, asking.deps)
        except GatewayError:
            return []
        names = [entry["id"] for entry in found]
    else:
        names = _priced(provider, asking.snapshot)
    names = [name for name in names if name not in row.denied_models]
    allowed = asking.principal.key.models
    if allowed is not None:
        names = [name for name in names if is_listed(allowed, name, row.slug)]
    return [_entry(f"@{row.slug}/{name}", row.provider) for name in names]


def _priced(provider: Provider, snapshot: Snapshot) -> list[str]:
    prices = snapshot.prices.get(provider.price_source or provider.id)
    return [model.id for model in prices.models] if prices else []


async def _catalogue(asking: _Asking, *, live: bool) -> list[Entry]:
    rows = list(asking.snapshot.virtual_keys.below(f"{asking.principal.ws.id}/"))
    lists = await asyncio.gather(*(_models_of(row, asking, live=live) for row in rows))
    return [entry for entries in lists for entry in entries]


_SORTS: Final[Mapping[str, Callable[[Entry], Any]]] = {
    "name": lambda entry: entry["id"],
    "provider": lambda entry: (entry["id"].partition("/")[0], entry["id"]),
    "ai_service": lambda entry: (entry["owned_by"], entry["id"]),
}


def _page(entries: list[Entry], request: web.Request) -> tuple[list[Entry], int]:
    """Return the part of a list that is asked for, and how long the list is; raises BadRequest."""
    query = request.query
    try:
        limit, offset = int(query.get("limit", MAX_LIMIT)), int(query.get("offset", 0))
    except ValueError:
        raise BadRequest("limit and offset must be whole numbers.", path="limit") from None
    if limit < 0 or offset < 0:
        raise BadRequest("limit and offset must not be negative.", path="limit")
    for wanted in filter(None, (query.get("provider"), query.get("ai_service"))):
        entries = [entry for entry in entries if wanted in {entry["owned_by"], *_slugs(entry["id"])}]
    if query.get("sort"):
        key = _SORTS.get(query["sort"])
        if key is None:
            raise BadRequest(f"sort must be one of: {', '.join(_SORTS)}", path="sort")
        entries = sorted(entries, key=key, reverse=query.get("order") == "desc")
    return entries[offset : offset + limit], len(entries)


def _slugs(model: str) -> tuple[str, str]:
    slug = model.partition("/")[0]
    return slug, slug.removeprefix("@")


async def _listed(request: web.Request, call: Call, deps: Deps) -> dict[str, Any]:
    asking = _asking(call, deps)
    told: dict[str, Any] = {}
    if any(call.headers.get(name) for name in (wire.PROVIDER, wire.VIRTUAL_KEY, wire.CONFIG)):
        entries = await _ask_named(asking, call)
        told["provider"] = (call.headers.get(wire.PROVIDER) or call.headers.get(wire.VIRTUAL_KEY) or "").lstrip("@")
    else:
        entries = await _catalogue(asking, live=flag(call.headers.get(FETCH_INTEGRATED)) is True)
    page, total = _page(entries, request)
    return {"object": "list", "total": total, "data": page, **told}


async def _ask_named(asking: _Asking, call: Call) -> list[Entry]:
    """Return the list of the provider that a request names; that of its prices when it keeps none to be asked for."""
    try:
        return await _ask(asking.principal, call.headers, asking.deps)
    except _Refused as refused:
        named = call.headers.get(wire.PROVIDER, "").strip() or "@" + call.headers.get(wire.VIRTUAL_KEY, "").strip()
        row = asking.snapshot.virtual_keys.get(f"{asking.principal.ws.id}/{named.removeprefix('@')}")
        found = asking.deps.providers.get(row.provider if row and named.startswith("@") else named)
        if found is None or found.lists_models:
            raise refused from None
        return [_entry(name, found.id) for name in _priced(found, asking.snapshot)]


def _asking(call: Call, deps: Deps) -> _Asking:
    snapshot = deps.holder.current
    if snapshot is None:
        raise NotReady("The gateway has no configuration yet.")
    principal = authenticate(call, snapshot, deps.holder.denied)
    require_scope(principal, *SCOPES)
    return _Asking(principal, snapshot, deps)


async def _one(request: web.Request, call: Call, deps: Deps) -> dict[str, Any]:
    wanted = request.match_info["model"]
    entries = await _catalogue(_asking(call, deps), live=False)
    found = next((entry for entry in entries if entry["id"] == wanted), None)
    if found is None:
        raise NotFound(f"There is no model {wanted} in this workspace.")
    return found


async def _respond(
    request: web.Request, tell: Callable[[web.Request, Call, Deps], Awaitable[dict[str, Any]]]
) -> web.Response:
    deps = request.app[DEPS]
    call = call_of(request, "models", deps.clock(), proxies=deps.proxies)
    try:
        answer = Answer(200, msgspec.json.encode(await tell(request, call, deps)))
    except _Refused as refused:
        answer = refused.answer
    except GatewayError as error:
        return refusal(error)
    put_gateway_headers(answer, read_trace(call.headers), str(uuid7()))
    return web.Response(body=answer.body, status=answer.status, headers=answer.headers, content_type="application/json")


async def list_models(request: web.Request) -> web.Response:
    """Answer `GET /v1/models`."""
    return await _respond(request, _listed)


async def read_model(request: web.Request) -> web.Response:
    """Answer `GET /v1/models/@slug/model`; a provider's own name of a model leads to the provider."""
    return await _respond(request, _one)
