import asyncio
import re

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from data_plane.core.types import Answer
from data_plane.http.egress import put_gateway_headers, write
from shared.errors import UpstreamBroken
from shared.trace import read_trace


@pytest.fixture
async def fetch():
    """Return a function that sends an Answer through a real server: (status, headers, pieces of the body)."""
    servers = []

    async def through(answer):
        async def handle(request):
            return await write(request, answer)

        app = web.Application()
        app.router.add_get("/", handle)
        server = TestServer(app)
        servers.append(server)
        await server.start_server()
        async with aiohttp.ClientSession() as session, session.get(server.make_url("/")) as response:
            return response.status, response.headers, [piece async for piece in response.content.iter_any()]

    yield through
    for server in servers:
        await server.close()


def test_every_answer_has_its_ids_whatever_the_provider_sent():
    answer = Answer(200, headers={"x-portkey-trace-id": "of the provider"})
    put_gateway_headers(answer, read_trace({"x-portkey-trace-id": "mine"}), "request-1")
    ids = {"x-portkey-request-id": "request-1", "x-portkey-decision-id": "request-1"}
    assert answer.headers == {"x-portkey-trace-id": "mine", **ids}


async def test_a_whole_answer_is_written_as_it_is(fetch):
    status, headers, pieces = await fetch(Answer(429, b'{"a":1}', {"x-a": "1"}))
    assert (status, headers["x-a"], headers["content-type"], b"".join(pieces)) == (
        429,
        "1",
        "application/json",
        b'{"a":1}',
    )
    assert headers["content-length"] == "7"


async def test_a_stream_is_written_piece_by_piece_as_events(fetch):
    go_on = asyncio.Event()

    async def frames():
        yield b"data: 1\n\n"
        await asyncio.wait_for(go_on.wait(), 5)
        yield b"data: 2\n\n"

    async def handle(request):
        return await write(
            request, Answer(200, headers={"x-a": "1"}, content_type="text/event-stream", frames=frames())
        )

    app = web.Application()
    app.router.add_get("/", handle)
    server = TestServer(app)
    await server.start_server()
    async with aiohttp.ClientSession() as session, session.get(server.make_url("/")) as response:
        assert (response.status, response.headers["x-a"], response.headers["cache-control"]) == (200, "1", "no-cache")
        assert response.headers["content-type"] == "text/event-stream"
        assert await asyncio.wait_for(response.content.readany(), 5) == b"data: 1\n\n"
        go_on.set()
        assert await asyncio.wait_for(response.content.read(), 5) == b"data: 2\n\n"
    await server.close()


async def test_a_stream_may_be_empty(fetch):
    async def frames():
        return
        yield

    status, headers, pieces = await fetch(Answer(200, content_type="text/event-stream", frames=frames()))
    assert (status, headers["content-type"], pieces) == (200, "text/event-stream", [])


# any other bytes


async def frames_of(*pieces, fault=None):
    for piece in pieces:
        yield piece
    if fault is not None:
        raise fault


@pytest.fixture
async def exchange():
    """Return a function that sends raw bytes to a server of `answers`, one each request: (all that came, was reset)."""
    servers = []

    async def through(sent, *answers):
        left = list(answers)

        async def handle(request):
            return await write(request, left.pop(0))

        app = web.Application()
        app.router.add_route("*", "/", handle)
        server = TestServer(app)
        servers.append(server)
        await server.start_server()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(sent)
        came, was_reset = b"", False
        try:
            while piece := await asyncio.wait_for(reader.read(65536), 5):
                came += piece
        except ConnectionResetError:
            was_reset = True
        writer.transport.abort()
        return came, was_reset

    yield through
    for server in servers:
        await server.close()


def asked(method=b"GET", version=b"1.1", *, last=True):
    return method + b" / HTTP/" + version + b"\r\nhost: x\r\n" + (b"connection: close\r\n" if last else b"") + b"\r\n"


def told(came):
    """Return (head in lower case, what follows it)."""
    head, _, body = came.partition(b"\r\n\r\n")
    return head.lower() + b"\r\n", body


TYPES = [
    "audio/mpeg",
    'text/plain; charset="iso-8859-1"',
    "multipart/mixed; boundary=a;b",
    "text/event-stream; charset=utf-8",
]


@pytest.mark.parametrize("kind", TYPES)
async def test_bytes_keep_their_type_as_it_came(exchange, kind):
    came, was_reset = await exchange(asked(), Answer(200, content_type=kind, frames=frames_of(b"\x00", b"\xff")))
    head, body = told(came)
    assert b"\r\ncontent-type: " + kind.encode() + b"\r\n" in head
    assert (body, was_reset) == (b"1\r\n\x00\r\n1\r\n\xff\r\n0\r\n\r\n", False)
    assert (b"cache-control: no-cache" in head) == kind.startswith("text/event-stream")


@pytest.mark.parametrize("kind", TYPES)
async def test_a_whole_answer_keeps_its_type_as_it_came(exchange, kind):
    head, body = told((await exchange(asked(), Answer(200, b"x", content_type=kind)))[0])
    assert (head.count(b"\r\ncontent-type: " + kind.encode() + b"\r\n"), body) == (1, b"x")


async def test_bytes_of_a_known_length_go_out_with_it_and_the_connection_serves_again(exchange):
    answers = [Answer(200, content_type="a/b", frames=frames_of(b"abc", b"de"), length=5) for _ in range(2)]
    came, was_reset = await exchange(asked(last=False) + asked(), *answers)
    assert not was_reset
    assert len(re.findall(rb"(?i)content-length: 5\r\n", came)) == 2
    assert came.count(b"\r\n\r\nabcde") == 2
    assert b"chunked" not in came.lower()


async def test_the_cache_control_of_bytes_is_the_providers(exchange):
    answer = Answer(200, headers={"cache-control": "max-age=9"}, content_type="a/b", frames=frames_of(b"x"))
    assert b"cache-control: max-age=9" in told((await exchange(asked(), answer))[0])[0]


@pytest.mark.parametrize(("length", "stated"), [(5000, b"content-length: 5000\r\n"), (None, b"")])
async def test_an_answer_to_head_has_the_length_and_no_bytes(exchange, length, stated):
    answers = [Answer(200, content_type="a/b", frames=frames_of(*pieces), length=length) for pieces in ((), (b"x",))]
    came, _ = await exchange(asked(b"HEAD", last=False) + asked(b"HEAD"), *answers)
    first, second = told(came)
    assert stated in first
    assert second.startswith(b"HTTP/1.1 200 OK\r\n")
    assert second.endswith(b"\r\n\r\n")
    assert second.count(b"\r\n\r\n") == 1
    assert b"content-type: a/b" in first


@pytest.mark.parametrize("status", [204, 304])
async def test_an_answer_that_has_no_body_says_so(exchange, status):
    came, was_reset = await exchange(asked(), Answer(status, content_type="", frames=frames_of()))
    head, body = told(came)
    assert (body, was_reset, b"transfer-encoding" in head, b"content-type" in head) == (b"", False, False, False)


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
@pytest.mark.parametrize("length", [None, 10])
@pytest.mark.parametrize("kind", ["audio/mpeg", "text/event-stream"])
async def test_bytes_that_break_off_reset_the_callers_connection(exchange, caplog, version, length, kind):
    read = asyncio.Event()

    async def broken():
        yield b"half"
        await read.wait()
        raise UpstreamBroken("gone")

    asyncio.get_running_loop().call_later(0.1, read.set)
    answer = Answer(200, content_type=kind, frames=broken(), length=length)
    came, was_reset = await exchange(asked(version=version), answer)
    assert was_reset
    assert b"half" in came
    assert not came.endswith(b"0\r\n\r\n")
    assert caplog.records == []


async def test_bytes_that_break_off_at_once_reset_the_callers_connection(exchange):
    answer = Answer(200, content_type="a/b", frames=frames_of(fault=UpstreamBroken("gone")))
    came, was_reset = await exchange(asked(), answer)
    assert was_reset
    assert told(came)[1] == b""
