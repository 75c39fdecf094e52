import asyncio
import tracemalloc

import pytest
import uvloop

from data_plane.upstream.client import UpstreamClient
from data_plane.upstream.pool import Origin, Pool
from data_plane.upstream.upload import FramedUpload, stated_length
from shared.errors import BadRequest, UpstreamBroken, UpstreamTimeout, UpstreamUnreachable
from tests.data_plane.upstream.upload_server import OK, UploadServer, stream_of

TRUSTED = frozenset({"127.0.0.1"})
MIB = 1024 * 1024
HEAD = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
TOO_LARGE = b"HTTP/1.1 413 Payload Too Large\r\ncontent-length: 3\r\n\r\nbig"


@pytest.fixture
async def client():
    made = UpstreamClient(TRUSTED)
    yield made
    await made.close()


async def fetch(client, call):
    """Return (status, body) of one whole call."""
    response = await asyncio.wait_for(client.send(call), 20)
    try:
        return response.status, await asyncio.wait_for(response.read(), 20)
    finally:
        response.close()


async def endless(seen=None):
    while True:
        if seen is not None:
            seen.append(MIB // 16)
        yield bytes(MIB // 16)


async def never_more(*pieces):
    for piece in pieces:
        yield piece
    await asyncio.Event().wait()


# framing


async def test_an_upload_of_unknown_length_goes_out_in_chunks(client):
    async with UploadServer() as server:
        call = server.call(
            stream_of(b"one ", b"", b"\r\n0\r\n\r\n", b"x" * 100_000), content_type="multipart/form-data; boundary=b"
        )
        assert await fetch(client, call) == (200, b"ok")
        assert server.framing() == ("transfer-encoding", "chunked")
        assert server.bodies == [b"one \r\n0\r\n\r\n" + b"x" * 100_000]
        assert "\r\ncontent-type: multipart/form-data; boundary=b\r\n" in server.heads[0]


async def test_an_upload_of_known_length_goes_out_as_it_is(client):
    async with UploadServer() as server:
        assert await fetch(client, server.call(stream_of(b"one ", b"", b"two"), content_length="7")) == (200, b"ok")
        assert server.framing() == ("content-length", "7")
        assert server.bodies == [b"one two"]


@pytest.mark.parametrize("headers", [{}, {"content_length": "0"}])
async def test_an_upload_may_be_empty(client, headers):
    async with UploadServer() as server:
        assert await fetch(client, server.call(stream_of(b""), **headers)) == (200, b"ok")
        assert server.bodies == [b""]


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_any_method_may_upload(client, method):
    async with UploadServer() as server:
        assert await fetch(client, server.call(stream_of(b"x"), method=method)) == (200, b"ok")
        assert server.heads[0].startswith(f"{method} /v1/files HTTP/1.1\r\n")
        assert server.bodies == [b"x"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("transfer-encoding", "gzip"),
        ("Transfer-Encoding", "identity"),
        ("expect", "100-continue"),
        ("Connection", "close"),
        ("Host", "evil.example"),
    ],
)
@pytest.mark.parametrize("length", [{}, {"Content-Length": "1"}])
async def test_a_caller_has_no_say_in_how_the_body_is_framed(client, name, value, length):
    async with UploadServer() as server:
        call = server.call(stream_of(b"x"))
        call.headers.update({name: value, **length})
        assert await fetch(client, call) == (200, b"ok")
        assert value not in server.heads[0]
        assert server.framing() == (("content-length", "1") if length else ("transfer-encoding", "chunked"))


@pytest.mark.parametrize("length", ["", "-1", "+1", "1, 1", "0x1", "1 ", "²", "1.0"])
async def test_a_length_that_is_no_number_is_not_sent(client, length):
    with pytest.raises(ValueError):
        stated_length(length)
    async with UploadServer() as server:
        with pytest.raises(UpstreamUnreachable):
            await fetch(client, server.call(stream_of(b"x"), content_length=length))
        assert server.connections == 0


@pytest.mark.parametrize(
    ("pieces", "length"), [((b"four", b"!"), 4), ((b"four!",), 4), ((b"fou",), 4), ((), 4), ((b"x",), 0)]
)
async def test_a_body_of_another_length_than_promised_is_never_sent_as_a_whole_one(client, pieces, length):
    went = []
    with pytest.raises(BadRequest):
        async for frame in FramedUpload(stream_of(*pieces), length).frames():
            went.append(frame)
    assert len(b"".join(went)) <= length

    async def hungry(server, reader, _writer):
        while await reader.read(1000):
            pass
        raise ConnectionError

    async with UploadServer(hungry) as server:
        with pytest.raises(BadRequest, match="content-length"):
            await fetch(client, server.call(stream_of(*pieces), content_length=str(length)))
        await asyncio.wait_for(server.lost.wait(), 5)


# the source


async def test_an_upload_whose_source_fails_ends_the_connection_with_the_sources_own_error(client):
    async def failing():
        yield b"half"
        raise BadRequest("The caller broke off.")

    for headers in ({}, {"content_length": "9"}):
        async with UploadServer() as server:
            with pytest.raises(BadRequest, match="The caller broke off"):
                await fetch(client, server.call(failing(), **headers))
            await asyncio.wait_for(server.lost.wait(), 5)
            assert (server.bodies, server.connections) == ([], 1)


@pytest.mark.parametrize("source", [endless, lambda: never_more(b"half")])
async def test_cancelling_an_upload_ends_the_connection_and_the_source(client, source):
    ended = asyncio.Event()

    async def watched():
        try:
            async for piece in source():
                yield piece
        finally:
            ended.set()

    async with UploadServer() as server:
        task = asyncio.create_task(fetch(client, server.call(watched())))
        await asyncio.wait_for(server.began.wait(), 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(server.lost.wait(), 5)
        await asyncio.wait_for(ended.wait(), 5)


async def test_a_source_that_is_cancelled_ends_the_connection(client):
    async def cancelled():
        yield b"half"
        raise asyncio.CancelledError

    async with UploadServer() as server:
        with pytest.raises(asyncio.CancelledError):
            await fetch(client, server.call(cancelled()))
        await asyncio.wait_for(server.lost.wait(), 5)


async def test_a_timeout_ends_an_upload(client):
    async with UploadServer() as server:
        with pytest.raises(UpstreamTimeout):
            await fetch(client, server.call(never_more(b"half"), timeout_ms=50))
        await asyncio.wait_for(server.lost.wait(), 5)


# the provider


async def refuses(_server, _reader, writer):
    writer.write(TOO_LARGE)
    await asyncio.Event().wait()


@pytest.mark.parametrize("source", [endless, lambda: never_more(b"half")])
async def test_an_answer_before_the_end_of_an_upload_ends_it_and_the_connection(client, source):
    async with UploadServer(refuses) as server:
        assert await fetch(client, server.call(source())) == (413, b"big")
        assert await fetch(client, server.call(source(), content_length="99999999999")) == (413, b"big")
        assert (server.connections, len(server.heads)) == (2, 2)


async def test_an_answer_counts_more_than_a_source_that_fails_at_the_same_moment():
    async def failing():
        yield b"half"
        connection.data_received(TOO_LARGE)
        raise BadRequest("The caller broke off.")

    pool = Pool(TRUSTED, connect_s=5.0, silence_s=5.0)
    async with UploadServer() as server:
        connection = await pool.connect(Origin("http", "127.0.0.1", server.port))
        await connection.send((HEAD,), FramedUpload(failing(), None))
        assert (connection.status, await connection.read(), connection.is_finished()) == (413, b"big", False)
        connection.close()
        await asyncio.wait_for(server.lost.wait(), 5)
    await pool.close()


async def test_a_source_that_never_waits_does_not_keep_the_answer_from_being_heard():
    async def eager():
        while len(given) < 10_000:
            given.append(1)
            if len(given) == 5:
                asyncio.get_running_loop().call_soon(connection.data_received, TOO_LARGE)
            yield b"x"

    given = []
    pool = Pool(TRUSTED, connect_s=5.0, silence_s=5.0)
    async with UploadServer() as server:
        connection = await pool.connect(Origin("http", "127.0.0.1", server.port))
        await connection.send((HEAD,), FramedUpload(eager(), None))
        assert connection.status == 413
        assert len(given) < 20
        connection.close()
        await asyncio.wait_for(server.lost.wait(), 5)
    await pool.close()


async def test_a_connection_that_took_a_whole_upload_serves_again(client):
    async with UploadServer() as server:
        await fetch(client, server.call(stream_of(b"x")))
        await fetch(client, server.call(None, content_length="0"))
        assert (server.connections, server.bodies) == (1, [b"x", b""])


async def test_an_upload_never_goes_to_a_connection_that_may_have_been_closed(client):
    async with UploadServer() as server:
        await fetch(client, server.call(None))
        await fetch(client, server.call(stream_of(b"x")))
        assert (server.connections, server.bodies) == (2, [b"", b"x"])


async def test_an_upload_is_never_sent_twice(client):
    async def hangs_up(server, reader, _writer):
        assert [piece async for piece in server.pieces(reader)] == [b"x"]
        raise ConnectionError

    async with UploadServer(hangs_up) as server:
        with pytest.raises(UpstreamBroken):
            await fetch(client, server.call(stream_of(b"x")))
        assert len(server.heads) == 1


@pytest.mark.parametrize("source", [endless, lambda: never_more(b"half")])
async def test_a_provider_that_hangs_up_in_the_middle_of_an_upload_broke_off(client, source):
    async def hangs_up(_server, reader, _writer):
        await reader.read(1000)
        raise ConnectionError

    async with UploadServer(hangs_up) as server:
        with pytest.raises(UpstreamBroken):
            await fetch(client, server.call(source()))


async def test_an_interim_answer_does_not_end_an_upload(client):
    async def interim(server, reader, writer):
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        go_on.set()
        await server.whole(reader, writer)

    async def waiting():
        yield b"one "
        await go_on.wait()
        yield b"two"

    go_on = asyncio.Event()
    async with UploadServer(interim) as server:
        assert await fetch(client, server.call(waiting())) == (200, b"ok")
        assert server.bodies == [b"one two"]


async def test_a_provider_that_stops_taking_an_upload_is_given_up():
    async def stalls(_server, reader, _writer):
        await asyncio.Event().wait()

    client = UpstreamClient(TRUSTED, silence_s=0.1)
    seen = []
    async with UploadServer(stalls) as server:
        with pytest.raises(UpstreamBroken, match="stopped taking"):
            await fetch(client, server.call(endless(seen)))
    assert sum(seen) < 32 * MIB
    await client.close()


async def test_a_provider_that_falls_silent_behind_an_upload_is_given_up():
    async def silent(server, reader, _writer):
        async for _ in server.pieces(reader):
            pass
        await asyncio.Event().wait()

    client = UpstreamClient(TRUSTED, silence_s=0.1)
    async with UploadServer(silent) as server:
        with pytest.raises(UpstreamBroken, match="silent"):
            await fetch(client, server.call(stream_of(b"x")))
    await client.close()


async def test_a_caller_may_take_longer_than_a_provider_may_be_silent():
    async def slow():
        for _ in range(4):
            await asyncio.sleep(0.05)
            yield b"x"

    client = UpstreamClient(TRUSTED, silence_s=0.1)
    async with UploadServer() as server:
        assert await fetch(client, server.call(slow())) == (200, b"ok")
    await client.close()


# memory


async def slowly(server, reader, writer):
    """Take nothing until the upload has come to a stand, then all of it."""
    before = -1
    while server.given != before:
        before = server.given
        await asyncio.sleep(0.1)
    server.at_stand = before
    size = 0
    async for piece in server.pieces(reader):
        size += len(piece)
    server.bodies.append(size)
    writer.write(OK)


async def upload_to_a_slow_provider(total, **headers):
    """Return (bytes given before the provider took any, bytes that arrived, peak of memory in bytes)."""

    async def source():
        while server.given < total:
            server.given += MIB // 16
            yield bytes(MIB // 16)

    client = UpstreamClient(TRUSTED)
    async with UploadServer(slowly) as server:
        server.given = 0
        tracemalloc.start()
        try:
            assert await fetch(client, server.call(source(), **headers)) == (200, b"ok")
            return server.at_stand, server.bodies, tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
            await client.close()


@pytest.mark.parametrize("headers", [{}, {"content_length": str(64 * MIB)}])
async def test_an_upload_to_a_slow_provider_is_held_up_and_takes_little_memory(headers):
    at_stand, arrived, peak = await upload_to_a_slow_provider(64 * MIB, **headers)
    assert arrived == [64 * MIB]
    # What systems buffer for a socket is not this process's memory, but it is no whole upload either.
    assert at_stand < 32 * MIB
    assert peak < 4 * MIB


# the event loop that workers use


async def everything_on_this_loop():
    client = UpstreamClient(TRUSTED, silence_s=0.3)
    async with UploadServer() as server:
        assert await fetch(client, server.call(stream_of(b"x" * MIB, b"y"))) == (200, b"ok")
        assert server.bodies == [b"x" * MIB + b"y"]
    async with UploadServer(refuses) as server:
        assert await fetch(client, server.call(endless())) == (413, b"big")
    seen = []

    async def stalls(_server, reader, _writer):
        await asyncio.Event().wait()

    async with UploadServer(stalls) as server:
        with pytest.raises(UpstreamBroken, match="stopped taking"):
            await fetch(client, server.call(endless(seen)))
    assert sum(seen) < 32 * MIB
    await client.close()


def test_uploads_behave_on_uvloop_as_on_asyncio():
    uvloop.run(everything_on_this_loop())
