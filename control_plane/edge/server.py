"""The edge's routes.  Everything but enrolment and roots needs a request token of an enrolled group."""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, TypeVar
from uuid import UUID

import msgspec
import orjson
import structlog
import zstandard
from aiohttp import web
from django.conf import settings

from control_plane.budgets.leases import take_report
from control_plane.edge.auth import Caller, Callers
from control_plane.edge.database import close_database, in_database
from control_plane.edge.heads import Heads
from control_plane.gateways.models import Blob, BundleVersion, SigningRoot
from control_plane.gateways.services import enrol, take_status
from control_plane.logs.ingest import ingest_batch
from shared import logs, wire
from shared.errors import BadRequest, BodyTooLarge, Forbidden, GatewayError, NotFound
from shared.ids import parse_uuid

MAX_WAIT_S: Final = 55.0
CANCEL_AGAIN_S: Final = 0.5
MAX_UPLOAD_BYTES: Final = 24 * 1024 * 1024
MAX_RAW_BYTES: Final = 32 * 1024 * 1024
IMMUTABLE: Final = {"cache-control": "public, max-age=31536000, immutable"}

HEADS: Final = web.AppKey("heads", Heads)
CALLERS: Final = web.AppKey("callers", Callers)
#: What decoding raises for a body that is not the message; RecursionError for one that is nested without end.
_UNREADABLE: Final = (msgspec.DecodeError, RecursionError)
_SEQ: Final = re.compile(r"[0-9]{1,18}")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
ReportT = TypeVar("ReportT", wire.StatusReport, wire.UsageReport)

log = structlog.get_logger(module=__name__)


@web.middleware
async def errors_in_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every failure in JSON, without detail for what is our own defect."""
    try:
        return await handler(request)
    except GatewayError as error:
        return web.Response(body=orjson.dumps(error.body()), status=error.status, content_type="application/json")
    except web.HTTPException as error:
        known = {404: NotFound, 413: BodyTooLarge}.get(error.status, BadRequest)
        return web.Response(
            body=orjson.dumps(known(error.reason).body()), status=error.status, content_type="application/json"
        )
    except Exception:  # the edge's own outermost edge: a defect must not tear down a gateway's connection
        log.exception("edge_request_failed", path=request.path)
        return web.Response(
            body=orjson.dumps(GatewayError("Something went wrong").body()), status=500, content_type="application/json"
        )


async def _caller(request: web.Request) -> tuple[Caller, bytes]:
    body = await request.read() if request.can_read_body else b""
    return await request.app[CALLERS].identify(request, body), body


async def enrol_gateway(request: web.Request) -> web.Response:
    """`POST /enroll`: redeem a one-time token."""
    try:
        ask = msgspec.json.decode(await request.read(), type=wire.EnrolRequest)
    except _UNREADABLE as fault:
        raise BadRequest(f"The enrolment request is not valid: {fault}") from None
    answer = await in_database(enrol, ask)
    return web.Response(body=msgspec.json.encode(answer), content_type="application/json")


async def get_root(request: web.Request) -> web.Response:
    """`GET /root/{n}`: one version of the root of trust; 404 means that the one before is the newest."""
    number = int(request.match_info["number"])
    row = await in_database(SigningRoot.objects.filter(version=number).first)
    if row is None:
        raise NotFound("There is no such root.")
    return web.Response(body=bytes(row.content), content_type="application/json")


async def get_head(request: web.Request) -> web.Response:
    """`GET /groups/{g}/head?known=E.S&head_no=H&wait=50`: the head, at once when newer, else when the wait is over."""
    caller, _ = await _caller(request)
    if request.match_info["group"] != str(caller.group):
        raise Forbidden("This is another group's head.")
    query = request.query
    try:
        epoch, seq = (int(part) for part in query.get("known", "0.0").split("."))
        known = (epoch, seq, int(query.get("head_no", 0)))
        wait_s = min(MAX_WAIT_S, max(0.0, float(query.get("wait", 0))))
    except ValueError:
        raise BadRequest("known, head_no and wait must be numbers.") from None
    content = await request.app[HEADS].wait(caller.group, known, wait_s)
    if content is None:
        raise NotFound("There is no head for this group yet.")
    return web.Response(body=content, content_type="application/json", headers={"cache-control": "no-store"})


async def get_manifest(request: web.Request) -> web.Response:
    """`GET /manifests/{sha}`: a manifest of the caller's group."""
    caller, _ = await _caller(request)
    rows = BundleVersion.objects.filter(group_id=caller.group, digest=request.match_info["digest"])
    row = await in_database(rows.first)
    if row is None:
        raise NotFound("There is no such manifest.")
    return web.Response(body=bytes(row.manifest), headers=IMMUTABLE)


async def get_blob(request: web.Request) -> web.Response:
    """`GET /blobs/{sha}`: a blob; its digest is known only from a signed manifest."""
    await _caller(request)
    row = await in_database(Blob.objects.filter(digest=request.match_info["digest"]).first)
    if row is None:
        raise NotFound("There is no such blob.")
    return web.Response(body=bytes(row.content), headers=IMMUTABLE)


async def _report(request: web.Request, kind: type[ReportT], name: str, most_bytes: int) -> tuple[Caller, ReportT]:
    """Return who reports, and the report; refuses one that is too large, unreadable or about somebody else."""
    caller, body = await _caller(request)
    if len(body) > most_bytes:
        raise BodyTooLarge(f"The {name} is too large.")
    try:
        report = msgspec.json.decode(body, type=kind)
    except _UNREADABLE as fault:
        raise BadRequest(f"The {name} is not valid: {fault}") from None
    if report.instance != caller.instance:
        raise Forbidden("The report is about another instance.")
    return caller, report


async def post_status(request: web.Request) -> web.Response:
    """`POST /status`: what a gateway says of itself; it is told among how many it is."""
    caller, report = await _report(request, wire.StatusReport, "status report", wire.MAX_STATUS_BYTES)
    answer = await in_database(take_status, caller.group, report)
    return web.Response(body=msgspec.json.encode(answer), content_type="application/json")


async def post_usage(request: web.Request) -> web.Response:
    """`POST /usage`: book what a gateway has spent of budgets, and grant what it needs of them."""
    caller, report = await _report(request, wire.UsageReport, "usage report", wire.MAX_USAGE_BYTES)
    answer = await in_database(take_report, caller.group, caller.organisations, report)
    return web.Response(body=msgspec.json.encode(answer), content_type="application/json")


def _unpack(body: bytes, digest: str) -> bytes:
    if hashlib.sha256(body).hexdigest() != digest:
        raise BadRequest("The batch does not have the digest that its header says.")
    try:
        stated = zstandard.get_frame_parameters(body).content_size
        if stated > MAX_RAW_BYTES:
            raise BodyTooLarge("The batch unpacks to too much.")
        return zstandard.ZstdDecompressor().decompress(body, max_output_size=MAX_RAW_BYTES)
    except zstandard.ZstdError:
        raise BadRequest("The batch does not unpack.") from None


async def post_ingest(request: web.Request) -> web.Response:
    """`POST /ingest/{stream}/{first_seq}`: store a batch of records, once however often it comes."""
    caller, body = await _caller(request)
    stream = parse_uuid(request.match_info["stream"])
    last = request.headers.get(wire.LAST_SEQ, "")
    if stream is None or not _SEQ.fullmatch(last):
        raise BadRequest("The stream or the last sequence number is missing.")
    raw = _unpack(body, request.headers.get(wire.BODY_SHA256, ""))
    answer = await in_database(
        _ingest, caller, stream, first_seq=int(request.match_info["first"]), last_seq=int(last), body=raw
    )
    status = {wire.IngestAnswer: 200, wire.IngestConflict: 409, wire.IngestRefusal: 422}[type(answer)]
    return web.Response(body=msgspec.json.encode(answer), status=status, content_type="application/json")


def _ingest(
    caller: Caller, stream: UUID, *, first_seq: int, last_seq: int, body: bytes
) -> wire.IngestAnswer | wire.IngestConflict | wire.IngestRefusal:
    return ingest_batch(
        group_id=caller.group, organisations=caller.organisations, stream_id=stream, first_seq=first_seq,
        last_seq=last_seq, body=body,
    )  # fmt: skip


async def ready(_request: web.Request) -> web.Response:
    """`GET /readyz`: whether the database answers."""
    await in_database(SigningRoot.objects.exists)
    return web.json_response({"status": "ok"})


async def _following(app: web.Application) -> AsyncIterator[None]:
    task = asyncio.create_task(app[HEADS].follow())
    yield
    while not task.done():
        # Again and again, because a library below may lose a cancellation; otherwise the edge would never stop.
        task.cancel()
        await asyncio.wait({task}, timeout=CANCEL_AGAIN_S)
    await close_database()


def build_edge() -> web.Application:
    """Return the edge application."""
    app = web.Application(client_max_size=MAX_UPLOAD_BYTES, middlewares=[errors_in_json])
    app[HEADS] = Heads()
    app[CALLERS] = Callers()
    app.cleanup_ctx.append(_following)
    prefix = wire.DP_PREFIX
    app.router.add_post(f"{prefix}/enroll", enrol_gateway)
    app.router.add_get(f"{prefix}/root/{{number:[0-9]{{1,9}}}}", get_root)
    app.router.add_get(f"{prefix}/groups/{{group}}/head", get_head)
    app.router.add_get(f"{prefix}/manifests/{{digest:[0-9a-f]{{64}}}}", get_manifest)
    app.router.add_get(f"{prefix}/blobs/{{digest:[0-9a-f]{{64}}}}", get_blob)
    app.router.add_post(f"{prefix}/status", post_status)
    app.router.add_post(f"{prefix}/usage", post_usage)
    app.router.add_post(f"{prefix}/ingest/{{stream}}/{{first:[0-9]{{1,18}}}}", post_ingest)
    app.router.add_get("/readyz", ready)
    return app


def run() -> None:
    """Serve until SIGTERM or SIGINT."""
    logs.configure(settings.LOG_LEVEL)
    web.run_app(
        build_edge(), host=settings.EDGE_HOST, port=settings.EDGE_PORT, access_log=None, print=None,
        shutdown_timeout=2.0, handler_cancellation=True, handle_signals=True,
    )  # fmt: skip
