"""Each route gives a gateway what is its own, refuses what is not, and answers every fault in JSON."""

import asyncio
import contextlib
import gzip
import hashlib
import json
import time
from uuid import uuid4

import msgspec
import pytest
import zstandard
from aiohttp import web

from control_plane.core.models import OutboxEvent
from control_plane.edge import server
from control_plane.edge.database import in_database
from control_plane.gateways.models import Blob, BundleVersion, GatewayGroup, GatewayInstance, SigningRoot
from control_plane.gateways.services import create_enrolment
from control_plane.gateways.signing import ROOT_KEYS, add_root, signer
from control_plane.logs.models import IngestStream, LogRow
from shared.bundle.trust import follow_root, pin_root
from shared.wire import BODY_SHA256, DP_PREFIX, LAST_SEQ, MAX_STATUS_BYTES
from tests.control_plane.edge.edge_kit import Gateway, send
from tests.control_plane.factories import make_tenant
from tests.control_plane.gateways.publisher_kit import GroupKeys
from tests.control_plane.logs.log_kit import make_record, record_frame

STATUS = f"{DP_PREFIX}/status"
ENROLL = f"{DP_PREFIX}/enroll"


@pytest.fixture(autouse=True)
def _forget_days(monkeypatch):
    """Partitions that a test made are gone after it."""
    monkeypatch.setattr("control_plane.logs.ingest._KNOWN_DAYS", set())


def error_of(answer):
    """The (status, code) of an error; it must be JSON and have a sentence."""
    status, body, headers = answer
    assert headers["content-type"] == "application/json"
    error = json.loads(body)["error"]
    assert error["message"]
    return status, error["code"]


def numbers_of(gateway):
    gateway.group.refresh_from_db()
    return {"known": f"{gateway.group.epoch}.{gateway.group.seq}", "head_no": gateway.group.head_no}


# Heads


async def test_a_poll_is_answered_at_once_when_there_is_news(edge, installation):
    content = await in_database(installation.publish)
    gateway = installation.gateway
    status, body, headers = await asyncio.wait_for(gateway.call(edge, "GET", gateway.head_path(wait=50)), 10)
    assert (status, body, headers["content-type"], headers["cache-control"]) == (
        200,
        content,
        "application/json",
        "no-store",
    )


async def test_a_poll_for_what_is_known_is_held_until_something_is_published(edge, installation):
    await in_database(installation.publish)
    gateway = installation.gateway
    path = gateway.head_path(**await in_database(numbers_of, gateway), wait=50)
    await gateway.call(edge, "GET", gateway.head_path(wait=50))
    poll = asyncio.create_task(gateway.call(edge, "GET", path))
    assert not (await asyncio.wait({poll}, timeout=0.4))[0]
    content = await in_database(installation.publish)
    assert (await asyncio.wait_for(poll, 4))[:2] == (200, content)


async def test_after_the_wait_the_current_head_is_answered(edge, installation):
    content = await in_database(installation.publish)
    gateway = installation.gateway
    await gateway.call(edge, "GET", gateway.head_path(wait=50))
    path = gateway.head_path(**await in_database(numbers_of, gateway), wait=0.3)
    started = time.monotonic()
    assert (await gateway.call(edge, "GET", path))[:2] == (200, content)
    assert time.monotonic() - started >= 0.3


async def test_no_poll_is_held_longer_than_the_edge_allows(edge, installation, monkeypatch):
    monkeypatch.setattr(server, "MAX_WAIT_S", 0.1)
    answer = await asyncio.wait_for(
        installation.gateway.call(edge, "GET", installation.gateway.head_path(wait=9999)), 10
    )
    assert error_of(answer) == (404, "not_found")


async def test_a_group_without_a_bundle_has_no_head(edge, installation):
    answer = await installation.gateway.call(edge, "GET", installation.gateway.head_path())
    assert error_of(answer) == (404, "not_found")


async def test_another_groups_head_is_forbidden(edge, installation):
    other = await in_database(installation.make_gateway)
    await in_database(installation.publish, other)
    answer = await installation.gateway.call(edge, "GET", installation.gateway.head_path(group=other.id))
    assert error_of(answer)[0] == 403


@pytest.mark.parametrize(
    "query", ["known=1", "known=a.b", "known=1.2.3", "head_no=x", "wait=long", "known=", "known=1.2&wait="], ids=str
)
async def test_a_poll_with_numbers_that_are_none_is_refused(edge, installation, query):
    path = f"{DP_PREFIX}/groups/{installation.gateway.id}/head?{query}"
    assert error_of(await installation.gateway.call(edge, "GET", path))[0] == 400


@pytest.mark.parametrize("query", ["wait=nan", "wait=-5", "other=1", "known=99999999999999999999.1&wait=0"])
async def test_odd_numbers_harm_nothing(edge, installation, query):
    content = await in_database(installation.publish)
    gateway = installation.gateway
    await gateway.call(edge, "GET", gateway.head_path(wait=50))
    path = f"{DP_PREFIX}/groups/{gateway.id}/head?{query}"
    assert (await asyncio.wait_for(gateway.call(edge, "GET", path), 10))[:2] == (200, content)


# Manifests, blobs, roots


async def test_a_manifest_is_given_to_its_own_group_and_may_be_kept(edge, installation):
    await in_database(installation.publish)
    version = await in_database(BundleVersion.objects.get)
    path = f"{DP_PREFIX}/manifests/{version.digest}"
    status, body, headers = await installation.gateway.call(edge, "GET", path)
    assert (status, hashlib.sha256(body).hexdigest()) == (200, version.digest)
    assert "immutable" in headers["cache-control"]
    other = await in_database(installation.make_gateway)
    assert error_of(await other.call(edge, "GET", path)) == (404, "not_found")


async def test_a_blob_is_given_by_its_digest_and_may_be_kept(edge, installation):
    await in_database(installation.publish)
    blob = await in_database(Blob.objects.first)
    status, body, headers = await installation.gateway.call(edge, "GET", f"{DP_PREFIX}/blobs/{blob.digest}")
    assert (status, body) == (200, bytes(blob.content))
    assert "immutable" in headers["cache-control"]


@pytest.mark.parametrize("kind", ["manifests", "blobs"])
@pytest.mark.parametrize("digest", ["0" * 64, "0" * 63, "A" * 64, "%00", "x", "..%2F..%2Fetc", "é"])
async def test_a_digest_that_is_unknown_or_none_is_not_found(edge, installation, kind, digest):
    answer = await installation.gateway.call(edge, "GET", f"{DP_PREFIX}/{kind}/{digest}")
    assert error_of(answer) == (404, "not_found")


async def test_roots_are_given_to_everyone_up_to_the_newest(edge, installation, tmp_path):
    def add():
        folder = tmp_path / "signing"
        return add_root(folder, version=2, signers=[signer(folder, name) for name in ROOT_KEYS])

    assert error_of(await send(edge, "GET", f"{DP_PREFIX}/root/2")) == (404, "not_found")
    second = await in_database(add)
    (one, content, _), (two, following, _) = [
        await send(edge, "GET", f"{DP_PREFIX}/root/{number}") for number in (1, 2)
    ]
    assert (one, two, following) == (200, 200, second.content)
    assert follow_root(pin_root(content, installation.root.digest), following).version == 2
    assert error_of(await send(edge, "GET", f"{DP_PREFIX}/root/3")) == (404, "not_found")


@pytest.mark.parametrize("number", ["0", "999999999", "9999999999", "x", "-1", "1.5"])
async def test_a_root_number_that_cannot_be_is_not_found(edge, number):
    assert error_of(await send(edge, "GET", f"{DP_PREFIX}/root/{number}")) == (404, "not_found")


# Enrolment


def ask_of(keys, token, **fields):
    return msgspec.json.encode(keys.ask(token, **fields))


async def test_a_token_makes_a_gateway_that_may_call_at_once(edge, installation):
    token = await in_database(lambda: create_enrolment(installation.tenant.organisation, "eu").shown_once())
    keys = GroupKeys()
    status, body, headers = await send(edge, "POST", ENROLL, ask_of(keys, token))
    answer = json.loads(body)
    assert (status, headers["content-type"]) == (200, "application/json")
    assert (answer["org"], answer["root_sha256"]) == (
        str(installation.tenant.organisation.pk),
        installation.root.digest,
    )
    gateway = Gateway(await in_database(GatewayGroup.objects.get, pk=answer["group"]), keys.identity)
    content = await in_database(installation.publish, gateway)
    assert (await gateway.call(edge, "GET", gateway.head_path(wait=20)))[:2] == (200, content)
    assert (await send(edge, "POST", ENROLL, ask_of(keys, token)))[:2] == (200, body)
    assert error_of(await send(edge, "POST", ENROLL, ask_of(GroupKeys(), token)))[0] == 401


async def test_an_unknown_token_is_refused_without_being_repeated(edge):
    answer = await send(edge, "POST", ENROLL, ask_of(GroupKeys(), "ghe-not-a-token"))
    assert error_of(answer)[0] == 401
    assert b"ghe-not-a-token" not in answer[1]


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"{", b'{"token":"t"}', b'{"token":1,"identity_pub":"","sealing_pub":""}', b"\xff", b"[" * 100_000,
        b'{"token":"t","identity_pub":"","sealing_pub":"","more":' + b"[" * 100_000,
    ],
    ids=lambda body: body[:60],
)  # fmt: skip
async def test_an_enrolment_request_that_is_none_is_refused(edge, body):
    assert error_of(await send(edge, "POST", ENROLL, body))[0] == 400


# Status


def report(**fields):
    return json.dumps({"instance": "gw-1", "boot_id": "b", "state": "ACTIVE", **fields}).encode()


async def test_a_report_is_stored_for_the_callers_group(edge, installation):
    status, body, _ = await installation.gateway.call(edge, "POST", STATUS, report(workers=3, of_a_later_release=[1]))
    assert (status, body) == (200, b'{"gateways":1}')
    row = await in_database(GatewayInstance.objects.get)
    assert (row.group_id, row.instance, row.report["workers"]) == (installation.gateway.group.pk, "gw-1", 3)


async def test_a_report_about_another_instance_is_forbidden(edge, installation):
    assert error_of(await installation.gateway.call(edge, "POST", STATUS, report(instance="gw-2")))[0] == 403
    assert await in_database(GatewayInstance.objects.count) == 0


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'{"instance":"gw-1"}', report(workers="many"), report(last_error={"code": "x", "detail": "\0"}),
     b'{"more":' + b"[" * 10_000],
    ids=lambda body: body[:60],
)  # fmt: skip
async def test_a_report_that_is_none_is_refused(edge, installation, body):
    assert error_of(await installation.gateway.call(edge, "POST", STATUS, body))[0] == 400
    assert await in_database(GatewayInstance.objects.count) == 0


async def test_a_report_that_is_too_large_is_refused(edge, installation):
    fitting = report(version="x" * (MAX_STATUS_BYTES - len(report(version=""))))
    assert len(fitting) == MAX_STATUS_BYTES
    assert (await installation.gateway.call(edge, "POST", STATUS, fitting))[0] == 200
    larger = fitting.replace(b'"x', b'"xx')
    assert error_of(await installation.gateway.call(edge, "POST", STATUS, larger))[0] == 413


# Ingest


def batch(*frames, first=1, stream=None, last=None, digest=None, body=None):
    """The path, body and headers of an upload."""
    packed = zstandard.ZstdCompressor().compress(b"".join(frames)) if body is None else body
    headers = {
        LAST_SEQ: str(first + len(frames) - 1) if last is None else last,
        BODY_SHA256: digest or hashlib.sha256(packed).hexdigest(),
    }
    return f"{DP_PREFIX}/ingest/{stream or uuid4()}/{first}", packed, headers


async def upload(edge, gateway, given):
    path, body, headers = given
    return await gateway.call(edge, "POST", path, body, headers)


def frames_of(tenant, count, first=1):
    return [record_frame(first + number, make_record(tenant)) for number in range(count)]


async def test_a_batch_is_stored_once_and_a_duplicate_is_acknowledged(edge, installation):
    given = batch(*frames_of(installation.tenant, 3))
    for _ in range(2):
        status, body, _ = await upload(edge, installation.gateway, given)
        assert (status, json.loads(body)) == (200, {"acked": 3})
    assert await in_database(LogRow.objects.count) == 3


async def test_a_gap_is_answered_with_where_to_go_on(edge, installation):
    stream = uuid4()
    await upload(edge, installation.gateway, batch(*frames_of(installation.tenant, 2), stream=stream))
    late = batch(*frames_of(installation.tenant, 1, first=9), first=9, stream=stream)
    status, body, _ = await upload(edge, installation.gateway, late)
    assert (status, json.loads(body)) == (409, {"expected": 3})
    assert await in_database(LogRow.objects.count) == 2


async def test_another_groups_stream_is_forbidden_and_stays_as_it_is(edge, installation):
    stream, other = uuid4(), await in_database(installation.make_gateway)
    await upload(edge, installation.gateway, batch(*frames_of(installation.tenant, 2), stream=stream))
    foreign = batch(*frames_of(installation.tenant, 1, first=3), first=3, stream=stream)
    assert error_of(await upload(edge, other, foreign))[0] == 403
    assert (await in_database(IngestStream.objects.get)).next_seq == 3
    assert await in_database(LogRow.objects.count) == 2


async def test_a_record_of_an_organisation_that_the_group_does_not_serve_is_refused(edge, installation):
    stranger = await in_database(make_tenant)
    frames = [*frames_of(installation.tenant, 1), *frames_of(stranger, 1, first=2)]
    status, body, _ = await upload(edge, installation.gateway, batch(*frames))
    assert (status, json.loads(body)) == (422, {"bad_seq": [2]})
    assert await in_database(LogRow.objects.count) == 0


async def test_a_group_that_serves_all_may_send_every_organisations_records(edge, installation):
    stranger = await in_database(make_tenant)
    everyones = await in_database(installation.make_gateway, serves_all=True)
    assert (await upload(edge, everyones, batch(*frames_of(stranger, 1))))[0] == 200


async def test_a_batch_with_another_digest_is_refused_and_not_stored(edge, installation):
    frames = frames_of(installation.tenant, 1)
    assert error_of(await upload(edge, installation.gateway, batch(*frames, digest="0" * 64)))[0] == 400
    path, body, headers = batch(*frames)
    del headers[BODY_SHA256]
    assert error_of(await upload(edge, installation.gateway, (path, body, headers)))[0] == 400
    assert await in_database(LogRow.objects.count) == 0


@pytest.mark.parametrize("last", ["", "x", "-1", "1.0", "²", "9" * 19, "9" * 5000])
async def test_a_last_number_that_is_none_is_refused(edge, installation, last):
    path, body, headers = batch(*frames_of(installation.tenant, 1), last=last)
    assert error_of(await upload(edge, installation.gateway, (path, body, headers)))[0] == 400


async def test_a_stream_that_is_none_is_refused(edge, installation):
    given = batch(*frames_of(installation.tenant, 1), stream="no-uuid")
    assert error_of(await upload(edge, installation.gateway, given))[0] == 400


@pytest.mark.parametrize("body", [b"", b"no zstandard", zstandard.ZstdCompressor().compress(b"no frames")])
async def test_a_body_that_holds_no_frames_is_refused(edge, installation, body):
    assert error_of(await upload(edge, installation.gateway, batch(body=body, last="1")))[0] == 400


def endless(stated):
    """A frame of zeros, far more than may be unpacked; its size stated or not."""
    size = server.MAX_RAW_BYTES + 1
    packer = zstandard.ZstdCompressor(write_content_size=stated).compressobj(size=size if stated else -1)
    return packer.compress(b"\0" * size) + packer.flush()


@pytest.mark.parametrize("stated", [True, False])
async def test_a_batch_that_unpacks_to_too_much_is_refused(edge, installation, stated):
    bomb = endless(stated)
    assert len(bomb) < 100_000
    answer = await upload(edge, installation.gateway, batch(body=bomb, last="1"))
    assert error_of(answer)[0] == 413


async def test_a_body_that_http_would_unpack_to_too_much_is_refused(edge, installation):
    path, body, headers = batch(body=gzip.compress(b"\0" * (server.MAX_UPLOAD_BYTES + 1)), last="1")
    headers["content-encoding"] = "gzip"
    assert error_of(await upload(edge, installation.gateway, (path, body, headers)))[0] == 413


async def test_a_body_beyond_the_limit_is_refused(edge, installation, monkeypatch):
    given = batch(body=b"x" * (server.MAX_UPLOAD_BYTES + 1), last="1")
    assert error_of(await upload(edge, installation.gateway, given))[0] == 413


# Everything else


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("GET", f"{DP_PREFIX}/"), ("GET", f"{DP_PREFIX}/secrets"), ("POST", "/v1/chat/completions")],
)
async def test_an_unknown_route_is_not_found_in_json(edge, method, path):
    assert error_of(await send(edge, method, path)) == (404, "not_found")


async def test_a_method_that_a_route_does_not_have_is_refused_in_json(edge):
    assert error_of(await send(edge, "DELETE", ENROLL))[0] == 405


async def test_the_edge_is_ready_when_the_database_answers(edge):
    status, body, _ = await send(edge, "GET", "/readyz")
    assert (status, json.loads(body)) == (200, {"status": "ok"})


@pytest.mark.parametrize("path", ["/readyz", f"{DP_PREFIX}/root/1"])
async def test_a_defect_is_told_without_any_detail(edge, monkeypatch, path):
    def fail(*_args, **_kwargs):
        raise RuntimeError("password=hunter2 at 10.0.0.7")

    monkeypatch.setattr(SigningRoot.objects, "exists", fail)
    monkeypatch.setattr(SigningRoot.objects, "filter", fail)
    answer = await send(edge, "GET", path)
    assert error_of(answer)[0] == 500
    for detail in (b"hunter2", b"10.0.0.7", b"RuntimeError", b"Traceback", b".py"):
        assert detail not in answer[1]


async def test_a_defect_does_not_end_the_connection(edge, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(SigningRoot.objects, "exists", lambda: 1 / 0)
        assert (await send(edge, "GET", "/readyz"))[0] == 500
    assert (await send(edge, "GET", "/readyz"))[0] == 200


async def test_the_edge_stops_although_a_cancellation_was_lost(installation, monkeypatch):
    async def follow(_self):
        for _ in range(2):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        await asyncio.Event().wait()

    monkeypatch.setattr(server, "CANCEL_AGAIN_S", 0.01)
    monkeypatch.setattr(server.Heads, "follow", follow)
    runner = web.AppRunner(server.build_edge())
    await runner.setup()
    await asyncio.wait_for(runner.cleanup(), 10)


async def test_enrolment_wakes_the_publisher(edge, installation):
    before = await in_database(OutboxEvent.objects.count)
    token = await in_database(lambda: create_enrolment(installation.tenant.organisation, "eu").shown_once())
    await send(edge, "POST", ENROLL, ask_of(GroupKeys(), token))
    assert await in_database(OutboxEvent.objects.count) == before + 1
