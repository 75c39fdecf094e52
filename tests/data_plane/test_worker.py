import asyncio
import gc
import os
import signal
import socket
import sys

import aiohttp
import msgspec
import pytest

from data_plane.sync.link import Activate, Activated, Connected, Deny, Hello, Link, Totals
from data_plane.worker import MAX_HEADER_BYTES, settle_memory
from tests.architecture.source_tree import ROOT
from tests.data_plane import kit
from tests.data_plane.gateway_kit import CHAT, at
from tests.data_plane.state_kit import until
from tests.fakes.provider import FakeProvider, Reply
from tests.fakes.realtime import FakeRealtime

HELLO = Hello(kit.ORG, kit.GROUP, "gw-test-0001", {kit.KID: kit.PRIVATE})


class Running:
    """A worker process, and the agent's end of its line."""

    def __init__(self, process, agent, port):
        self.process, self.agent, self.url = process, agent, f"http://127.0.0.1:{port}"

    async def activate(self, seq=1, **sections):
        manifest, blobs = kit.bundle(seq, **sections)
        self.agent.send(Activate(msgspec.json.encode(manifest), blobs))
        while not isinstance(message := await asyncio.wait_for(self.agent.receive(), 15), Activated):
            assert isinstance(message, Totals)
        assert message == Activated(1, seq)

    async def chat(self, session, headers=None):
        sent = {"x-portkey-api-key": kit.KEY_TEXT, **(headers or {})}
        async with session.post(f"{self.url}/v1/chat/completions", json=CHAT, headers=sent) as response:
            return response.status

    async def end(self):
        return await asyncio.wait_for(self.process.wait(), 15)


@pytest.fixture
async def running(tmp_path):
    """Start a worker as the supervisor does."""
    (tmp_path / "metrics").mkdir()
    ours, theirs = socket.socketpair()
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    env = {
        **os.environ, "GATEHOUSE_LINK_FD": str(theirs.fileno()), "GATEHOUSE_SOCKET_FD": str(listening.fileno()),
        "GATEHOUSE_GATEWAY_STATE_DIR": str(tmp_path), "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "metrics"),
        "TRUSTED_CUSTOM_HOSTS": "127.0.0.1", "GATEHOUSE_SHUTDOWN_S": "2",
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "data_plane", "worker", cwd=ROOT, env=env, pass_fds=(theirs.fileno(), listening.fileno()),
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    theirs.close()
    agent = await Link.over(ours)
    made = Running(process, agent, listening.getsockname()[1])
    yield made
    if process.returncode is None:
        process.kill()
        await process.wait()
    agent.close()
    listening.close()
    await asyncio.sleep(0)


async def test_a_worker_serves_what_it_is_given(running):
    running.agent.send(HELLO)
    async with FakeProvider() as fake, aiohttp.ClientSession() as session:
        await running.activate(**at(fake))
        assert await running.chat(session) == 200
        running.agent.send(Deny([f"k:{kit.KEY_ID}"]))
        running.agent.send(Connected(True))
        await running.activate(2, **at(fake))
        assert await running.chat(session) == 401


async def test_a_worker_takes_headers_as_long_as_configs_may_be(running):
    running.agent.send(HELLO)
    async with FakeProvider() as fake, aiohttp.ClientSession() as session:
        await running.activate(**at(fake))
        assert await running.chat(
            session, {"x-portkey-config": '{"virtual_key":"main","name":"' + "x" * (MAX_HEADER_BYTES // 2) + '"}'}
        ) in {200, 400}
        assert await running.chat(session, {"x-long": "x" * (MAX_HEADER_BYTES * 2)}) == 400


async def test_a_worker_ends_with_its_agent(running):
    running.agent.send(HELLO)
    await running.activate()
    running.agent.close()
    assert await running.end() == 0


async def test_a_worker_that_is_told_nothing_first_does_not_serve(running):
    running.agent.send(Connected(True))
    assert await running.end() != 0


async def test_a_worker_finishes_running_requests_before_it_ends(running):
    running.agent.send(HELLO)
    async with FakeProvider([Reply(json={"choices": []}, delay_s=0.5)]) as fake, aiohttp.ClientSession() as session:
        await running.activate(**at(fake))
        request = asyncio.create_task(running.chat(session))
        await until(lambda: fake.seen)
        running.process.send_signal(signal.SIGTERM)
        assert await request == 200
        assert await running.end() == 0


async def test_sessions_end_when_what_they_live_by_is_gone_and_when_the_worker_ends(running):
    running.agent.send(HELLO)
    async with FakeRealtime() as fake, aiohttp.ClientSession() as session:
        url = f"{running.url}/v1/realtime?model=@main/gpt-realtime"
        headers = {"authorization": f"Bearer {kit.KEY_TEXT}"}

        async def ended(socket):
            told = [message.json() async for message in socket]
            return told[-1]["error"]["code"], socket.close_code

        await running.activate(**at(fake))
        async with session.ws_connect(url, headers=headers) as socket:
            await socket.receive()
            await running.activate(2, **{**at(fake), "virtual_keys": []})
            assert await ended(socket) == ("invalid_api_key", 1008)
        await running.activate(3, **at(fake))
        async with session.ws_connect(url, headers=headers) as socket:
            await socket.receive()
            running.process.send_signal(signal.SIGTERM)
            assert await ended(socket) == ("draining", 1001)
        assert await running.end() == 0
        assert [seen.close_code for seen in fake.seen] == [1001, 1001]


def test_long_lived_objects_are_left_alone_by_the_garbage_collector():
    before, usual = gc.get_threshold(), 700
    try:
        gc.unfreeze()
        gc.set_threshold(usual, 10, 10)
        settle_memory()
        assert gc.get_freeze_count() > 0
        assert gc.get_threshold()[0] > usual
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
