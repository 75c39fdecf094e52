import asyncio

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from data_plane.core.types import Answer
from data_plane.http.egress import put_gateway_headers, write
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
    assert answer.headers == {"x-portkey-trace-id": "mine", "x-portkey-request-id": "request-1"}


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

    status, headers, pieces = await fetch(Answer(200, frames=frames()))
    assert (status, headers["content-type"], pieces) == (200, "text/event-stream", [])
