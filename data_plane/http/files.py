"""`/v1/files`: the gateway's own files, for batches that it runs itself; every other file is the provider's.

A file is the gateway's own when the request names `gatehouse` (or `portkey`) as its provider, or an id that is ours.
Source: https://platform.openai.com/docs/api-reference/files
"""

import asyncio
from typing import Final

from aiohttp import BodyPartReader, web
from aiohttp.http import HttpProcessingError

from data_plane.batches.model import FileRow, is_own
from data_plane.batches.store import BatchStore, Draft
from data_plane.core.endpoint import PROXY
from data_plane.http.form_fields import UNREADABLE
from data_plane.http.forms import is_form
from data_plane.http.ingress import UPLOAD_SILENCE_S
from data_plane.http.keys import BATCHES, DEPS
from data_plane.http.own import json_response, own_headers, principal_for, refusing
from data_plane.http.serve import serve
from shared import wire
from shared.errors import BadRequest, BodyTooLarge, NotFound, Unsupported

#: Names of the provider that is the gateway itself.
OWN_PROVIDERS: Final = frozenset({"gatehouse", "portkey"})
MAX_FIELD_BYTES: Final = 4096
MAX_PAGE: Final = 10_000
_PIECE: Final = 256 * 1024


def names_own(request: web.Request) -> bool:
    """Return whether a request names the gateway itself as its provider."""
    return request.headers.get(wire.PROVIDER, "").strip().lower() in OWN_PROVIDERS


def store_of(request: web.Request) -> BatchStore:
    """Return where files and batches are; raises Unsupported when this gateway keeps none."""
    store = request.app.get(BATCHES)
    if store is None:
        raise Unsupported("Files and batches of its own are switched off at this gateway")
    return store


def page_of(request: web.Request, ids: list[str]) -> tuple[int, int]:
    """Return which part of a list is asked for, as (start, end); raises BadRequest."""
    try:
        limit = int(request.query.get("limit", "20"))
    except ValueError:
        limit = 0
    if not 0 < limit <= MAX_PAGE:
        raise BadRequest(f"limit must be a number from 1 to {MAX_PAGE}.", path="limit")
    after = request.query.get("after")
    start = ids.index(after) + 1 if after in ids else 0
    return start, start + limit


async def _text(part: BodyPartReader) -> str:
    content = bytearray()
    while piece := await part.read_chunk(MAX_FIELD_BYTES):
        content += piece
        if len(content) > MAX_FIELD_BYTES:
            raise BodyTooLarge("A field of the form is too long.")
    return content.decode()


async def _take(part: BodyPartReader, draft: Draft, limit: int) -> None:
    while True:
        async with asyncio.timeout(UPLOAD_SILENCE_S):
            piece = await part.read_chunk(_PIECE)
        if not piece:
            return
        await asyncio.to_thread(draft.write, piece)
        if draft.size > limit:
            raise BodyTooLarge("The file is too large.")


async def _read_upload(request: web.Request, draft: Draft) -> tuple[str, str]:
    """Write the file of a form into `draft`; return (its name, its purpose)."""
    name, purpose = "", ""
    async for part in await request.multipart():
        if not isinstance(part, BodyPartReader):
            raise BadRequest("The form must have plain fields.", path="body")
        if part.name == "file" and part.filename is not None:
            if name:
                raise BadRequest("The form must have one file.", path="file")
            name = part.filename or "file"
            await _take(part, draft, request.app[DEPS].max_upload_bytes)
        elif part.name == "purpose":
            purpose = await _text(part)
        else:
            await _text(part)
    if not name or not purpose:
        raise BadRequest("The form must have a file and its purpose.", path="purpose" if name else "file")
    return name, purpose


async def create_file(request: web.Request) -> web.StreamResponse:
    """Answer `POST /v1/files`."""
    if not names_own(request):
        return await serve(request, endpoint=PROXY)
    principal, store = principal_for(request), store_of(request)
    if not is_form(request):
        raise BadRequest("Invalid content type passed")
    await asyncio.to_thread(store.check_room, request.content_length or 0)
    draft = await asyncio.to_thread(store.draft, principal.ws.id)
    kept = False
    try:
        name, purpose = await _read_upload(request, draft)
        row = await asyncio.to_thread(draft.keep, name, purpose)
        kept = True
    except TimeoutError:
        raise BadRequest("The request body did not go on in time.") from None
    except (web.HTTPException, web.RequestPayloadError, HttpProcessingError, *UNREADABLE):
        raise BadRequest("The request body is not a form that can be read.", path="body") from None
    finally:
        if not kept:
            draft.drop()
    return json_response(request, row.shown())


async def list_files(request: web.Request) -> web.StreamResponse:
    """Answer `GET /v1/files`."""
    if not names_own(request):
        return await serve(request, endpoint=PROXY)
    principal, store = principal_for(request), store_of(request)
    rows = await asyncio.to_thread(store.files, principal.ws.id)
    wanted = request.query.get("purpose")
    rows = [row for row in rows if wanted in {None, row.purpose}]
    start, end = page_of(request, [row.id for row in rows])
    shown = [row.shown() for row in rows[start:end]]
    return json_response(request, {"object": "list", "data": shown, "has_more": end < len(rows)})


async def _named(request: web.Request) -> tuple[FileRow, BatchStore, str]:
    principal, store = principal_for(request), store_of(request)
    row = await asyncio.to_thread(store.file, principal.ws.id, request.match_info["id"])
    if row is None:
        raise NotFound(f"There is no file {request.match_info['id']}.")
    return row, store, principal.ws.id


async def read_file(request: web.Request) -> web.StreamResponse:
    """Answer `GET /v1/files/{id}`."""
    if not is_own(request.match_info["id"]):
        return await serve(request, endpoint=PROXY)
    row, _, _ = await _named(request)
    return json_response(request, row.shown())


async def delete_file(request: web.Request) -> web.StreamResponse:
    """Answer `DELETE /v1/files/{id}`."""
    if not is_own(request.match_info["id"]):
        return await serve(request, endpoint=PROXY)
    row, store, ws = await _named(request)
    deleted = await asyncio.to_thread(store.delete_file, ws, row.id)
    return json_response(request, {"id": row.id, "object": "file", "deleted": deleted})


async def read_content(request: web.Request) -> web.StreamResponse:
    """Answer `GET /v1/files/{id}/content`."""
    if not is_own(request.match_info["id"]):
        return await serve(request, endpoint=PROXY)
    row, store, ws = await _named(request)
    return await content_response(request, store, ws, row.id)


async def content_response(request: web.Request, store: BatchStore, ws: str, file_id: str) -> web.StreamResponse:
    """Return a file's content, read from the disk while it is sent; raises NotFound."""
    path = await asyncio.to_thread(store.content, ws, file_id)
    if path is None:
        raise NotFound(f"There is no file {file_id}.")
    response = web.FileResponse(path, headers=own_headers(request))
    response.content_type = "application/octet-stream"
    return response


def add_file_routes(router: web.UrlDispatcher) -> None:
    """Add the routes of files."""
    router.add_post("/v1/files", refusing(create_file))
    router.add_get("/v1/files", refusing(list_files), allow_head=False)
    router.add_get("/v1/files/{id}", refusing(read_file), allow_head=False)
    router.add_delete("/v1/files/{id}", refusing(delete_file))
    router.add_get("/v1/files/{id}/content", refusing(read_content), allow_head=False)
