"""Every route but enrolment and roots answers 401 to whoever cannot prove, for this very request, who it is."""

import asyncio
import base64
import json
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from control_plane.edge import auth
from control_plane.edge.database import in_database
from control_plane.gateways.models import GatewayGroup
from shared.crypto.request_token import LIFETIME_S
from shared.wire import DP_PREFIX
from tests.control_plane.edge.edge_kit import Gateway, send

GROUP = "00000000-0000-7000-8000-000000000000"
ROUTES = [
    ("GET", f"{DP_PREFIX}/groups/{GROUP}/head?known=0.0&head_no=0&wait=0"),
    ("GET", f"{DP_PREFIX}/manifests/{'0' * 64}"),
    ("GET", f"{DP_PREFIX}/blobs/{'0' * 64}"),
    ("POST", f"{DP_PREFIX}/status"),
    ("POST", f"{DP_PREFIX}/ingest/{GROUP}/1"),
]
BLOB = f"{DP_PREFIX}/blobs/{'0' * 64}"


def code_of(body):
    return json.loads(body)["error"]["code"]


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic eDp5", "Bearer a.b.c"])
async def test_without_a_readable_token_every_route_answers_401(edge, method, path, header):
    headers = {} if header is None else {"authorization": header}
    status, body, answered = await send(edge, method, path, b"x" if method == "POST" else b"", headers)
    assert (status, answered["content-type"]) == (401, "application/json")
    assert code_of(body) == "invalid_api_key"


async def test_a_token_of_bytes_that_are_no_text_is_refused(edge):
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    writer.write(f"GET {BLOB} HTTP/1.1\r\nhost: edge\r\nconnection: close\r\n".encode())
    writer.write(b"authorization: Bearer \xff\xfe.\xfd.\xfc\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert code_of(answer.partition(b"\r\n\r\n")[2]) == "invalid_api_key"


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_a_token_of_a_group_that_is_not_known_is_refused_by_every_route(edge, installation, method, path):
    stranger = Gateway(GatewayGroup(), Ed25519PrivateKey.generate())
    status, body, _ = await stranger.call(edge, method, path, b"x" if method == "POST" else b"")
    assert (status, code_of(body)) == (401, "invalid_api_key")


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_a_token_signed_by_another_key_is_refused_by_every_route(edge, installation, method, path):
    body = b"x" if method == "POST" else b""
    status, answer, _ = await installation.gateway.call(edge, method, path, body, key=Ed25519PrivateKey.generate())
    assert (status, code_of(answer)) == (401, "invalid_api_key")


async def test_a_token_for_this_request_is_taken(edge, installation):
    assert (await installation.gateway.call(edge, "GET", BLOB))[0] == 404


@pytest.mark.parametrize(
    "wrong",
    [
        {"htm": "POST"}, {"htu": BLOB + "0"}, {"htu": BLOB + "?x=1"}, {"bod": "0" * 64}, {"aud": "another"}, {"iss": "no-uuid"},
        {"htm": None}, {"htu": None}, {"bod": None}, {"sub": None}, {"iss": None}, {"exp": None}, {"iat": None},
        {"exp": 2**40}, {"exp": "soon"}, {"exp": "99999999999"}, {"exp": 1e400}, {"iat": "soon"},
    ],
    ids=str,
)  # fmt: skip
async def test_a_token_made_for_another_request_or_too_long_is_refused(edge, installation, wrong):
    status, body, _ = await installation.gateway.call(edge, "GET", BLOB, **wrong)
    assert (status, code_of(body)) == (401, "invalid_api_key")


async def test_a_body_that_was_changed_on_the_way_is_refused(edge, installation):
    path = f"{DP_PREFIX}/status"
    token = installation.gateway.token("POST", path, b'{"state":"ACTIVE"}')
    status, body, _ = await installation.gateway.call(edge, "POST", path, b'{"state":"REJECTED"}', token=token)
    assert (status, code_of(body)) == (401, "invalid_api_key")


async def test_a_query_that_was_changed_on_the_way_is_refused(edge, installation):
    gateway = installation.gateway
    token = gateway.token("GET", gateway.head_path(wait=0))
    assert (await gateway.call(edge, "GET", gateway.head_path(wait=0), token=token))[0] == 404
    assert (await gateway.call(edge, "GET", gateway.head_path(wait=1), token=token))[0] == 401


@pytest.mark.parametrize("offset_s", [-3600, -LIFETIME_S - 40, 60, 3600])
async def test_a_clock_that_is_off_is_told_so_with_the_time(edge, installation, offset_s):
    status, body, headers = await installation.gateway.call(edge, "GET", BLOB, offset_s=offset_s)
    assert (status, code_of(body)) == (401, "clock_skew")
    assert headers["date"]


@pytest.mark.parametrize("offset_s", [-LIFETIME_S - 10, 20])
async def test_a_clock_that_is_off_by_seconds_is_borne(edge, installation, offset_s):
    assert (await installation.gateway.call(edge, "GET", BLOB, offset_s=offset_s))[0] == 404


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
async def test_a_token_of_another_algorithm_is_refused(edge, installation, algorithm):
    gateway = installation.gateway
    claims = jwt.decode(gateway.token("GET", BLOB), options={"verify_signature": False})
    key = None if algorithm == "none" else bytes(gateway.group.identity_pub)
    status, body, _ = await gateway.call(edge, "GET", BLOB, token=jwt.encode(claims, key, algorithm=algorithm))
    assert (status, code_of(body)) == (401, "invalid_api_key")


@pytest.mark.parametrize(
    "payload", [b"[" * 5000, b"{}", b"[]", b"null", b"\xff", b'{"iss":7}', b'{"iss":' + b"[" * 4000]
)
async def test_a_token_whose_claims_are_nonsense_is_refused(edge, installation, payload):
    parts = [b'{"alg":"EdDSA"}', payload, b"x" * 64]
    token = ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)
    status, body, _ = await send(edge, "GET", BLOB, headers={"authorization": f"Bearer {token}"})
    assert (status, code_of(body)) == (401, "invalid_api_key")


async def test_a_revoked_group_is_refused(edge, installation):
    await in_database(GatewayGroup.objects.update, status="revoked")
    assert (await installation.gateway.call(edge, "GET", BLOB))[0] == 401


async def test_a_group_is_refused_soon_after_it_was_revoked(edge, installation, monkeypatch):
    assert (await installation.gateway.call(edge, "GET", BLOB))[0] == 404
    await in_database(GatewayGroup.objects.update, status="revoked")
    now = time.monotonic()
    monkeypatch.setattr(auth.time, "monotonic", lambda: now + auth.CACHED_S + 1)
    assert (await installation.gateway.call(edge, "GET", BLOB))[0] == 401
    assert auth.CACHED_S <= 10
