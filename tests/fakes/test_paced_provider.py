"""Does the provider of the load tests do what a model's name says, and count rightly?"""

import asyncio
import contextlib
import hashlib
import json

import pytest

from tests.fakes.paced_provider import KEY, READ_BYTES, PacedProvider, text_of_event, whole_stream


@contextlib.asynccontextmanager
async def serving(**how):
    provider = PacedProvider(**how)
    server = await asyncio.start_server(provider.handle, "127.0.0.1", 0, limit=READ_BYTES)
    async with server:
        yield provider, server.sockets[0].getsockname()[1]


async def connect(port, model, *, text="hi", key=KEY, **fields):
    """Send one chat; return the connection."""
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": text}], **fields}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nauthorization: Bearer {key}\r\ncontent-length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    return reader, writer


async def whole_answer(port, model, **fields):
    """Return (status, decoded body)."""
    reader, writer = await connect(port, model, **fields)
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = int(head.partition("content-length: ")[2].split("\r\n")[0])
    content = await reader.readexactly(length)
    writer.close()
    return int(head.split()[1]), json.loads(content)


async def streamed(reader):
    """Return the bytes of a stream's events."""
    await reader.readuntil(b"\r\n\r\n")
    content = b""
    while size := int(await reader.readline(), 16):
        content += await reader.readexactly(size)
        await reader.readexactly(2)
    return content


async def test_a_stream_has_the_named_number_of_events_of_the_named_size_in_order():
    async with serving() as (provider, port):
        reader, writer = await connect(port, "stream-30-500-1", stream=True)
        content = await streamed(reader)
        assert content == whole_stream(30, 500)
        *chunks, last, done = [line.removeprefix("data: ") for line in content.decode().split("\n\n") if line]
        texts = [json.loads(chunk)["choices"][0]["delta"]["content"] for chunk in chunks]
        assert texts == [text_of_event(number, 500) for number in range(30)]
        assert {len(text) for text in texts} == {500}
        assert (json.loads(last)["choices"][0]["finish_reason"], done) == ("stop", "[DONE]")
        assert (provider.begun, provider.open) == (1, 0)
        assert provider.taken_bytes > 30 * 500
        writer.close()


async def test_what_nobody_reads_is_not_counted_as_taken():
    async with serving() as (provider, port):
        reader, writer = await connect(port, "stream-2000-65536-0", stream=True)
        await reader.readuntil(b"\r\n\r\n")
        seen = -1
        while provider.taken_bytes != seen:
            seen = provider.taken_bytes
            for _ in range(50):
                assert (await whole_answer(port, "chat"))[0] == 200
        assert seen < 2000 * 65536 / 2
        assert provider.open == 1
        writer.transport.abort()


async def test_the_digest_is_that_of_the_text_that_arrived():
    text = "ä" * 3_000_000
    async with serving() as (_, port):
        status, answer = await whole_answer(port, "digest", text=text)
    assert (status, answer["choices"][0]["message"]["content"]) == (200, hashlib.sha256(text.encode()).hexdigest())


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        ("chat", {"key": "another"}),
        ("chat", {"stream": True}),
        ("stream-1-8-0", {}),
        ("stream-1-8", {"stream": True}),
        ("stream-1-7-0", {"stream": True}),
        ("gpt-4o", {}),
        ("digest", {"text": None}),
    ],
)
async def test_what_no_load_test_means_is_refused(model, fields):
    async with serving() as (_, port):
        status, answer = await whole_answer(port, model, **fields)
    assert status == 400
    assert answer["error"]["message"]


async def test_a_blind_provider_answers_whatever_the_body_is():
    async with serving(blind=True) as (_, port):
        assert (await whole_answer(port, "gpt-4o", key="another"))[0] == 200
