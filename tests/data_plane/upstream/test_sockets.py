import asyncio
import json

import pytest
from aiohttp import web

from data_plane.core.duplex import Closed, Message
from data_plane.core.types import UpstreamRequest
from data_plane.upstream.sockets import MAX_REFUSAL_BYTES, RefusedUpgrade, Sockets, TooManySessions
from shared.errors import HostRefused, UpstreamInvalid, UpstreamTimeout, UpstreamUnreachable
from tests.data_plane.state_kit import until
from tests.data_plane.upstream.raw_server import OK, RawServer
from tests.fakes.provider import FakeProvider, Reply
from tests.fakes.realtime import FakeRealtime

TRUSTED = frozenset({"127.0.0.1"})


@pytest.fixture
async def sockets():
    made = Sockets(TRUSTED, max_message_bytes=1000)
    yield made
    await made.close()


def call(url, timeout_ms=None, **headers):
    sent = {"authorization": "Bearer rt-key", **headers}
    return UpstreamRequest(url, sent, b"", stream=False, timeout_ms=timeout_ms, method="GET")


def to(fake, **rest):
    return call(f"{fake.base_url}/realtime?model=m", **rest)


async def test_messages_go_both_ways_and_the_end_is_told(sockets):
    async with FakeRealtime() as fake:
        socket = await sockets.connect(to(fake))
        assert sockets.open_count == 1
        first = await socket.receive()
        assert (json.loads(first.content)["type"], first.is_text) == ("session.created", True)
        await socket.send(Message(b"\x00\x01", is_text=False))
        assert await socket.receive() == Message(b"\x01\x00", is_text=False)
        await socket.send(
            Message(json.dumps({"type": "test.close", "code": 4000, "reason": "so"}).encode(), is_text=True)
        )
        assert await socket.receive() == Closed(4000, "so")
        socket.hang_up(4000)
        assert sockets.open_count == 0


async def test_a_goodbye_is_said_once_with_what_fits_of_its_reason(sockets):
    async with FakeRealtime() as fake:
        socket = await sockets.connect(to(fake))
        socket.hang_up(4001, "ü" * 100)
        socket.hang_up(4002, "again")
        assert sockets.open_count == 0
        await until(lambda: fake.seen[0].close_code is not None)
        assert (fake.seen[0].close_code, fake.seen[0].close_reason) == (4001, "ü" * 61)


async def test_a_goodbye_reaches_a_listener_too(sockets):
    async with FakeRealtime() as fake:
        socket = await sockets.connect(to(fake))
        await socket.receive()
        listening = asyncio.create_task(socket.receive())
        await until(lambda: socket.is_listening)
        socket.hang_up(1000)
        ended = await asyncio.wait_for(listening, 5)
        assert (isinstance(ended, Closed), socket.is_listening) == (True, False)


async def test_closing_waits_for_goodbyes(sockets):
    async with FakeRealtime() as fake:
        socket = await sockets.connect(to(fake))
        socket.hang_up(4003)
        await sockets.close()
        await until(lambda: fake.seen[0].close_code is not None)
        assert fake.seen[0].close_code == 4003


async def test_nothing_is_sent_that_names_the_client_or_belongs_to_another_handshake(sockets):
    async with FakeRealtime() as fake:
        headers = {
            "sec-websocket-protocol": "secret",
            "connection": "close",
            "content-type": "x",
            "x-mine": "ü".encode().decode("latin-1"),
        }
        socket = await sockets.connect(to(fake, **headers))
        sent = fake.seen[0].headers
        assert not {
            "user-agent",
            "accept",
            "accept-encoding",
            "sec-websocket-protocol",
            "content-type",
            "sec-websocket-extensions",
        } & set(sent)
        assert (sent["connection"], sent["x-mine"]) == ("Upgrade", "ü")
        socket.hang_up()


# what is refused


async def test_what_the_provider_says_in_place_of_a_session_is_kept(sockets):
    async with FakeRealtime() as fake:
        refused = await sockets.connect(call(f"{fake.base_url}/realtime", authorization="Bearer wrong"))
        assert isinstance(refused, RefusedUpgrade)
        assert (refused.status, json.loads(await refused.read())["error"]["code"]) == (401, "invalid_api_key")
        assert [piece async for piece in refused.chunks()] == [await refused.read()]
        assert (refused.headers["content-type"][:16], sockets.open_count) == ("application/json", 0)
        with pytest.raises(UpstreamInvalid):
            await refused.read(10)


@pytest.mark.parametrize("reply", [
    Reply(500, body=b"x" * (MAX_REFUSAL_BYTES + 1)), Reply(500, body=b"half", break_after=0),
    Reply(500, body=b"no gzip", headers={"content-encoding": "gzip"}),
])  # fmt: skip
async def test_a_refusal_that_cannot_be_read_is_one_all_the_same(sockets, reply):
    async with FakeProvider([reply]) as fake:
        refused = await sockets.connect(to(fake))
        assert (refused.status, await refused.read() in {b"", b"half"}) == (500, True)


async def test_a_redirect_is_an_answer_and_is_not_followed(sockets):
    async with (
        FakeRealtime() as second,
        FakeProvider([Reply(302, headers={"location": f"{second.base_url}/realtime?model=m"})]) as fake,
    ):
        assert (await sockets.connect(to(fake))).status == 302
        assert second.seen == []


@pytest.mark.parametrize("answer", [
    b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: x\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n",
])  # fmt: skip
async def test_an_upgrade_to_something_else_is_invalid(sockets, answer):
    async with RawServer(answer) as server:
        with pytest.raises(UpstreamInvalid):
            await sockets.connect(call(f"http://127.0.0.1:{server.port}/v1/realtime"))
        assert sockets.open_count == 0


@pytest.mark.parametrize("url", [
    "http://169.254.169.254/v1/realtime", "https://10.0.0.1/v1/realtime", "http://[::1]:80/v1/realtime",
    "http://127.0.0.2/v1/realtime",
])  # fmt: skip
async def test_an_address_inside_is_never_connected_to(sockets, url):
    with pytest.raises(HostRefused):
        await sockets.connect(call(url))
    assert sockets.open_count == 0


async def test_without_trust_this_machine_is_inside_too():
    sockets = Sockets()
    async with FakeRealtime() as fake:
        for host in ("127.0.0.1", "localhost"):
            with pytest.raises(HostRefused):
                await sockets.connect(call(f"http://{host}:{fake.port}/v1/realtime"))
        assert fake.seen == []
    await sockets.close()


async def test_a_provider_that_does_not_answer_is_waited_for_as_long_as_the_target_says(sockets):
    async with FakeProvider([Reply(hang=True)]) as fake:
        with pytest.raises(UpstreamTimeout, match="40ms"):
            await sockets.connect(to(fake, timeout_ms=40))
        assert sockets.open_count == 0


async def test_what_cannot_be_reached_says_so_without_an_address(sockets):
    async with FakeRealtime() as fake:
        gone = to(fake)
    for sent in (gone, call(gone.url, **{"x-mine": "a\r\nb: c"})):
        with pytest.raises(UpstreamUnreachable) as raised:
            await sockets.connect(sent)
        assert "127.0.0.1" not in raised.value.message


async def test_a_certificate_that_nobody_vouches_for_is_refused(certificate):
    tls, _ = certificate("localhost")
    sockets = Sockets(frozenset({"localhost", "127.0.0.1"}))
    async with RawServer(tls=tls) as server:
        with pytest.raises(UpstreamUnreachable):
            await sockets.connect(call(f"https://localhost:{server.port}/v1/realtime"))
        assert server.requests == []
    await sockets.close()


async def test_a_trusted_certificate_is_accepted(certificate, monkeypatch):
    tls, file = certificate("localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    sockets = Sockets(frozenset({"localhost", "127.0.0.1"}))
    async with RawServer(OK, tls=tls) as server:
        assert (await sockets.connect(call(f"https://localhost:{server.port}/v1/realtime"))).status == 200
    await sockets.close()


async def test_there_is_room_for_so_many_and_no_more():
    sockets = Sockets(TRUSTED, most=2)
    async with FakeRealtime() as fake:
        first, second = await sockets.connect(to(fake)), await sockets.connect(to(fake))
        with pytest.raises(TooManySessions) as raised:
            await sockets.connect(to(fake))
        assert (raised.value.status, raised.value.final) == (503, True)
        first.hang_up()
        third = await sockets.connect(to(fake))
        for socket in (second, third):
            socket.hang_up()
        await sockets.close()


# what goes wrong in a session


async def test_a_connection_that_breaks_is_no_orderly_end(sockets):
    async with FakeRealtime() as fake:
        socket = await sockets.connect(to(fake))
        await socket.receive()
        await socket.send(Message(b'{"type":"test.break"}', is_text=True))
        ended = await socket.receive()
        assert (ended.is_orderly, ended.code, socket.violation) == (False, 1006, None)
        with pytest.raises(ConnectionError):
            for _ in range(100):
                await socket.send(Message(b"x" * 10_000, is_text=True))
        await socket.ping()
        socket.hang_up()


async def test_a_message_that_is_too_large_sends_its_sender_away(sockets):
    async with FakeRealtime() as fake:
        socket = await sockets.connect(to(fake))
        await socket.receive()
        await socket.send(Message(json.dumps({"type": "test.say", "text": "x" * 1000}).encode(), is_text=True))
        assert len((await socket.receive()).content) == 1000
        await socket.send(Message(b'{"type":"test.flood","count":1,"bytes":2000}', is_text=True))
        ended = await socket.receive()
        assert (ended.code, ended.is_orderly, socket.violation) == (1009, False, 1009)
        socket.hang_up()


async def test_pings_are_answered_and_heard_but_are_no_messages(sockets):
    answered = asyncio.Event()

    async def handle(request):
        server = web.WebSocketResponse(autoping=False)
        await server.prepare(request)
        await server.ping(b"1")
        if (await server.receive()).data == b"1":
            answered.set()
        await server.pong(b"unasked")
        await server.send_str("hello")
        await server.receive()
        return server

    app = web.Application()
    app.router.add_get("/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    socket = await sockets.connect(call(f"http://127.0.0.1:{runner.addresses[0][1]}/v1/realtime"))
    assert await socket.receive() == Message(b"hello", is_text=True)
    assert (answered.is_set(), socket.heard) == (True, 3)
    socket.hang_up()
    await sockets.close()
    await runner.cleanup()
