"""Administration through the gateway, to a control plane that stands in for the real one."""

import asyncio
from contextlib import asynccontextmanager

import aiohttp
import orjson
import pytest
import yarl
from aiohttp import web

from data_plane.upstream.admin import AdminRelay
from tests.data_plane import kit
from tests.data_plane.gateway_kit import at, gateway
from tests.fakes.provider import FakeProvider, Reply


class Control:
    """Answers everything with what it was asked."""

    def __init__(self):
        self.seen = []

    async def answer(self, request):
        self.seen.append((request, await request.read()))
        if request.path == "/v1/logs/exports/x":
            response = web.StreamResponse(headers={"content-type": "application/x-ndjson"})
            await response.prepare(request)
            await response.write(b"line\n" * 1000)
            if request.query.get("break"):
                request.transport.abort()
            return response
        told = {"method": request.method, "path": request.raw_path}
        return web.json_response(
            told, status=int(request.query.get("status", 200)), headers={"etag": '"1"', "set-cookie": "a=b"}
        )


@asynccontextmanager
async def relayed(tmp_path, **sections):
    """Yield (gateway, control plane)."""
    control = Control()
    app = web.Application(client_max_size=1 << 26)
    app.router.add_route("*", "/{path:.*}", control.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    relay = AdminRelay(f"http://127.0.0.1:{runner.addresses[0][1]}")
    try:
        async with gateway(tmp_path, relay=relay, **sections) as gw:
            yield gw, control
    finally:
        await relay.close()
        await runner.cleanup()


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    "path", ["/v1/configs", "/v1/api-keys/workspace/service?x=%2F", "/v1/admin/workspaces/a/users", "/v1/prompts/p"]
)
async def test_administration_reaches_the_control_plane_as_it_came(tmp_path, method, path):
    async with relayed(tmp_path) as (gw, control):
        headers = {
            "x-portkey-api-key": "gh-admin",
            "cookie": "session=1",
            "x-forwarded-for": "9.9.9.9",
            "if-match": '"1"',
        }
        body = b"" if method == "GET" else b'{"name":"x"}'
        async with gw.session.request(
            method, yarl.URL(gw.url + path, encoded=True), data=body, headers=headers
        ) as answer:
            told = await answer.json()
        request, seen_body = control.seen[0]
        assert (answer.status, told) == (200, {"method": method, "path": path})
        assert (seen_body, request.headers["x-portkey-api-key"], request.headers["if-match"]) == (
            body,
            "gh-admin",
            '"1"',
        )
        assert (request.headers["x-forwarded-for"], "cookie" in request.headers) == ("127.0.0.1", False)
        assert (answer.headers["etag"], "set-cookie" in answer.headers) == ('"1"', False)
        assert gw.recorded.items == []


@pytest.mark.parametrize("status", [201, 400, 404, 409, 500])
async def test_what_the_control_plane_says_is_the_answer(tmp_path, status):
    async with relayed(tmp_path) as (gw, _):
        assert (await gw.get(f"/v1/configs?status={status}"))[0] == status


async def test_a_long_answer_comes_as_it_is_made_and_a_broken_one_looks_broken(tmp_path):
    async with relayed(tmp_path) as (gw, _):
        status, body, headers = await gw.get("/v1/logs/exports/x")
        assert (status, body, headers["content-type"]) == (200, b"line\n" * 1000, "application/x-ndjson")
        with pytest.raises(aiohttp.ClientError):
            await gw.get("/v1/logs/exports/x?break=1")


async def test_inference_is_never_relayed(tmp_path):
    script = [Reply(), Reply(json={"object": "list", "data": []})]
    async with FakeProvider(script) as fake, relayed(tmp_path, **at(fake)) as (gw, control):
        await gw.send()
        await gw.get("/v1/files", headers={"x-portkey-provider": "@main"})
        assert (len(fake.seen), control.seen) == (2, [])


async def test_a_body_kept_here_is_read_here_and_every_other_there(tmp_path):
    async with FakeProvider() as fake, relayed(tmp_path, **at(fake)) as (gw, control):
        await gw.send()
        status, _, _ = await gw.get(f"/v1/logs/{gw.recorded.last.id}")
        assert (status, [request.path for request, _ in control.seen]) == (200, [f"/v1/logs/{gw.recorded.last.id}"])


async def test_without_a_control_plane_administration_is_a_503_that_says_so(tmp_path):
    relay = AdminRelay("http://127.0.0.1:1")
    async with gateway(tmp_path, relay=relay) as gw:
        status, body, headers = await gw.get("/v1/configs")
        told = orjson.loads(body)
        assert (status, told["success"], told["data"]["errorCode"], headers["retry-after"]) == (503, False, "AB04", "5")
        assert b"127.0.0.1" not in body
    await relay.close()


async def test_without_an_address_nothing_is_relayed(tmp_path):
    async with FakeProvider([Reply(json={})]) as fake, gateway(tmp_path, **at(fake)) as gw:
        assert (await gw.get("/v1/configs", headers={"x-portkey-provider": "@main"}))[0] == 200
        assert fake.seen[0].path == "/v1/configs"
        assert kit.KEY_TEXT not in str(fake.seen[0].headers)


async def test_many_calls_at_once_are_answered(tmp_path):
    async with relayed(tmp_path) as (gw, control):
        answers = await asyncio.gather(*(gw.get(f"/v1/configs/{number}") for number in range(30)))
        assert {status for status, _, _ in answers} == {200}
        assert len(control.seen) == 30
