import orjson
import pytest
from aiohttp import web

from data_plane.http.keys import RELAY
from data_plane.http.routes import add_routes
from shared.admin import ADMIN_SEGMENTS
from tests.data_plane import kit
from tests.data_plane.gateway_kit import at, gateway
from tests.fakes.provider import FakeProvider, Reply


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/", "/v2/chat/completions", "/%00", "/../etc/passwd"])
async def test_an_unknown_path_is_404_in_json(tmp_path, path):
    async with gateway(tmp_path) as gw:
        status, body, headers = await gw.get(path)
        assert (status, orjson.loads(body)["message"]) == (404, "Not Found")
        assert headers["x-portkey-trace-id"]


async def test_a_wrong_method_is_405_in_json(tmp_path):
    async with gateway(tmp_path) as gw:
        status, body, _ = await gw.get("/v1/universal")
        assert (status, orjson.loads(body)["error"]["code"]) == (405, "method_not_allowed")


async def test_an_unknown_path_is_told_in_the_contracts_words(tmp_path):
    async with gateway(tmp_path) as gw:
        assert orjson.loads((await gw.get("/nope"))[1])["ok"] is False


@pytest.mark.parametrize("method", ["TRACE", "PROPFIND", "LOCK", "PURGE"])
async def test_a_method_that_could_send_the_providers_key_back_is_not_forwarded(tmp_path, method):
    async with FakeProvider() as fake, gateway(tmp_path, **at(fake)) as gw:
        headers = {"x-portkey-api-key": kit.KEY_TEXT, "x-portkey-provider": "@main"}
        async with gw.session.request(method, gw.url + "/v1/files", headers=headers) as response:
            assert (response.status, fake.seen) == (405, [])
            assert orjson.loads(await response.read())["error"]["code"] == "method_not_allowed"


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_every_method_of_an_api_is_forwarded(tmp_path, method):
    async with FakeProvider([Reply(json={})]) as fake, gateway(tmp_path, **at(fake)) as gw:
        headers = {"x-portkey-api-key": kit.KEY_TEXT, "x-portkey-provider": "@main"}
        async with gw.session.request(method, gw.url + "/v1/files", headers=headers) as response:
            assert (response.status, fake.seen[0].method) == (200, method)


@pytest.mark.parametrize("last", sorted(ADMIN_SEGMENTS))
def test_a_worker_that_relays_starts_in_whatever_order_the_names_come(monkeypatch, last):
    order = [*sorted(ADMIN_SEGMENTS - {last}), last]
    monkeypatch.setattr("data_plane.http.routes.sorted", lambda _names: order, raising=False)
    app = web.Application()
    app[RELAY] = object()
    add_routes(app)
    paths = [resource.canonical for resource in app.router.resources()]
    assert paths.count("/v1/logs{rest}") == 1
