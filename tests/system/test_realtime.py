"""Realtime sessions through both planes: real processes, a strict provider, callers that behave and callers that do not."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.fakes.realtime import KEY, USAGE
from tests.system.system_kit import ROOT, fetch, free_port, wait_for

MIB = 1024 * 1024


class Provider:
    """The fake in a process of its own, at the same port also when it was killed and started again."""

    def __init__(self):
        self.port = free_port()
        self.base_url = f"http://127.0.0.1:{self.port}/v1"
        self.process = None
        self.start()

    def start(self):
        command = [sys.executable, "-m", "tests.fakes.realtime", "--port", str(self.port)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT)
        assert int(self.process.stdout.readline()) == self.port

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        self.process.wait(10)
        self.process.stdout.close()

    def seen(self):
        return fetch(f"http://127.0.0.1:{self.port}/_seen")[1]


@pytest.fixture(scope="module")
def provider():
    made = Provider()
    yield made
    made.end()


@pytest.fixture(scope="module")
def slug(system, provider):
    """A virtual key at the provider."""
    made = virtual_key(system, "realtime", KEY, provider)
    system.wait_current()
    return made


def virtual_key(system, name, key, provider):
    body = {
        "name": name,
        "provider": "openai",
        "key": key,
        "workspace_id": system.demo["workspace_id"],
        "custom_host": provider.base_url,
    }
    return system.admin("POST", "/virtual-keys", body)["slug"]


@asynccontextmanager
async def session(system, slug, key=None, model="gpt-realtime", **headers):
    """Yield (socket, id of the request) of a session that was greeted."""
    sent = {"authorization": f"Bearer {key or system.key}", **headers}
    named = f"@{slug}/{model}" if slug else model
    async with (
        aiohttp.ClientSession() as client,
        client.ws_connect(
            f"{system.gateway}/v1/realtime",
            params={"model": named},
            headers=sent,
            max_msg_size=64 * MIB,
            autoclose=False,
        ) as socket,
    ):
        assert (await hear(socket))["type"] == "session.created"
        yield socket, socket._response.headers["x-portkey-request-id"]


async def hear(socket, kind=None):
    while True:
        event = await socket.receive_json(timeout=20)
        if kind in {None, event["type"]}:
            return event


async def ending(socket):
    """Return (code of the error event, close code)."""
    error = None
    while True:
        message = await socket.receive(timeout=20)
        if message.type is not aiohttp.WSMsgType.TEXT:
            await socket.close()
            return error, socket.close_code
        event = json.loads(message.data)
        error = event["error"]["code"] if event["type"] == "error" else error


def record_of(system, request_id):
    page = f"{system.control}/v1/logs/{request_id}"
    wait_for(lambda: fetch(page, key=system.key)[0] == 200, "the record arrives")
    return fetch(page, key=system.key)[1]


def stored(system, request_id):
    """Return (status, error type, tokens in, tokens out, cost) of a request as it is stored."""
    record_of(system, request_id)
    sql = "SELECT status, error_type, tok_in, tok_out, cost_nano FROM logs_record WHERE id = %s"
    return system.query(sql, request_id)[0]


def test_a_conversation_is_held_both_ways_and_recorded_with_its_cost(system, slug, provider):
    async def talk():
        async with session(system, slug) as (socket, request_id):
            await socket.send_json({"type": "session.update", "session": {"type": "realtime"}})
            for _ in range(2):
                await socket.send_json({"type": "response.create"})
                assert (await hear(socket, "response.done"))["response"]["usage"] == USAGE
            await socket.send_bytes(bytes(range(256)) * 4000)
            assert (await socket.receive(timeout=20)).data == bytes(reversed(bytes(range(256)) * 4000))
            return request_id

    record = record_of(system, asyncio.run(talk()))
    assert record["response"]["status"] == 101
    assert record["metrics"]["ai_model"] == "gpt-realtime"
    assert record["metrics"]["total_units"] == 2 * USAGE["total_tokens"]
    assert record["metrics"]["cost"] > 0
    seen = provider.seen()[-1]
    assert (seen["path"], seen["query"], seen["headers"]["authorization"]) == (
        "/v1/realtime", {"model": "gpt-realtime"}, f"Bearer {KEY}",
    )  # fmt: skip
    assert (seen["close_code"], seen["binaries"]) == (1000, [256 * 4000])


def test_a_session_ends_when_its_budget_is_spent_and_is_charged_for_what_it_used(system, slug):
    made = system.new_key("talkative", usage_limits={"type": "tokens", "credit_limit": 5000})
    system.wait_current()
    each = USAGE["total_tokens"]

    async def talk():
        async with session(system, slug, key=made["key"]) as (socket, request_id):
            answers = 0
            await socket.send_json({"type": "response.create"})
            async for message in socket:
                event = json.loads(message.data)
                if event["type"] == "response.done":
                    answers += 1
                    await socket.send_json({"type": "response.create"})
            await socket.close()
            return answers, event, socket.close_code, request_id

    answers, last, code, request_id = asyncio.run(talk())
    told = last["error"]
    assert (told["code"], told["param"], code) == ("budget_exceeded", "api_key", 1008)
    # It may have heard one answer more than it could pay for, and those that came while it was asked for more.
    assert answers * each >= 4096
    spent = "SELECT spent FROM budgets_budget WHERE owner_id = %s"
    wait_for(lambda: system.query(spent, made["id"])[0][0] == answers * each, "the control plane knows")
    assert stored(system, request_id)[:2] == (101, "budget_exceeded")


def test_a_browser_names_itself_by_subprotocol(system, slug):
    async def talk():
        protocols = ("realtime", f"openai-insecure-api-key.{system.key}")
        async with (
            aiohttp.ClientSession() as client,
            client.ws_connect(
                f"{system.gateway}/v1/realtime?model=@{slug}/gpt-realtime", protocols=protocols
            ) as socket,
        ):
            return socket.protocol, (await hear(socket))["type"]

    assert asyncio.run(talk()) == ("realtime", "session.created")


def test_a_refused_session_falls_back_to_the_next_target(system, slug, provider):
    wrong = virtual_key(system, "realtime-wrong", "not-the-key", provider)
    system.wait_current()
    config = {"strategy": {"mode": "fallback"}, "targets": [{"virtual_key": wrong}, {"virtual_key": slug}]}

    async def talk():
        headers = {"x-portkey-api-key": system.key, "x-portkey-config": json.dumps(config)}
        async with session(system, "", **headers) as (socket, request_id):
            await socket.close()
            return request_id

    request_id = asyncio.run(talk())
    assert stored(system, request_id)[0] == 101
    attempts = system.query("SELECT status FROM logs_attempt WHERE log_id = %s ORDER BY n", request_id)
    assert attempts == [(401,), (200,)]


def test_the_providers_refusal_is_an_answer_in_json(system, slug):
    handshake = {
        "authorization": f"Bearer {system.key}", "upgrade": "websocket", "connection": "upgrade", "sec-websocket-version": "13",
        "sec-websocket-key": "A" * 22 + "==",
    }  # fmt: skip

    async def ask():
        page = f"{system.gateway}/v1/realtime?model=@{slug}/no-such-model"
        async with aiohttp.ClientSession() as client, client.get(page, headers=handshake) as answer:
            return answer.status, await answer.json(), answer.headers["x-portkey-request-id"]

    status, body, request_id = asyncio.run(ask())
    assert (status, body["error"]["code"], body["provider"]) == (404, "model_not_found", "openai")
    assert stored(system, request_id)[:2] == (404, "provider_error")


def test_a_provider_that_dies_is_told_with_what_was_used_until_then(system, slug, provider):
    async def talk():
        async with session(system, slug) as (socket, request_id):
            await socket.send_json({"type": "response.create"})
            await hear(socket, "response.done")
            provider.end(signal.SIGKILL)
            assert await ending(socket) == ("upstream_broken", 1011)
            return request_id

    try:
        request_id = asyncio.run(talk())
    finally:
        provider.start()
    assert stored(system, request_id)[:4] == (101, "upstream_broken", 100, 50)


def test_a_caller_that_dies_frees_the_provider(system, slug, provider):
    async def talk():
        async with session(system, slug) as (socket, request_id):
            await socket.send_json({"type": "response.create"})
            await hear(socket, "response.done")
            socket._response.connection.transport.abort()
            return request_id

    request_id = asyncio.run(talk())
    wait_for(lambda: provider.seen()[-1]["close_code"] is not None, "the provider's side is closed", bound_s=5)
    assert stored(system, request_id)[:4] == (101, "client_closed_request", 100, 50)


@pytest.mark.parametrize("what", ["key", "virtual key"])
def test_a_revocation_ends_a_running_session_within_two_seconds(system, provider, what):
    own = virtual_key(system, f"realtime-{what.replace(' ', '-')}", KEY, provider)
    key = system.new_key(f"realtime-{what}")
    system.wait_current()

    async def talk():
        async with session(system, own, key["key"]) as (socket, request_id):
            path = f"/api-keys/{key['id']}" if what == "key" else f"/virtual-keys/{own}"
            await asyncio.to_thread(system.admin, "DELETE", path)
            began = time.monotonic()
            assert await ending(socket) == ("invalid_api_key", 1008)
            assert time.monotonic() - began <= 2.0
            return request_id

    assert stored(system, asyncio.run(talk()))[:2] == (101, "invalid_api_key")


def test_a_message_that_is_too_large_ends_the_session_and_a_large_one_does_not(system, slug, provider):
    async def talk():
        async with session(system, slug) as (socket, request_id):
            await socket.send_bytes(b"x" * (16 * MIB))
            assert len((await socket.receive(timeout=20)).data) == 16 * MIB
            await socket.send_bytes(b"x" * (16 * MIB + 1))
            assert await ending(socket) == ("body_too_large", 1009)
            return request_id

    assert stored(system, asyncio.run(talk()))[:2] == (101, "body_too_large")
    assert provider.seen()[-1]["binaries"] == [16 * MIB]


def workers(system):
    """Return the ids of the gateway's processes."""
    parent = system.programs["gateway"].process.pid
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    # The process for batches starts when it likes, and carries no session.
    serving = (child for child in children if b"batch-worker" not in Path(f"/proc/{child}/cmdline").read_bytes())
    return [parent, *map(int, serving)]


def memory(system):
    """Return the bytes that the gateway's processes have in memory."""
    found = 0
    for pid in workers(system):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        found += next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))
    return found


def test_a_caller_that_takes_nothing_costs_no_memory_and_gets_everything_in_the_end(system, slug, provider):
    count, size = 4000, 64 * 1024

    async def talk():
        async with session(system, slug) as (socket, _):
            before = memory(system)
            await socket.send_json({"type": "test.flood", "count": count, "bytes": size})
            sent = [0]

            def stands_still():
                sent.append(provider.seen()[-1]["flooded"])
                return len(sent) > 40 and sent[-40] == sent[-1] > 0

            await asyncio.to_thread(wait_for, stands_still, "the provider is held up")
            assert sent[-1] < count
            assert memory(system) - before < 24 * MIB
            heard = [(await hear(socket))["event_id"] for _ in range(count)]
            assert heard == [f"event_{number}" for number in range(count)]

    asyncio.run(talk())


def test_fifty_sessions_at_once_are_held_and_each_is_recorded_once(system, slug):
    async def one():
        async with session(system, slug) as (socket, request_id):
            for _ in range(5):
                await socket.send_json({"type": "response.create"})
                await hear(socket, "response.done")
            return request_id

    async def all_of_them():
        return await asyncio.gather(*(one() for _ in range(50)))

    ids = asyncio.run(all_of_them())
    wait_for(lambda: len(system.stored(*ids)) == 50, "every record arrives")
    assert set(system.stored(*ids).values()) == {1}
    totals = system.query("SELECT DISTINCT status, tok_in, tok_out FROM logs_record WHERE id = ANY(%s)", ids)
    assert totals == [(101, 500, 250)]
