import asyncio
import gzip
import socket
import zlib

import pytest

from data_plane.core.types import UpstreamRequest
from data_plane.upstream.client import MAX_REMEMBERED_CHARS, UpstreamClient, _remembered_place
from data_plane.upstream.connection import HIGH_WATER, MAX_HEAD_BYTES
from shared.errors import UpstreamBroken, UpstreamInvalid, UpstreamTimeout, UpstreamUnreachable
from tests.data_plane.upstream.raw_server import CLOSE, OK, RawServer

TRUSTED = frozenset({"127.0.0.1"})
HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"


@pytest.fixture
async def client():
    made = UpstreamClient(TRUSTED)
    yield made
    await made.close()


async def fetch(client, server, **call):
    """Return (status, body, headers) of one whole call."""
    response = await client.send(server.call(**call))
    try:
        return response.status, await asyncio.wait_for(response.read(), 10), dict(response.headers)
    finally:
        response.close()


async def body_of(client, step, **call):
    async with RawServer(step) as server:
        return (await fetch(client, server, **call))[1]


def sized(content, *headers):
    lines = b"".join(header + b"\r\n" for header in headers)
    return HEAD + lines + b"content-length: %d\r\n\r\n" % len(content) + content


@pytest.mark.parametrize(("step", "body"), [
    (OK, b"ok"),
    ([OK[:7], OK[7:20], OK[20:-1], OK[-1:]], b"ok"),
    (sized(b""), b""),
    (CHUNKED + b"3\r\nabc\r\n2;ext=1\r\nde\r\n0\r\n\r\n", b"abcde"),
    ([CHUNKED, b"3\r", b"\nab", b"c\r\n0\r\n", b"x-trailer: 1\r\n\r\n"], b"abc"),
    ([HEAD + b"\r\nto the ", b"end", CLOSE], b"to the end"),
    ([b"HTTP/1.0 200 OK\r\n\r\nold", CLOSE], b"old"),
    (b"HTTP/1.1 200\r\ncontent-length: 1\r\n\r\nx", b"x"),
])  # fmt: skip
async def test_a_body_is_read_to_its_end_however_the_end_is_told(client, step, body):
    assert await body_of(client, step) == body


@pytest.mark.parametrize("status", [204, 304])
async def test_an_answer_without_a_body_ends_with_its_head_and_its_connection_serves_again(client, status):
    async with RawServer(b"HTTP/1.1 %d X\r\nx-a: 1\r\n\r\n" % status, OK) as server:
        assert (await fetch(client, server))[:2] == (status, b"")
        assert (await fetch(client, server))[1] == b"ok"
        assert server.connections == 1


@pytest.mark.parametrize("split", [True, False])
async def test_interim_answers_are_passed_over_with_their_headers(client, split):
    interim = [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nlink: <x>\r\nx-a: early\r\n\r\n"]
    final = sized(b"ok", b"x-a: final")
    async with RawServer([*interim, final] if split else b"".join([*interim, final]), OK) as server:
        status, body, headers = await fetch(client, server)
        assert (status, body, headers) == (200, b"ok", {"x-a": "final", "content-length": "2"})
        await fetch(client, server)
        assert server.connections == 1


async def test_names_of_headers_are_lower_case_and_repeated_ones_are_joined(client):
    async with RawServer(sized(b"ok", b"X-Many: a", b"x-many:b", b"X-Latin: caf\xe9")) as server:
        headers = (await fetch(client, server))[2]
        assert (headers["x-many"], headers["x-latin"]) == ("a, b", "café")


@pytest.mark.parametrize("step", [
    b"SSH-2.0-OpenSSH_9\r\n",
    b"HTTP/1.1 2x0 OK\r\n\r\n",
    b"HTTP/3.7 200 OK\r\n\r\n",
    HEAD + b"no colon here\r\n\r\n",
    HEAD + b"bad name: 1\r\n\r\n",
    HEAD + b"x: a\0b\r\n\r\n",
    HEAD + b"x: folded\r\n on two lines\r\ncontent-length: 0\r\n\r\n",
    HEAD + b"x: a\nx-evil: 1\r\ncontent-length: 0\r\n\r\n",
    HEAD + b"content-length: 2\r\ncontent-length: 3\r\n\r\nok!",
    HEAD + b"content-length: -2\r\n\r\nok",
    HEAD + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
    sized(b"ok", b"content-encoding: br"),
    sized(b"ok", b"content-encoding: gzip, gzip"),
])  # fmt: skip
async def test_what_is_not_a_plain_http_answer_is_invalid_and_ends_the_connection(client, step):
    async with RawServer(step, OK) as server:
        with pytest.raises(UpstreamInvalid):
            await fetch(client, server)
        await asyncio.wait_for(server.lost.wait(), 5)
        assert (await fetch(client, server))[1] == b"ok"
        assert server.connections == 2


async def test_a_head_without_an_end_is_refused(client):
    async def endless(writer):
        for number in range(10_000):
            writer.write(b"x-%d: %s\r\n" % (number, b"y" * 1000))
            await writer.drain()

    async with RawServer([HEAD, endless]) as server:
        with pytest.raises(UpstreamInvalid, match="too large"):
            await fetch(client, server)


async def test_a_head_may_come_in_two_parts_before_a_large_body(client):
    body = b"z" * (3 * MAX_HEAD_BYTES)
    whole = sized(body)
    assert await body_of(client, [whole[:10], whole[10:]]) == body


@pytest.mark.parametrize(("encoding", "packed"), [
    (b"gzip", gzip.compress(b'{"a":1}' * 100, mtime=0)), (b"GZIP", gzip.compress(b'{"a":1}' * 100, mtime=0)), (b"x-gzip", gzip.compress(b'{"a":1}' * 100, mtime=0)),
    (b"deflate", zlib.compress(b'{"a":1}' * 100)), (b"identity", b'{"a":1}' * 100),
])  # fmt: skip
async def test_packed_answers_are_unpacked(client, encoding, packed):
    whole = sized(packed, b"content-encoding: " + encoding)
    for step in (whole, [whole[:-9], whole[-9:-4], whole[-4:]]):
        assert await body_of(client, step) == b'{"a":1}' * 100


@pytest.mark.parametrize(
    "packed", [b"not packed at all", zlib.compress(b"x" * 1000)[:-6], zlib.compress(b"half of it" * 99)[:20]]
)
async def test_a_packed_answer_that_cannot_be_unpacked_whole_is_broken(client, packed):
    with pytest.raises(UpstreamBroken):
        await body_of(client, sized(packed, b"content-encoding: deflate"))


async def test_a_little_that_unpacks_to_a_lot_is_unpacked_in_small_pieces(client):
    packed = gzip.compress(bytes(50_000_000))
    async with RawServer(sized(packed, b"content-encoding: gzip"), sized(packed, b"content-encoding: gzip")) as server:
        response = await client.send(server.call())
        sizes = [len(piece) async for piece in response.chunks()]
        assert sum(sizes) == 50_000_000
        assert max(sizes) <= 4 * HIGH_WATER
        response = await client.send(server.call())
        with pytest.raises(UpstreamInvalid):
            await response.read(1_000_000)
        response.close()


@pytest.mark.parametrize("step", [
    [HEAD + b"content-length: 10\r\n\r\nhalf", CLOSE],
    [CHUNKED + b"3\r\nabc\r\n", CLOSE],
    [CHUNKED + b"9\r\nabc", CLOSE],
    [CHUNKED + b"3\r\nabc\r\n0\r\n", CLOSE],
    [HEAD + b"content-le", CLOSE],
])  # fmt: skip
async def test_an_answer_that_ends_before_its_end_is_broken(client, step):
    with pytest.raises(UpstreamBroken):
        await body_of(client, step)


@pytest.mark.parametrize("bad", [b"zz\r\nabc\r\n", b"3\r\nabcdef\r\n", b"-1\r\n\r\n", b"fffffffffffffffffff\r\nx"])
async def test_a_chunk_that_is_none_breaks_the_answer_in_the_middle(client, bad):
    async with RawServer([CHUNKED + b"2\r\nok\r\n", bad], OK) as server:
        with pytest.raises((UpstreamBroken, UpstreamInvalid)):
            await fetch(client, server)
        assert (await fetch(client, server))[1] == b"ok"
        assert server.connections == 2


async def test_a_reset_while_a_body_without_length_runs_is_no_end(client):
    async def reset(writer):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()

    with pytest.raises(UpstreamBroken):
        await body_of(client, [HEAD + b"\r\nhalf", reset])


# keeping connections


async def test_a_connection_serves_one_call_after_another(client):
    async with RawServer(OK, CHUNKED + b"1\r\nx\r\n0\r\n\r\n", OK) as server:
        assert [(await fetch(client, server))[1] for _ in range(3)] == [b"ok", b"x", b"ok"]
        assert server.connections == 1


@pytest.mark.parametrize("first", [
    sized(b"ok", b"connection: close"), b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", [HEAD + b"\r\nok", CLOSE],
])  # fmt: skip
async def test_a_connection_that_the_provider_will_not_keep_is_not_used_again(client, first):
    async with RawServer(first, OK) as server:
        assert (await fetch(client, server))[1] == b"ok"
        assert (await fetch(client, server))[1] == b"ok"
        assert server.connections == 2


async def test_a_connection_that_was_closed_while_idle_costs_no_call(client):
    async with RawServer([OK, CLOSE], OK) as server:
        await fetch(client, server)
        assert (await fetch(client, server))[1] == b"ok"
        assert server.connections == 2


async def test_a_call_that_a_kept_connection_swallowed_is_made_once_more(client):
    async with RawServer(OK, CLOSE, OK) as server:
        await fetch(client, server)
        assert (await fetch(client, server))[1] == b"ok"
        assert (server.connections, len(server.requests)) == (2, 3)


@pytest.mark.parametrize(
    "step", [CLOSE, [b"H", CLOSE], [HEAD, CLOSE], [HEAD + b"content-length: 9\r\n\r\nhalf", CLOSE]]
)
async def test_a_call_on_a_new_connection_is_never_made_twice(client, step):
    async with RawServer(step, OK) as server:
        with pytest.raises(UpstreamBroken):
            await fetch(client, server)
        assert len(server.requests) == 1


@pytest.mark.parametrize("step", [[b"H", CLOSE], [HEAD, CLOSE], [HEAD + b"content-length: 9\r\n\r\nhalf", CLOSE]])
async def test_a_call_is_not_repeated_once_a_part_of_its_answer_came(client, step):
    async with RawServer(OK, step, OK) as server:
        await fetch(client, server)
        with pytest.raises(UpstreamBroken):
            await fetch(client, server)
        assert len(server.requests) == 2


@pytest.mark.parametrize("surplus", [
    b"x", b"\r\n\r\nx", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nevil!", b"HTTP/1.1 500 No\r\nx-evil: 1\r\ncontent-length: 0\r\n\r\n",
])  # fmt: skip
@pytest.mark.parametrize("first", [OK, CHUNKED + b"2\r\nok\r\n0\r\n\r\n", sized(b"ok", b"connection: close")])
@pytest.mark.parametrize("together", [True, False])
async def test_bytes_behind_an_answer_belong_to_no_answer(client, first, surplus, together):
    async with RawServer(first + surplus if together else [first, surplus], OK) as server:
        status, body, headers = await fetch(client, server)
        assert (status, body, "x-evil" in headers) == (200, b"ok", False)
        if not together:
            await asyncio.wait_for(server.lost.wait(), 5)
        assert (await fetch(client, server))[:2] == (200, b"ok")
        assert server.connections == 2


async def test_the_connection_of_a_cancelled_call_is_dropped(client):
    async with RawServer(OK, b"", OK) as server:
        await fetch(client, server)
        server.arrived.clear()
        task = asyncio.create_task(fetch(client, server))
        await asyncio.wait_for(server.arrived.wait(), 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(server.lost.wait(), 5)
        assert (await fetch(client, server))[1] == b"ok"
        assert server.connections == 2


@pytest.mark.parametrize("steps", [[CHUNKED + b"2\r\nok\r\n"], [sized(b"o" * 50)]])
async def test_the_connection_of_an_answer_that_was_not_read_is_dropped(client, steps):
    async with RawServer(*steps, OK) as server:
        (await client.send(server.call())).close()
        await asyncio.wait_for(server.lost.wait(), 5)
        assert (await fetch(client, server))[1] == b"ok"
        assert server.connections == 2


# waiting


async def test_a_provider_that_floods_is_held_up_by_a_reader_that_does_not_read(client):
    written, total = 0, 64 * 1024 * 1024

    async def flood(writer):
        nonlocal written
        writer.transport.set_write_buffer_limits(high=65536)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        while written < total:
            writer.write(b"z" * 65536)
            written += 65536
            await writer.drain()

    async with RawServer([HEAD + b"content-length: %d\r\n\r\n" % total, flood]) as server:
        response = await client.send(server.call())
        seen = -1
        while written != seen:
            seen = written
            await asyncio.sleep(0.1)
        assert seen < total / 4
        size = 0
        async for piece in response.chunks():
            size += len(piece)
        assert (size, written) == (total, total)


@pytest.mark.parametrize("step", [b"", HEAD, HEAD + b"content-length: 9\r\n\r\nhalf", CHUNKED])
async def test_a_provider_that_falls_silent_is_given_up(step):
    client = UpstreamClient(TRUSTED, silence_s=0.05)
    async with RawServer(step) as server:
        with pytest.raises(UpstreamBroken):
            await fetch(client, server)
        await asyncio.wait_for(server.lost.wait(), 5)
    await client.close()


async def test_a_call_that_fell_silent_on_a_kept_connection_is_not_made_again():
    client = UpstreamClient(TRUSTED, silence_s=0.05)
    async with RawServer(OK, b"", OK) as server:
        await fetch(client, server)
        with pytest.raises(UpstreamBroken):
            await fetch(client, server)
        assert len(server.requests) == 2
    await client.close()


async def test_a_provider_that_goes_on_now_and_then_is_not_silent():
    client = UpstreamClient(TRUSTED, silence_s=0.2)

    async def slowly(writer):
        for _ in range(8):
            await asyncio.sleep(0.05)
            writer.write(b"1\r\nx\r\n")
        writer.write(b"0\r\n\r\n")

    assert await body_of(client, [CHUNKED, slowly]) == b"x" * 8
    await client.close()


async def test_a_timeout_drops_the_connection(client):
    async with RawServer(b"") as server:
        with pytest.raises(UpstreamTimeout):
            await fetch(client, server, timeout_ms=30)
        await asyncio.wait_for(server.lost.wait(), 5)


# the request


@pytest.mark.parametrize("value", ["a\r\nx-evil: 1", "a\nb", "a\rb", "a\0b", "snow\u2603"])
async def test_a_header_that_could_end_its_line_is_not_sent(client, value):
    async with RawServer(OK) as server:
        with pytest.raises(UpstreamUnreachable):
            await fetch(client, server, headers={"x-a": value})
        assert server.requests == []


async def test_a_request_is_sent_as_it_was_made(client):
    async with RawServer(OK, OK) as server:
        await fetch(client, server, headers={"x-a": "1", "authorization": "Bearer k"}, body=b'{"m":1}')
        lines = server.requests[0].split(b"\r\n")
        assert lines[0] == b"POST /v1/x HTTP/1.1"
        assert set(lines[1:-2]) == {
            b"host: 127.0.0.1:%d" % server.port,
            b"x-a: 1",
            b"authorization: Bearer k",
            b"content-length: 7",
        }
        assert lines[-1] == b'{"m":1}'
        await fetch(client, server, method="GET", body=b"")
        assert server.requests[1].startswith(b"GET /v1/x HTTP/1.1\r\n")
        assert b"content-length" not in server.requests[1]


@pytest.mark.parametrize(("method", "body", "framed"), [
    ("GET", b"", False), ("HEAD", b"", False), ("DELETE", b"", False), ("OPTIONS", b"", False),
    ("POST", b"", True), ("PUT", b"", True), ("PATCH", b"", True),
    ("GET", b"x", True), ("DELETE", b"x", True), ("OPTIONS", b"x", True), ("PUT", b"x", True), ("PATCH", b"x", True),
])  # fmt: skip
async def test_every_method_is_sent_with_the_length_of_its_body_when_it_has_or_should_have_one(
    client, method, body, framed
):
    async with RawServer(b"HTTP/1.1 204 X\r\n\r\n") as server:
        assert (await fetch(client, server, method=method, body=body))[0] == 204
        head, _, sent = server.requests[0].partition(b"\r\n\r\n")
        assert head.startswith(method.encode() + b" /v1/x HTTP/1.1\r\n")
        assert (head.count(b"content-length: %d" % len(body)), sent) == (int(framed), body)


@pytest.mark.parametrize("method", ["", "GET /evil HTTP/1.1\r\nx:", "GE T", "G\r\nX"])
async def test_a_method_that_could_end_its_line_is_not_sent(client, method):
    async with RawServer(OK) as server:
        with pytest.raises(UpstreamUnreachable):
            await fetch(client, server, method=method)
        assert server.requests == []


@pytest.mark.parametrize(
    "name",
    ["Content-Length", "content-length", "Transfer-Encoding", "transfer-encoding", "HOST", "connection", "expect"],
)
async def test_the_length_and_the_way_of_a_request_are_the_clients_to_write(client, name):
    async with RawServer(OK) as server:
        await fetch(client, server, headers={name: "99", "x-a": "1"}, body=b"{}")
        assert set(server.requests[0].split(b"\r\n")[1:-2]) == {
            b"host: 127.0.0.1:%d" % server.port, b"x-a: 1", b"content-length: 2",
        }  # fmt: skip


@pytest.mark.parametrize("head", [
    b"content-length: 5000\r\n", b"content-length: 0\r\n", b"transfer-encoding: chunked\r\n", b"", b"content-encoding: gzip\r\ncontent-length: 9\r\n",
    b"content-encoding: br\r\n",
])  # fmt: skip
@pytest.mark.parametrize("behind", [b"", b"evil!", b"HTTP/1.1 500 No\r\nx-evil: 1\r\ncontent-length: 0\r\n\r\n"])
async def test_an_answer_to_head_ends_with_its_head_whatever_the_head_says(client, head, behind):
    async with RawServer(HEAD + b"x-a: 1\r\n" + head + b"\r\n" + behind, OK) as server:
        status, body, headers = await fetch(client, server, method="HEAD", body=b"")
        assert (status, body, headers["x-a"], "x-evil" in headers) == (200, b"", "1", False)
        await asyncio.wait_for(server.lost.wait(), 5)
        assert (await fetch(client, server))[1] == b"ok"


async def test_a_connection_whose_request_has_not_left_when_its_answer_is_there_is_not_used_again(client):
    async def refuses(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        answered.append(writer)
        await asyncio.Event().wait()

    tasks, answered = [], []
    server = await asyncio.start_server(
        lambda reader, writer: tasks.append(asyncio.create_task(refuses(reader, writer))), "127.0.0.1", 0, limit=65536
    )
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/x"
    for _ in range(2):
        response = await client.send(UpstreamRequest(url, {}, bytes(32 * 1024 * 1024), stream=False, timeout_ms=None))
        assert await response.read() == b"ok"
    assert len(answered) == 2
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for writer in answered:
        writer.transport.abort()
    server.close()


async def test_a_long_url_is_sent_as_it_is_and_not_remembered(client):
    async with RawServer(OK, OK, OK) as server:
        known = _remembered_place.cache_info().currsize
        for _ in range(2):
            await fetch(client, server, query="q=" + "y" * MAX_REMEMBERED_CHARS)
        assert server.requests[1].startswith(b"POST /v1/x?q=" + b"y" * MAX_REMEMBERED_CHARS + b" HTTP/1.1\r\n")
        assert _remembered_place.cache_info().currsize == known


async def test_a_large_request_arrives_whole(client):
    async with RawServer(OK) as server:
        await fetch(client, server, body=b"y" * 20_000_000)
        assert server.requests[0].endswith(b"\r\n\r\n" + b"y" * 20_000_000)
