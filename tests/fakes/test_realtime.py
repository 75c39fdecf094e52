import aiohttp
import pytest

from tests.fakes.realtime import KEY, FakeRealtime

AUTH = {"authorization": f"Bearer {KEY}"}


@pytest.mark.parametrize(("path", "headers", "status"), [
    ("/v1/realtime?model=m", {}, 401), ("/v1/realtime?model=m", {"authorization": "Bearer x"}, 401),
    ("/v1/realtime", AUTH, 400), ("/v1/realtime?model=m&intent=transcription", AUTH, 400), ("/realtime?model=m", AUTH, 404),
    ("/v1/realtime?model=no-such", AUTH, 404),
])  # fmt: skip
async def test_it_refuses_what_the_real_one_refuses(path, headers, status):
    async with FakeRealtime() as fake, aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as raised:
            await session.ws_connect(fake.base_url.removesuffix("/v1") + path, headers=headers)
        assert (raised.value.status, fake.seen[0].status) == (status, status)


@pytest.mark.parametrize("query", ["model=m", "intent=transcription", "call_id=c"])
async def test_it_greets_and_answers_what_it_does_not_know_with_an_error(query):
    async with FakeRealtime() as fake, aiohttp.ClientSession() as session:
        async with session.ws_connect(f"{fake.base_url}/realtime?{query}", headers=AUTH) as socket:
            assert (await socket.receive_json())["type"] == "session.created"
            await socket.send_json({"type": "response.invented", "event_id": "mine"})
            assert (await socket.receive_json())["error"]["event_id"] == "mine"
        async with session.get(f"http://127.0.0.1:{fake.port}/_seen") as listed:
            assert [seen["status"] for seen in await listed.json()] == [101]
