"""One call from socket to socket: the real application, a real upstream server, nothing mocked between."""

import asyncio
import json
import time
from functools import partial

import orjson
import pytest

from data_plane.http.ingress import upload_of
from data_plane.http.serve import refusal
from data_plane.upstream.connection import Connection
from shared.errors import NotFound
from shared.schema.rows import WorkspaceRow
from tests.data_plane import kit
from tests.data_plane.gateway_kit import CHAT, STREAM, at, gateway
from tests.data_plane.upstream.upload_server import UploadServer
from tests.fakes.provider import FakeProvider, Reply


def chunk(text, finish=None):
    return {"id": "c", "object": "chat.completion.chunk", "model": "gpt-4o", "choices": [
        {"index": 0, "delta": {"content": text}, "finish_reason": finish}]}  # fmt: skip


def events(content):
    """Return the data of each server-sent event."""
    return [line.removeprefix("data: ") for line in content.decode().split("\n\n") if line]


def fallback(*targets, **rest):
    return json.dumps({"strategy": {"mode": "fallback"}, "targets": list(targets), **rest})


async def test_a_chat_is_answered_recorded_and_priced(tmp_path):
    async with FakeProvider() as fake, gateway(tmp_path, **at(fake)) as gw:
        status, body, headers = await gw.send()
        answer = orjson.loads(body)
        assert status == 200
        assert (answer["object"], answer["provider"]) == ("chat.completion", "openai")
        assert (headers["x-portkey-provider"], headers["x-portkey-last-used-option-index"]) == ("openai", "config")
        assert (headers["x-portkey-retry-attempt-count"], headers["x-portkey-cache-status"]) == ("0", "DISABLED")
        record = gw.recorded.last
        assert headers["x-portkey-request-id"] == record.id
        assert headers["x-portkey-trace-id"] == record.trace_id
        usage = answer["usage"]
        assert (record.tok_in, record.tok_out) == (usage["prompt_tokens"], usage["completion_tokens"])
        assert record.model_requested == "@main/gpt-4o"
        assert (record.price_status, record.cost_nano) == ("priced", record.tok_in * 2000 + record.tok_out * 8000)
        assert (record.status, record.virtual_key, len(record.attempts)) == (200, "main", 1)
        assert fake.seen[0].json["model"] == "gpt-4o"
        assert fake.seen[0].headers["authorization"] == f"Bearer {fake.key}"


async def test_a_stream_arrives_piece_by_piece_and_ends_with_done(tmp_path):
    async with FakeProvider() as fake, gateway(tmp_path, **at(fake)) as gw:
        status, body, headers = await gw.send(STREAM)
        data = events(body)
        assert (status, data[-1]) == (200, "[DONE]")
        assert headers["content-type"].startswith("text/event-stream")
        text = "".join(
            choice["delta"].get("content") or "" for line in data[:-1] for choice in json.loads(line)["choices"]
        )
        assert "hello there" in text
        assert all("usage" not in json.loads(line) for line in data[:-1])
        record = gw.recorded.last
        assert record.stream
        assert record.tok_out > 0
        assert record.ttft_ms is not None


async def test_nothing_of_the_gateway_reaches_the_provider(tmp_path):
    sent = {"x-portkey-metadata": '{"a":"b"}', "x-portkey-forward-headers": "x-mine,authorization", "x-mine": "1", "cookie": "c=1",
            "authorization": f"Bearer {kit.KEY_TEXT}", "x-portkey-api-key": ""}  # fmt: skip
    async with FakeProvider() as fake, gateway(tmp_path, **at(fake)) as gw:
        status, _, _ = await gw.send(headers=sent)
        seen = fake.seen[0].headers
        assert status == 200
        assert seen["x-mine"] == "1"
        assert not [name for name in seen if name.startswith("x-portkey-") or name == "cookie"]
        assert kit.KEY_TEXT not in str(fake.seen[0])


@pytest.mark.parametrize(("sent", "code"), [
    ({"raw": b"{nope"}, "invalid_json"), ({"raw": b"[]"}, "invalid_json"), ({"raw": b""}, "invalid_json"), ({"raw": b"\xff"}, "invalid_json"),
    ({"body": {"model": 7, "messages": []}}, "invalid_request"), ({"body": {"model": "@none/x", "messages": []}}, "invalid_provider"),
    ({"body": {"model": "@main", "messages": []}}, "invalid_request"),
    ({"headers": {"content-type": "text/plain"}}, "invalid_request"), ({"headers": {"x-portkey-config": "pc-none"}}, "invalid_config"),
    ({"headers": {"x-portkey-config": "{"}}, "invalid_config"), ({"headers": {"x-portkey-config": '{"targets":7}'}}, "invalid_config"),
    ({"body": {"model": "gpt-4o", "messages": []}, "headers": {"x-portkey-provider": "nonesuch"}}, "invalid_provider"),
    ({"headers": {"x-portkey-provider": "openai", "x-portkey-custom-host": "http://10.0.0.1"}, "body": {**CHAT, "model": "m"}}, "invalid_request"),
])  # fmt: skip
async def test_what_cannot_be_served_is_a_clear_400_in_json(tmp_path, sent, code):
    async with FakeProvider() as fake, gateway(tmp_path, **at(fake)) as gw:
        status, body, headers = await gw.send(**sent)
        answer = orjson.loads(body)
        assert (status, answer["error"]["code"]) == (400, code), answer
        assert answer["status"] == "failure"
        assert headers["x-portkey-gateway-exception"] == "true"
        assert headers["x-portkey-trace-id"]
        assert fake.seen == []


async def test_a_body_over_the_limit_is_413_in_json(tmp_path):
    async with FakeProvider() as fake, gateway(tmp_path, max_body=2000, **at(fake)) as gw:
        status, body, headers = await gw.send(raw=b'{"x":"' + b"y" * 5000 + b'"}')
        assert (status, orjson.loads(body)["error"]["code"]) == (413, "body_too_large")
        assert headers["x-portkey-trace-id"]


@pytest.mark.parametrize(("key", "status"), [(None, 401), ("gh-nonsense", 401), ("sk-openai", 401)])
async def test_an_unknown_caller_is_401(tmp_path, key, status):
    async with gateway(tmp_path) as gw:
        got, body, _ = await gw.send(key=key)
        assert (got, orjson.loads(body)["error"]["code"]) == (status, "invalid_api_key")


async def test_a_key_without_the_scope_is_403_and_recorded(tmp_path):
    async with gateway(tmp_path, api_keys=[kit.api_key(scopes=frozenset())]) as gw:
        assert (await gw.send())[0] == 403
        assert (gw.recorded.last.status, gw.recorded.last.error_type) == (403, "forbidden")


async def test_a_providers_error_keeps_its_status_and_is_normalised(tmp_path):
    fault = {"error": {"message": "slow down", "type": "rate", "param": None, "code": "rl"}}
    async with (
        FakeProvider([Reply(429, json=fault, headers={"x-ratelimit-reset": "3"})]) as fake,
        gateway(tmp_path, **at(fake)) as gw,
    ):
        status, body, headers = await gw.send()
        assert status == 429
        assert orjson.loads(body) == {
            "error": {"message": "openai error: slow down", "type": "rate", "param": None, "code": "rl"}, "provider": "openai",
        }  # fmt: skip
        assert headers["x-ratelimit-reset"] == "3"
        assert "x-portkey-gateway-exception" not in headers
        assert gw.recorded.last.price_status == "none"


@pytest.mark.parametrize("reply", [
    Reply(200, body=b"<html>hi</html>"), Reply(200, body=b""), Reply(200, json=[]), Reply(200, json={"choices": 7}), Reply(200, body=b"[" * 200_000),
])  # fmt: skip
async def test_an_answer_that_is_none_is_502_and_falls_back(tmp_path, reply):
    async with FakeProvider([reply, reply]) as bad, FakeProvider() as good, gateway(tmp_path, **at(bad, good)) as gw:
        status, body, _ = await gw.send()
        assert (status, orjson.loads(body)["error"]["code"]) == (502, "upstream_invalid")
        config = fallback({"virtual_key": "main"}, {"virtual_key": "second"})
        status, _, headers = await gw.send({**CHAT, "model": "gpt-4o"}, {"x-portkey-config": config})
        assert (status, headers["x-portkey-last-used-option-index"]) == (200, "config.targets[1]")
        assert [attempt.status for attempt in gw.recorded.last.attempts] == [502, 200]


async def test_an_unreachable_provider_is_502_without_its_address(tmp_path):
    async with FakeProvider() as fake:
        sections = at(fake)
        port = fake.port
    async with gateway(tmp_path, **sections) as gw:
        status, body, _ = await gw.send()
        assert (status, orjson.loads(body)["error"]["code"]) == (502, "upstream_unreachable")
        assert str(port).encode() not in body
        assert b"127.0.0.1" not in body


async def test_retries_and_fallback_are_counted_and_recorded(tmp_path, monkeypatch):
    monkeypatch.setattr("shared.routing.walk.BACKOFF_S", (0.02,) * 5)
    async with (
        FakeProvider([Reply(500, json={}), Reply(500, json={})]) as bad,
        FakeProvider() as good,
        gateway(tmp_path, **at(bad, good)) as gw,
    ):
        config = fallback({"virtual_key": "main", "retry": {"attempts": 1}}, {"virtual_key": "second"})
        status, _, headers = await gw.send({**CHAT, "model": "gpt-4o"}, {"x-portkey-config": config})
        assert (status, headers["x-portkey-retry-attempt-count"]) == (200, "0")
        record = gw.recorded.last
        assert [(a.path, a.status) for a in record.attempts] == [
            ("config.targets[0]", 500),
            ("config.targets[0]", 500),
            ("config.targets[1]", 200),
        ]
        assert (record.retry_n, record.fallback_n, record.mode) == (1, 1, "fallback")
        assert record.gw_us < record.lat_ms * 1000


async def test_exhausted_retries_are_told_as_minus_one(tmp_path, monkeypatch):
    monkeypatch.setattr("shared.routing.walk.BACKOFF_S", (0.02,) * 5)
    async with FakeProvider(lambda _seen: Reply(503, json={})) as bad, gateway(tmp_path, **at(bad)) as gw:
        status, _, headers = await gw.send(
            headers={"x-portkey-config": '{"virtual_key":"main","retry":{"attempts":2}}'}, body={**CHAT, "model": "m"}
        )
        assert (status, headers["x-portkey-retry-attempt-count"], len(bad.seen)) == (503, "-1", 3)


async def test_a_target_forces_and_drops_parameters(tmp_path):
    config = {
        "virtual_key": "main",
        "override_params": {"model": "gpt-5", "top_p": 1},
        "default_params": {"seed": 3, "stop": "x"},
        "drop_params": ["user"],
    }
    async with FakeProvider() as fake, gateway(tmp_path, **at(fake)) as gw:
        await gw.send({**CHAT, "model": "m", "user": "u", "stop": "mine"}, {"x-portkey-config": json.dumps(config)})
        seen = fake.seen[0].json
        assert (seen["model"], seen["top_p"], seen["seed"], seen["stop"]) == ("gpt-5", 1, 3, "mine")
        assert "user" not in seen


async def test_the_balance_follows_the_draw(tmp_path):
    config = json.dumps(
        {
            "strategy": {"mode": "loadbalance"},
            "targets": [{"virtual_key": "main", "weight": 1}, {"virtual_key": "second", "weight": 3}],
        }
    )
    async with (
        FakeProvider() as first,
        FakeProvider() as second,
        gateway(tmp_path, draw=lambda: 0.5, **at(first, second)) as gw,
    ):
        _, _, headers = await gw.send({**CHAT, "model": "m"}, {"x-portkey-config": config})
        assert headers["x-portkey-last-used-option-index"] == "config.targets[1]"
        assert (len(first.seen), len(second.seen)) == (0, 1)


async def test_a_timeout_is_408_in_the_contracts_words(tmp_path):
    async with FakeProvider([Reply(hang=True)]) as fake, gateway(tmp_path, **at(fake)) as gw:
        status, body, _ = await gw.send(headers={"x-portkey-request-timeout": "60"})
        assert (status, orjson.loads(body)["error"]["type"]) == (408, "timeout_error")
        assert orjson.loads(body)["error"]["message"] == "Request exceeded the timeout sent in the request: 60ms"


async def test_the_timeout_of_a_stream_counts_to_its_first_chunk_and_no_further(tmp_path):
    slow = {"x-portkey-request-timeout": "80"}
    async with (
        FakeProvider([Reply(sse=[], hang_after=0), Reply(sse=[chunk("a"), chunk("b", "stop"), "[DONE]"])]) as fake,
        gateway(tmp_path, **at(fake)) as gw,
    ):
        status, body, _ = await gw.send(STREAM, slow)
        assert (status, orjson.loads(body)["error"]["type"]) == (408, "timeout_error")
        assert events((await gw.send(STREAM, slow))[1])[-1] == "[DONE]"


async def test_a_stream_that_breaks_is_an_error_event_and_no_end(tmp_path):
    async with (
        FakeProvider([Reply(sse=[chunk("par"), chunk("tial"), chunk("x")], break_after=2)]) as fake,
        gateway(tmp_path, **at(fake)) as gw,
    ):
        status, body, _ = await gw.send(STREAM)
        data = events(body)
        assert status == 200
        assert json.loads(data[-1])["error"]["code"] == "upstream_broken"
        assert "[DONE]" not in data
        assert all(choice.get("finish_reason") is None for line in data[:-1] for choice in json.loads(line)["choices"])
        assert gw.recorded.last.error_type == "upstream_broken"


async def test_a_stream_that_just_ends_is_broken_too(tmp_path):
    async with FakeProvider([Reply(sse=[chunk("half")])]) as fake, gateway(tmp_path, **at(fake)) as gw:
        data = events((await gw.send(STREAM))[1])
        assert json.loads(data[-1])["error"]["code"] == "upstream_broken"


async def test_what_came_before_an_error_event_is_delivered(tmp_path):
    first = b"data: " + orjson.dumps(chunk("kept")) + b'\n\ndata: {"error":{"message":"overloaded"}}\n\n'
    async with FakeProvider([Reply(sse=[first])]) as fake, gateway(tmp_path, **at(fake)) as gw:
        data = events((await gw.send(STREAM))[1])
        assert json.loads(data[0])["choices"][0]["delta"]["content"] == "kept"
        assert "overloaded" in json.loads(data[1])["error"]["message"]
        assert len(data) == 2


@pytest.mark.parametrize("reply", [
    Reply(sse=[{"error": {"message": "overloaded"}}]), Reply(sse=[chunk("x")], break_after=0), Reply(sse=[]), Reply(json={"choices": []}),
])  # fmt: skip
async def test_a_stream_that_fails_before_its_first_chunk_falls_back(tmp_path, reply):
    async with FakeProvider([reply]) as bad, FakeProvider() as good, gateway(tmp_path, **at(bad, good)) as gw:
        config = fallback({"virtual_key": "main"}, {"virtual_key": "second"})
        status, body, headers = await gw.send({**STREAM, "model": "gpt-4o"}, {"x-portkey-config": config})
        assert (status, events(body)[-1]) == (200, "[DONE]")
        assert headers["x-portkey-last-used-option-index"] == "config.targets[1]"


async def test_a_caller_that_hangs_up_cancels_the_upstream_call(tmp_path, monkeypatch):
    made = []
    sent = Connection.send

    async def remembered(self, *parts, **rest):
        made.append(self)
        await sent(self, *parts, **rest)

    monkeypatch.setattr(Connection, "send", remembered)
    gone = asyncio.Event()

    class Watched(FakeProvider):
        async def _handle(self, request):
            try:
                return await super()._handle(request)
            except asyncio.CancelledError:
                gone.set()
                raise

    async with Watched([Reply(hang=True)]) as fake, gateway(tmp_path, **at(fake)) as gw:
        fake._runner._kwargs["handler_cancellation"] = True
        task = asyncio.create_task(gw.send())
        async with asyncio.timeout(5):
            while not fake.seen:
                await asyncio.sleep(0.005)
        connection = made[-1]
        task.cancel()
        began = time.monotonic()
        async with asyncio.timeout(5):
            while connection.is_usable():
                await asyncio.sleep(0.002)
        assert time.monotonic() - began < 1.0
        async with asyncio.timeout(5):
            while not gw.recorded.items:
                await asyncio.sleep(0.002)
        assert (gw.recorded.last.status, gw.recorded.last.error_type) == (499, "client_closed_request")


async def test_a_caller_that_leaves_a_stream_ends_it_upstream(tmp_path):
    async with (
        FakeProvider([Reply(sse=[chunk("a"), chunk("b")], hang_after=1)]) as fake,
        gateway(tmp_path, **at(fake)) as gw,
    ):
        async with gw.session.post(
            gw.url + "/v1/chat/completions", json=STREAM, headers={"x-portkey-api-key": kit.KEY_TEXT}
        ) as response:
            await response.content.readany()
            assert len(gw.deps.streams) == 1
            response.close()
        async with asyncio.timeout(5):
            while gw.deps.streams or not gw.recorded.items:
                await asyncio.sleep(0.005)
        assert gw.recorded.last.error_type == "client_closed_request"


async def test_a_revoked_callers_stream_ends_with_a_clear_error(tmp_path):
    async with (
        FakeProvider([Reply(sse=[chunk("a"), chunk("b")], hang_after=1)]) as fake,
        gateway(tmp_path, **at(fake)) as gw,
    ):
        async with gw.session.post(
            gw.url + "/v1/chat/completions", json=STREAM, headers={"x-portkey-api-key": kit.KEY_TEXT}
        ) as response:
            await response.content.readany()
            relay = next(iter(gw.deps.streams))
            assert relay.is_denied(frozenset({f"k:{kit.KEY_ID}"}))
            assert not relay.is_denied(frozenset({"k:other"}))
            relay.refuse()
            rest = await asyncio.wait_for(response.content.read(), 5)
        assert json.loads(events(rest)[-1])["error"]["code"] == "invalid_api_key"


async def test_a_key_made_a_moment_ago_waits_for_its_revision(tmp_path):
    async with FakeProvider() as fake, gateway(tmp_path, propagation_wait_s=5.0, api_keys=[], **at(fake)) as gw:
        gw.deps.holder.connected = True
        task = asyncio.create_task(gw.send())
        async with asyncio.timeout(5):
            while not gw.deps.holder._swapped._waiters:
                await asyncio.sleep(0.005)
        gw.deps.holder.swap(kit.snapshot(2, **at(fake)))
        assert (await task)[0] == 200
        assert gw.recorded.last.bundle == "1.2"


async def test_without_the_control_plane_nothing_is_waited_for(tmp_path):
    async with gateway(tmp_path, propagation_wait_s=60.0, api_keys=[]) as gw:
        status, _, _ = await asyncio.wait_for(gw.send(), 5)
        assert status == 401


@pytest.mark.parametrize(("policy", "state", "shipped", "kept"), [
    ("full", "stored", True, False), ("metrics", "none", False, False), ("gateway", "gateway", False, True),
])  # fmt: skip
async def test_the_payload_policy_decides_what_becomes_of_bodies(tmp_path, policy, state, shipped, kept):
    workspaces = [WorkspaceRow(kit.WS, kit.ORG, "ws", "W", payload=policy)]
    async with FakeProvider() as fake, gateway(tmp_path, workspaces=workspaces, **at(fake)) as gw:
        await gw.send()
        record, ships, keeps = gw.recorded.items[-1]
        assert (record.body_state, ships is not None, keeps is not None) == (state, shipped, kept)
        assert (record.in_preview is None) == (policy == "metrics")
        if policy == "metrics":
            assert "hello there" not in str(record)


async def test_debug_false_keeps_no_body(tmp_path):
    async with FakeProvider() as fake, gateway(tmp_path, **at(fake)) as gw:
        await gw.send(headers={"x-portkey-debug": "false"})
        assert gw.recorded.items[-1][1] is None
        assert gw.recorded.last.in_preview is None


async def test_an_unknown_price_is_unpriced_and_not_zero(tmp_path):
    async with FakeProvider() as fake, gateway(tmp_path, **at(fake)) as gw:
        await gw.send({**CHAT, "model": "@main/unheard-of"})
        assert (gw.recorded.last.cost_nano, gw.recorded.last.price_status) == (None, "unpriced")


async def test_a_defect_is_a_500_without_detail(tmp_path, monkeypatch):
    async def broken(*_args):
        raise RuntimeError("secret detail")

    monkeypatch.setattr("data_plane.http.serve.answer", broken)
    async with gateway(tmp_path) as gw:
        status, body, headers = await gw.send()
        assert (status, orjson.loads(body)["message"]) == (500, "Something went wrong")
        assert b"secret detail" not in body
        assert headers["x-portkey-gateway-exception"] == "true"


async def test_a_provider_key_is_sent_to_no_other_host_than_those_it_was_sealed_with(tmp_path):
    async with FakeProvider() as fake, FakeProvider() as evil:
        secret = kit.sealed_row(key=fake.key, hosts=("api.openai.com",))
        rows = {"virtual_keys": [kit.virtual_key(custom_host=evil.base_url)], "secrets": [secret]}
        async with gateway(tmp_path, **rows) as gw:
            status, body, _ = await gw.send()
            assert (status, orjson.loads(body)["error"]["code"]) == (403, "forbidden")
            assert evil.seen == []


async def test_the_callers_own_key_goes_to_the_provider_it_names(tmp_path):
    async with FakeProvider() as fake, gateway(tmp_path) as gw:
        headers = {
            "x-portkey-provider": "openai",
            "authorization": f"Bearer {fake.key}",
            "x-portkey-custom-host": fake.base_url,
        }
        status, _, _ = await gw.send({**CHAT, "model": "gpt-4o"}, headers)
        assert status == 200


async def test_an_anthropic_provider_serves_the_same_chat(tmp_path):
    async with FakeProvider(kind="anthropic") as fake, gateway(tmp_path, **at(fake)) as gw:
        status, body, _ = await gw.send({**CHAT, "model": "@main/claude-sonnet-4-5"})
        assert (status, orjson.loads(body)["object"]) == (200, "chat.completion"), body
        status, body, _ = await gw.send({**STREAM, "model": "@main/claude-sonnet-4-5"})
        assert events(body)[-1] == "[DONE]"
        assert gw.recorded.last.tok_out > 0


def test_a_refusal_outside_of_inference_carries_the_usual_headers():
    response = refusal(NotFound("no"))
    assert response.status == 404
    assert response.headers["x-portkey-trace-id"]


# a caller that hangs up, at each stage


class Caller:
    """A raw connection to a gateway; `leave` resets it."""

    def __init__(self, gw):
        self.gw = gw

    async def begin(self, path, *headers, body=b""):
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", int(self.gw.url.rpartition(":")[2]))
        key = f"x-portkey-api-key: {kit.KEY_TEXT}"
        head = "\r\n".join([f"POST {path} HTTP/1.1", "host: x", key, *headers, "", ""])
        self.writer.write(head.encode() + body)

    async def leave(self):
        self.writer.transport.abort()

    async def recorded(self):
        """Return the one record, when nothing runs any more."""
        async with asyncio.timeout(5):
            while not self.gw.recorded.items or self.gw.deps.streams:
                await asyncio.sleep(0.002)
        (item,) = self.gw.recorded.items
        return item[0]


async def settled(condition):
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.002)


async def test_a_caller_that_leaves_before_its_body_is_whole_is_nobody_and_leaves_no_task(tmp_path):
    async with FakeProvider() as fake, gateway(tmp_path, **at(fake)) as gw:
        before = len(asyncio.all_tasks())
        caller = Caller(gw)
        await caller.begin("/v1/chat/completions", "content-length: 100", body=b'{"model"')
        await settled(lambda: len(asyncio.all_tasks()) > before)
        await caller.leave()
        await settled(lambda: len(asyncio.all_tasks()) <= before)
        assert (fake.seen, gw.recorded.items) == ([], [])


async def test_a_caller_that_leaves_between_two_tries_is_recorded_once_and_not_tried_for(tmp_path, monkeypatch):
    monkeypatch.setattr("shared.routing.walk.BACKOFF_S", (3600.0,) * 5)
    async with FakeProvider([Reply(500, json={})]) as fake, gateway(tmp_path, **at(fake)) as gw:
        caller, body = Caller(gw), json.dumps(CHAT).encode()
        await caller.begin(
            "/v1/chat/completions", "x-portkey-retry-count: 1", f"content-length: {len(body)}", body=body
        )
        await settled(lambda: fake.seen)
        await caller.leave()
        record = await caller.recorded()
        assert (record.status, record.error_type, len(record.attempts), len(fake.seen)) == (
            499,
            "client_closed_request",
            1,
            1,
        )


class Taking(UploadServer):
    """A provider that takes uploads, as a virtual key can name it."""

    kind, key = "openai", "sk-of-taking-provider"

    @property
    def base_url(self):
        return f"http://127.0.0.1:{self.port}/v1"


FILE = ("content-type: application/octet-stream", "x-portkey-provider: @main")


async def test_a_caller_that_leaves_in_the_middle_of_an_upload_ends_it_at_the_provider(tmp_path):
    async with Taking() as server, gateway(tmp_path, **at(server)) as gw:
        caller = Caller(gw)
        config = 'x-portkey-config: {"virtual_key":"main","retry":{"attempts":5,"on_status_codes":[400,500,502]}}'
        await caller.begin("/v1/files", FILE[0], config, "content-length: 100000", body=b"x" * 1000)
        await asyncio.wait_for(server.began.wait(), 5)
        await caller.leave()
        await asyncio.wait_for(server.lost.wait(), 5)
        record = await caller.recorded()
        assert (record.status, server.connections, server.bodies) == (499, 1, [])


async def test_an_upload_that_does_not_go_on_is_sent_to_nobody_else(tmp_path, monkeypatch):
    monkeypatch.setattr("data_plane.http.serve.upload_of", partial(upload_of, silence_s=0.05))
    async with Taking() as server, FakeProvider() as second, gateway(tmp_path, **at(server, second)) as gw:
        config = {"strategy": {"mode": "fallback"}, "targets": [{"virtual_key": "main"}, {"virtual_key": "second"}]}
        caller = Caller(gw)
        await caller.begin(
            "/v1/files", FILE[0], f"x-portkey-config: {json.dumps(config)}", "transfer-encoding: chunked",
            body=b"4\r\nhalf\r\n",
        )  # fmt: skip
        await asyncio.wait_for(server.began.wait(), 5)
        status = await asyncio.wait_for(caller.reader.readline(), 5)
        assert b" 400 " in status
        assert (server.bodies, second.seen) == ([], [])
        assert [attempt.status for attempt in (await caller.recorded()).attempts] == [400]
        await caller.leave()


async def test_an_upload_that_was_not_begun_may_go_to_the_next(tmp_path):
    async with FakeProvider([Reply(json={"id": "f"})]) as second, gateway(tmp_path, **at(Closed(), second)) as gw:
        config = {"strategy": {"mode": "fallback"}, "targets": [{"virtual_key": "main"}, {"virtual_key": "second"}]}
        headers = {"content-type": "application/octet-stream", "x-portkey-config": json.dumps(config)}
        status, _, answered = await gw.send(raw=b"whole", headers=headers, path="/v1/files")
        assert (status, second.seen[0].body) == (200, b"whole")
        assert answered["x-portkey-last-used-option-index"] == "config.targets[1]"
        assert (gw.recorded.last.retry_n, gw.recorded.last.fallback_n) == (0, 1)


class Closed:
    """An address at which nobody listens."""

    kind, key, base_url = "openai", "sk-of-nobody", "http://127.0.0.1:9/v1"


RELAYED = [
    ("/v1/proxy/chat/completions", ()), ("/v1/chat/completions", ("x-portkey-nitro-mode: true",)), ("/v1/other", ()),
]  # fmt: skip


@pytest.mark.parametrize(("path", "headers"), RELAYED)
async def test_a_caller_that_leaves_an_unread_answer_ends_it_at_the_provider(tmp_path, path, headers):
    async with (
        FakeProvider([Reply(sse=[chunk("a"), chunk("b")], hang_after=1)]) as fake,
        gateway(tmp_path, **at(fake)) as gw,
    ):
        caller, body = Caller(gw), json.dumps({**STREAM, "model": "gpt-4o"}).encode()
        await caller.begin(
            path, FILE[1], *headers, "content-type: application/json", f"content-length: {len(body)}", body=body
        )
        await asyncio.wait_for(caller.reader.readuntil(b'"a"'), 5)
        assert len(gw.deps.streams) == 1
        await caller.leave()
        record = await caller.recorded()
        assert (record.status, record.error_type, len(record.attempts)) == (200, "client_closed_request", 1)


@pytest.mark.parametrize(("path", "headers"), RELAYED)
async def test_a_revoked_callers_unread_answer_is_cut(tmp_path, path, headers):
    async with (
        FakeProvider([Reply(sse=[chunk("a"), chunk("b")], hang_after=1)]) as fake,
        gateway(tmp_path, **at(fake)) as gw,
    ):
        caller, body = Caller(gw), json.dumps({**STREAM, "model": "gpt-4o"}).encode()
        await caller.begin(
            path, FILE[1], *headers, "content-type: application/json", f"content-length: {len(body)}", body=body
        )
        await asyncio.wait_for(caller.reader.readuntil(b'"a"'), 5)
        (relay,) = gw.deps.streams
        assert relay.is_denied(frozenset({f"k:{kit.KEY_ID}"}))
        relay.refuse()
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(caller.reader.read(), 5)
        assert (await caller.recorded()).error_type == "invalid_api_key"


async def test_a_defect_in_the_middle_of_an_answer_is_on_its_record(tmp_path, monkeypatch):
    async def broken(*_args):
        raise RuntimeError("broken")

    async with FakeProvider() as fake, gateway(tmp_path, **at(fake)) as gw:
        monkeypatch.setattr("data_plane.http.serve.write", broken)
        await gw.send()
        assert (gw.recorded.last.error_class, gw.recorded.last.error_type) == ("Defect", "internal_error")


async def test_an_upload_that_takes_too_long_is_sent_to_nobody_else(tmp_path):
    async with Taking() as server, FakeProvider() as second, gateway(tmp_path, **at(server, second)) as gw:
        config = {"strategy": {"mode": "fallback"}, "targets": [{"virtual_key": "main"}, {"virtual_key": "second"}]}
        caller = Caller(gw)
        await caller.begin(
            "/v1/files", FILE[0], f"x-portkey-config: {json.dumps(config)}", "x-portkey-request-timeout: 100",
            "content-length: 10", body=b"half",
        )  # fmt: skip
        assert b" 408 " in await asyncio.wait_for(caller.reader.readline(), 5)
        assert [attempt.status for attempt in (await caller.recorded()).attempts] == [408]
        assert second.seen == []
        await caller.leave()


async def test_nitro_without_a_body_passes_none_through(tmp_path):
    async with FakeProvider() as fake, gateway(tmp_path, **at(fake)) as gw:
        headers = {"x-portkey-nitro-mode": "true", "x-portkey-provider": "@main"}
        status, body, _ = await gw.send(raw=b"", headers=headers)
        assert (status, orjson.loads(body)["error"]["code"], fake.seen) == (400, "invalid_json", [])
