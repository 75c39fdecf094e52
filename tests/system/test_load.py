"""Does memory stay bounded, and does everything arrive, under a thousand streams, silent readers and large bodies?

Sizes and counts only: how long things take is for `make soak`.
"""

import asyncio
import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fakes.paced_provider import KEY, raise_file_limit, whole_stream
from tests.system.system_kit import ROOT, fetch, wait_for

MIB = 1024 * 1024
STREAMS = 1000
EVENTS, EVENT_BYTES, PAUSE_MS = 16, 64 * 1024, 500
#: A stream of 1 MiB leaves 512 KiB with the recorder, by design; what else it holds is in its buffers.
STREAM_BOUND = 600 * 1024
#: A second round finds the room that the first one left; one that leaked the records' part alone would take 512 KiB more.
LEAK_BOUND = 200 * 1024
LONG_EVENTS = 1024
READERS = 10
#: Of 64 MiB; the recorder's 512 KiB, the buffers of two connections, and what a piece is on its way between them.
READER_BOUND = 4 * MIB
LARGE_BODIES, AT_ONCE = 20, 5
MAX_BODY_BYTES = 32 * MIB
#: What may be left of all large bodies: the allocator keeps room for some.
LEFT_BODIES = 2
#: How often a body may lie in memory, in one form or another.
BODY_COPIES = 3


class Load:
    """The provider, and how to call it through the gateway."""

    def __init__(self, system, port):
        self.system, self.origin = system, f"http://127.0.0.1:{port}"
        self.gateway_port = system.ports["gateway"]
        made = {"name": "Paced", "provider": "openai", "key": KEY, "workspace_id": system.demo["workspace_id"]}
        self.slug = system.admin("POST", "/virtual-keys", made | {"custom_host": f"{self.origin}/v1"})["slug"]
        system.wait_current()
        assert self.chat() == 200

    def counts(self):
        return fetch(f"{self.origin}/_counts")[1]

    def chat(self):
        """Return the status of an ordinary chat."""
        return self.system.chat(model=f"@{self.slug}/chat")[0]

    def request(self, model, text="hello", **fields):
        """Return the bytes of one chat request."""
        body = {"model": f"@{self.slug}/{model}", **fields, "messages": [{"role": "user", "content": text}]}
        return self.framed(json.dumps(body, ensure_ascii=False).encode())

    def framed(self, body):
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {self.system.key}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        return head.encode() + body

    async def open_stream(self, events, size, pause_ms, limit=256 * 1024):
        """Return the reader and writer of a stream whose head has arrived."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.gateway_port, limit=limit)
        writer.write(self.request(f"stream-{events}-{size}-{pause_ms}", stream=True))
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        return reader, writer

    def workers(self):
        pid = self.system.programs["gateway"].process.pid
        children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        return [child for child in children if b"batch-worker" not in Path(f"/proc/{child}/cmdline").read_bytes()]

    def memory(self, field="VmRSS"):
        """Return the bytes that the workers hold, or held at most since `forget_peak`."""
        total = 0
        for pid in self.workers():
            status = Path(f"/proc/{pid}/status").read_text()
            total += int(re.search(rf"^{field}:\s+(\d+) kB", status, re.MULTILINE)[1]) * 1024
        return total

    def forget_peak(self):
        for pid in self.workers():
            Path(f"/proc/{pid}/clear_refs").write_text("5")
        return self.memory()

    def peak(self):
        return self.memory("VmHWM")


@pytest.fixture(scope="module")
def paced(system):
    raise_file_limit()
    command = [sys.executable, "-m", "tests.fakes.paced_provider"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT) as process:
        try:
            yield Load(system, int(process.stdout.readline()))
        finally:
            process.terminate()


@pytest.fixture
def load(system, paced):
    """A gateway that has just started: room that another test left free in its heap would hide what this one takes."""
    system.programs["gateway"].stop()
    system.start("gateway")
    wait_for(lambda: len(paced.workers()) == 2 and paced.chat() == 200, "the gateway has started again")
    return paced


async def arrives_whole(reader, expected):
    """Read a stream to its end, comparing every piece as it comes."""
    at = 0
    while size := int(await reader.readline(), 16):
        piece = await reader.readexactly(size)
        assert expected.startswith(piece, at), f"another piece than sent, {at} bytes into the stream"
        at += size
        await reader.readexactly(2)
    assert at == len(expected)


async def many_streams(load):
    """Run all streams at once, each read to its end."""

    expected = whole_stream(EVENTS, EVENT_BYTES)

    async def one(number):
        # Spread over one pause: all at the same moment, they would measure how fast this machine is.
        await asyncio.sleep(number / STREAMS * PAUSE_MS / 1000)
        reader, writer = await load.open_stream(EVENTS, EVENT_BYTES, PAUSE_MS)
        await arrives_whole(reader, expected)
        writer.close()

    await asyncio.gather(*(one(number) for number in range(STREAMS)))


@contextmanager
def most_open(load):
    """Yield a list whose last item is the largest number of open streams that the provider was seen to have."""
    most, stop = [0], threading.Event()

    def watch():
        while not stop.is_set():
            most[0] = max(most[0], load.counts()["open"])

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield most
    finally:
        stop.set()
        thread.join()


def test_a_thousand_streams_at_once_arrive_whole_and_memory_follows_neither_their_length_nor_their_number(load):
    base = load.forget_peak()
    with most_open(load) as most:
        asyncio.run(many_streams(load))
    first = load.peak()
    assert most[0] == STREAMS
    assert first - base < STREAMS * STREAM_BOUND
    load.forget_peak()
    asyncio.run(many_streams(load))
    assert load.peak() - first < STREAMS * LEAK_BOUND


async def held_back(load, readers):
    """Read a byte of each of `readers` now and then, while chats are answered; return the bytes taken once they stand still."""
    taken = -1
    while (now := (await asyncio.to_thread(load.counts))["taken_bytes"]) != taken:
        taken = now
        for _ in range(25):
            for reader, _ in readers:
                assert len(await reader.readexactly(1)) == 1
            assert await asyncio.to_thread(load.chat) == 200
    return taken


async def unread_streams(load):
    """Open long streams, read half of them byte by byte and the others not at all; return what was taken and held."""
    before, base = load.counts()["taken_bytes"], load.forget_peak()
    streams = [await load.open_stream(LONG_EVENTS, EVENT_BYTES, 0, limit=16 * 1024) for _ in range(READERS)]
    try:
        taken = await held_back(load, streams[: READERS // 2]) - before
        held = load.peak() - base
        await arrives_whole(streams[-1][0], whole_stream(LONG_EVENTS, EVENT_BYTES))
    finally:
        for _, writer in streams:
            writer.transport.abort()
    return taken, held


def test_a_reader_that_is_slow_or_stops_holds_the_provider_back_and_nobody_else(load):
    taken, held = asyncio.run(unread_streams(load))
    assert taken < READERS * LONG_EVENTS * EVENT_BYTES / 2
    assert held < READERS * READER_BOUND
    wait_for(lambda: load.counts()["open"] == 0, "the provider's connections go with those of the callers")


def large_body(load, number, surplus=0):
    """Return (body, its text) of the largest size allowed, and `surplus` bytes."""
    empty = {"model": f"@{load.slug}/digest", "messages": [{"role": "user", "content": ""}]}
    text = f"{number:04d}".ljust(MAX_BODY_BYTES + surplus - len(json.dumps(empty)), "x")
    empty["messages"][0]["content"] = text
    return json.dumps(empty).encode(), text


async def send(load, body):
    """Return (status, decoded answer) of one request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", load.gateway_port)
    writer.write(load.framed(body))
    head, _, content = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return int(head.split()[1]), json.loads(content)


async def many_large(load, bodies, times):
    """Send all of `bodies` at once, so many times; each is answered with the digest of its own text."""
    digests = [hashlib.sha256(text.encode()).hexdigest() for _, text in bodies]
    for _ in range(times):
        sent = await asyncio.gather(*(send(load, body) for body, _ in bodies))
        assert [status for status, _ in sent] == [200] * len(bodies)
        assert [answer["choices"][0]["message"]["content"] for _, answer in sent] == digests


def test_the_largest_bodies_arrive_whole_and_their_memory_is_given_back(load):
    bodies = [large_body(load, number) for number in range(AT_ONCE)]
    assert {len(body) for body, _ in bodies} == {MAX_BODY_BYTES}
    base = load.forget_peak()
    asyncio.run(many_large(load, bodies, LARGE_BODIES // AT_ONCE))
    assert load.peak() - base < AT_ONCE * BODY_COPIES * MAX_BODY_BYTES
    wait_for(lambda: load.memory() - base < LEFT_BODIES * MAX_BODY_BYTES, "the memory of large bodies is given back")


def test_a_body_beyond_the_limit_is_refused_and_the_next_request_is_answered(load):
    status, answer = asyncio.run(send(load, large_body(load, 0, surplus=1)[0]))
    assert status == 413
    assert answer["error"]["message"] == "The request body is too large."
    assert load.chat() == 200
