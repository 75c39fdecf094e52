import asyncio

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, make_mocked_request

from data_plane.http.ingress import call_of, headers_of, read_body
from shared.errors import BadRequest, BodyTooLarge

LIMIT = 1000


def request(*headers):
    return make_mocked_request("POST", "/v1/chat/completions?q=1", [(name, value) for name, value in headers])


def test_names_of_headers_are_lower_case_and_the_first_of_a_repeated_one_counts():
    made = request(("X-Portkey-API-Key", "one"), ("x-portkey-api-key", "two"), ("Host", "h"))
    assert headers_of(made) == {"x-portkey-api-key": "one", "host": "h"}


def test_a_call_is_known_before_its_body_is_read():
    call = call_of(request(("A", "b")), "chat", 12.5)
    assert (call.endpoint, call.method, call.path, call.headers, call.body) == (
        "chat",
        "POST",
        "/v1/chat/completions",
        {"a": "b"},
        b"",
    )
    assert call.started_s == 12.5
    assert call.received_us > 1_700_000_000_000_000


@pytest.fixture
async def server():
    """A server that answers with what `read_body` says, and the outcomes it saw."""
    outcomes = []

    async def handle(made):
        try:
            outcomes.append(await read_body(made))
        except (BadRequest, BodyTooLarge) as error:
            outcomes.append(error)
        return web.Response()

    app = web.Application(client_max_size=LIMIT)
    app.router.add_post("/", handle)
    running = TestServer(app)
    await running.start_server()
    running.outcomes = outcomes
    yield running
    await running.close()


async def post(server, body, *headers):
    """Send one raw request; return what came of its body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"\r\n".join([b"POST / HTTP/1.1", b"host: x", b"connection: close", *headers, b"", b""]) + body)
    await asyncio.wait_for(reader.read(), 5)
    writer.close()
    await writer.wait_closed()
    return server.outcomes[-1] if server.outcomes else None


def length(body):
    return b"content-length: %d" % len(body)


@pytest.mark.parametrize(
    "kind", [[], [b"content-type: application/json"], [b"Content-Type: Application/JSON; charset=utf-8"]]
)
async def test_a_json_body_is_read_whole(server, kind):
    assert await post(server, b'{"a":1}', length(b'{"a":1}'), *kind) == b'{"a":1}'


async def test_a_body_in_chunks_is_read_whole(server):
    assert await post(server, b"2\r\n{}\r\n0\r\n\r\n", b"transfer-encoding: chunked") == b"{}"


@pytest.mark.parametrize(
    "kind", [b"text/plain", b"multipart/form-data; boundary=x", b"application/x-www-form-urlencoded"]
)
async def test_another_kind_of_body_is_refused(server, kind):
    outcome = await post(server, b"{}", length(b"{}"), b"content-type: " + kind)
    assert (type(outcome), outcome.message) == (BadRequest, "Invalid content type passed")


@pytest.mark.parametrize(("size", "kind"), [(LIMIT, bytes), (LIMIT + 1, BodyTooLarge)])
@pytest.mark.parametrize("chunked", [False, True])
async def test_the_limit_counts_for_told_and_untold_lengths(server, size, kind, chunked):
    body = b"x" * size
    if chunked:
        outcome = await post(server, b"%x\r\n" % size + body + b"\r\n0\r\n\r\n", b"transfer-encoding: chunked")
    else:
        outcome = await post(server, body, length(body))
    assert type(outcome) is kind


async def test_a_body_that_cannot_be_unpacked_is_refused(server):
    outcome = await post(server, b"not gzip", b"content-encoding: gzip", length(b"not gzip"))
    assert type(outcome) is BadRequest
