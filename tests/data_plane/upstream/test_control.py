import email.utils
import time

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from data_plane.upstream.control import ControlClient, ControlUnreachable, Speaker
from shared.crypto.request_token import TokenRefused, verify_request

KEY = Ed25519PrivateKey.generate()
PUBLIC = KEY.public_key().public_bytes_raw()


class Edge:
    """Checks tokens at its own time, `skew_s` off from ours."""

    def __init__(self, skew_s=0.0, body=b"ok"):
        self.skew_s, self.body, self.calls = skew_s, body, []

    async def handle(self, request):
        body = await request.read()
        token = request.headers["authorization"].removeprefix("Bearer ")
        self.calls.append(request.raw_path)
        now = time.time() + self.skew_s
        try:
            issued = _issued_at(token)
            verify_request(token, PUBLIC, method=request.method, path=request.raw_path, body=body)
            skewed = abs(now - issued) > 30
        except TokenRefused as fault:
            skewed = fault.skewed and abs(now - issued) > 30
        if skewed:
            return web.Response(
                status=401,
                body=b'{"error":{"code":"clock_skew"}}',
                headers={"Date": email.utils.formatdate(now, usegmt=True)},
            )
        return web.Response(body=self.body)

    async def __aenter__(self):
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.handle)
        self.server = TestServer(app)
        await self.server.start_server()
        self.client = ControlClient(str(self.server.make_url("/")), Speaker("g", "i", KEY))
        return self

    async def __aexit__(self, *_):
        await self.client.close()
        await self.server.close()


def _issued_at(token):
    import jwt

    return jwt.decode(token, options={"verify_signature": False})["iat"]


async def test_a_call_is_signed_for_itself():
    async with Edge() as edge:
        answer = await edge.client.call("POST", "/dp/v1/status?x=1", body=b"{}")
        assert (answer.status, answer.body, edge.calls) == (200, b"ok", ["/dp/v1/status?x=1"])


async def test_a_clock_that_is_off_is_corrected_once_and_remembered():
    async with Edge(skew_s=3600) as edge:
        assert (await edge.client.call("GET", "/a")).status == 200
        assert edge.client.offset_s == pytest.approx(3600, abs=5)
        assert len(edge.calls) == 2
        await edge.client.call("GET", "/b")
        assert len(edge.calls) == 3


async def test_an_answer_over_the_limit_counts_as_none():
    async with Edge(body=b"x" * 1000) as edge:
        with pytest.raises(ControlUnreachable):
            await edge.client.call("GET", "/a", limit=999)


async def test_nobody_there_is_unreachable():
    client = ControlClient("http://127.0.0.1:1", Speaker("g", "i", KEY))
    with pytest.raises(ControlUnreachable):
        await client.call("GET", "/a")
    await client.close()
