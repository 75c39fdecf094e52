import asyncio
import gzip
from ipaddress import ip_network

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, make_mocked_request

from data_plane.http.ingress import call_of, check_json, headers_of, is_json, read_body, upload_of
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


# bodies that are read while they arrive


class Uploads:
    """A server that goes through an upload piece by piece; `told` is what came of it."""

    def __init__(self, limit, silence_s, go_on):
        self.limit, self.silence_s, self.go_on = limit, silence_s, go_on
        self.pieces, self.told = [], asyncio.get_running_loop().create_future()
        self.begun = asyncio.Event()

    async def handle(self, made):
        try:
            upload = upload_of(made, self.limit, silence_s=self.silence_s)
            async for piece in upload:
                self.pieces.append(piece)
                self.begun.set()
                await self.go_on.wait()
            self.told.set_result(b"".join(self.pieces))
            with pytest.raises(BadRequest, match="again"):
                aiter(upload)
        except (BadRequest, BodyTooLarge, asyncio.CancelledError) as error:
            self.told.set_result(error)
        return web.Response()


@pytest.fixture
async def uploads():
    """Return a maker of (what the server saw, writer of a connection to it)."""
    open_ends = []

    async def made(limit=LIMIT, *, silence_s=5.0, go_on=None, cancels=True):
        if go_on is None:
            go_on = asyncio.Event()
            go_on.set()
        seen = Uploads(limit, silence_s, go_on)
        # The limit for bodies that are read whole does not count here.
        app = web.Application(client_max_size=10)
        app.router.add_post("/", seen.handle)
        runner = web.AppRunner(app, handler_cancellation=cancels, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        _, writer = await asyncio.open_connection("127.0.0.1", runner.addresses[0][1])
        open_ends.append((runner, writer))
        return seen, writer

    yield made
    for runner, writer in open_ends:
        writer.transport.abort()
        await runner.cleanup()


def begin(*headers):
    return b"\r\n".join([b"POST / HTTP/1.1", b"host: x", *headers, b"", b""])


CHUNKED = b"transfer-encoding: chunked"


async def outcome_of(uploads, *sent, limit=LIMIT, **how):
    seen, writer = await uploads(limit, **how)
    for part in sent:
        writer.write(part)
    return await asyncio.wait_for(seen.told, 5)


@pytest.mark.parametrize("kind", [b"multipart/form-data; boundary=x", b"audio/mpeg", b"application/json"])
async def test_an_upload_of_any_kind_is_read_as_it_came(uploads, kind):
    body = bytes(range(256))
    typed = b"content-type: " + kind
    assert await outcome_of(uploads, begin(length(body), typed), body) == body
    assert await outcome_of(uploads, begin(CHUNKED, typed), b"100\r\n" + body + b"\r\n0\r\n\r\n") == body
    assert await outcome_of(uploads, begin()) == b""


async def test_the_pieces_of_an_upload_are_there_before_its_end(uploads):
    seen, writer = await uploads()
    writer.write(begin(length(b"one two")) + b"one ")
    await asyncio.wait_for(seen.begun.wait(), 5)
    assert seen.pieces == [b"one "]
    writer.write(b"two")
    assert await asyncio.wait_for(seen.told, 5) == b"one two"


async def test_a_packed_upload_comes_unpacked(uploads):
    packed = gzip.compress(b"x" * 500)
    assert await outcome_of(uploads, begin(length(packed), b"content-encoding: gzip"), packed) == b"x" * 500


@pytest.mark.parametrize(("size", "kind"), [(LIMIT, bytes), (LIMIT + 1, BodyTooLarge)])
async def test_an_upload_has_a_limit_told_untold_or_packed(uploads, size, kind):
    body = b"x" * size
    packed = gzip.compress(body)
    for sent in (
        begin(length(body)) + body,
        begin(CHUNKED) + b"%x\r\n" % size + body + b"\r\n0\r\n\r\n",
        begin(length(packed), b"content-encoding: gzip") + packed,
    ):
        assert type(await outcome_of(uploads, sent)) is kind


async def test_an_upload_that_says_it_is_too_large_is_refused_before_it_is_read(uploads):
    seen, writer = await uploads(LIMIT)
    writer.write(begin(b"content-length: %d" % (LIMIT + 1)))
    assert type(await asyncio.wait_for(seen.told, 5)) is BodyTooLarge
    assert seen.pieces == []


@pytest.mark.parametrize("half", [begin(CHUNKED) + b"4\r\nhalf\r\n", begin(b"content-length: 10") + b"half"])
@pytest.mark.parametrize("hangs_up", [lambda writer: writer.close(), lambda writer: writer.transport.abort()])
@pytest.mark.parametrize(("cancels", "told"), [(False, BadRequest), (True, asyncio.CancelledError)])
async def test_an_upload_whose_caller_hangs_up_never_looks_whole(uploads, half, hangs_up, cancels, told):
    seen, writer = await uploads(cancels=cancels)
    writer.write(half)
    await asyncio.wait_for(seen.begun.wait(), 5)
    hangs_up(writer)
    assert type(await asyncio.wait_for(asyncio.shield(seen.told), 5)) is told


@pytest.mark.parametrize("rest", [b"", b"zz\r\nabc\r\n", b"3\r\nabcdef\r\n", b"-1\r\n"])
async def test_an_upload_that_does_not_go_on_as_it_should_is_a_bad_request(uploads, rest):
    seen, writer = await uploads(silence_s=0.1)
    writer.write(begin(CHUNKED) + b"4\r\nhalf\r\n")
    await asyncio.wait_for(seen.begun.wait(), 5)
    writer.write(rest)
    assert type(await asyncio.wait_for(seen.told, 5)) is BadRequest


async def test_an_upload_that_cannot_be_unpacked_is_a_bad_request(uploads):
    sent = begin(length(b"not gzip"), b"content-encoding: gzip") + b"not gzip"
    assert type(await outcome_of(uploads, sent)) is BadRequest


async def test_a_caller_is_held_up_by_a_provider_that_does_not_take_its_upload(uploads):
    total = 64 * 1024 * 1024
    go_on = asyncio.Event()
    seen, writer = await uploads(total, go_on=go_on)
    writer.write(begin(b"content-length: %d" % total))
    written, before = 0, -1

    async def pour():
        nonlocal written
        while written < total:
            writer.write(bytes(65536))
            written += 65536
            await writer.drain()

    pouring = asyncio.create_task(pour())
    while written != before:
        before = written
        await asyncio.sleep(0.1)
    assert written < total / 2
    assert max(map(len, seen.pieces)) < 1024 * 1024
    go_on.set()
    assert len(await asyncio.wait_for(seen.told, 20)) == total
    assert max(map(len, seen.pieces)) < 1024 * 1024
    await pouring


# what a request says of itself


@pytest.mark.parametrize(("kind", "found"), [
    ("application/json", True), ("Application/JSON ; charset=utf-8", True), ("application/jsonl", False), ("application/json-seq", False),
    ("text/json", False), ("", False),
])  # fmt: skip
def test_json_is_one_content_type_and_no_other_that_begins_like_it(kind, found):
    assert is_json(request(("content-type", kind))) is found


@pytest.mark.parametrize("headers", [[], [("content-type", "")], [("content-type", "application/json")]])
def test_a_body_of_no_stated_kind_may_be_json(headers):
    assert check_json(request(*headers)) is None


async def test_bytes_that_are_no_utf_8_can_still_be_written_down():
    calls = []

    async def handle(made):
        calls.append(call_of(made, "proxy", 0.0))
        return web.Response()

    app = web.Application()
    app.router.add_get("/{path:.*}", handle)
    running = TestServer(app)
    await running.start_server()
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(b"GET /v1/%FF HTTP/1.1\r\nhost: x\r\nx-a: \xe9t\xe9\r\n" + "x-b: 日本\r\n\r\n".encode())
    await asyncio.wait_for(reader.readline(), 5)
    writer.close()
    await running.close()
    assert {name: calls[0].headers[name] for name in ("x-a", "x-b")} == {"x-a": "été", "x-b": "日本"}
    assert calls[0].path.encode()


async def test_a_body_that_does_not_come_in_time_is_refused(server, monkeypatch):
    monkeypatch.setattr("data_plane.http.ingress.BODY_TIMEOUT_S", 0.02)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n{")
    await asyncio.wait_for(reader.readline(), 5)
    writer.close()
    (outcome,) = server.outcomes
    assert (type(outcome), outcome.message) == (BadRequest, "The request body did not come in time.")


@pytest.mark.parametrize(("peer", "said", "seen"), [
    ("203.0.113.7", "198.51.100.1", "203.0.113.7"), ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
    ("10.0.0.1", "", "10.0.0.1"), ("::ffff:203.0.113.7", "", "203.0.113.7"),
])  # fmt: skip
def test_who_calls_is_believed_of_trusted_proxies_alone(peer, said, seen):
    made = request(("x-forwarded-for", said)).clone(remote=peer)
    assert call_of(made, "chat", 0.0, proxies=(ip_network("10.0.0.0/8"),)).client == seen


def test_without_proxies_the_peer_is_who_calls():
    made = request(("x-forwarded-for", "198.51.100.1")).clone(remote="203.0.113.7")
    assert call_of(made, "chat", 0.0).client == "203.0.113.7"
