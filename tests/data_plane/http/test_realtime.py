"""A realtime session from socket to socket: the real application, a strict provider, nothing mocked between."""

import asyncio
import json
from collections import deque

import aiohttp
import msgspec
import orjson
import pytest
from aiohttp import WSMsgType

from data_plane.core.duplex import SessionLimits
from data_plane.upstream.sockets import Sockets
from shared.schema.rows import WorkspaceRow
from tests.data_plane import kit
from tests.data_plane.gateway_kit import TRUSTED, at, gateway
from tests.data_plane.state_kit import until
from tests.fakes.provider import FakeProvider
from tests.fakes.realtime import USAGE, FakeRealtime

MODEL = "@main/gpt-realtime"
AUTH = {"authorization": f"Bearer {kit.KEY_TEXT}"}
HANDSHAKE = {
    "upgrade": "websocket", "connection": "upgrade", "sec-websocket-version": "13",
    "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
}  # fmt: skip


def fallback(*targets):
    return json.dumps({"strategy": {"mode": "fallback"}, "targets": list(targets)})


def connect(gw, headers=None, model=MODEL, protocols=(), **query):
    params = {**({"model": model} if model else {}), **query}
    return gw.session.ws_connect(
        f"{gw.url}/v1/realtime", params=params, headers=AUTH if headers is None else headers, protocols=protocols,
        max_msg_size=64 * 1024 * 1024, autoclose=False,
    )  # fmt: skip


async def refused(gw, headers=None, model=MODEL, **query):
    """Return (status, body, headers) of a handshake that is answered with a body."""
    params = {**({"model": model} if model else {}), **query}
    async with gw.session.get(
        f"{gw.url}/v1/realtime", params=params, headers={**HANDSHAKE, **(AUTH if headers is None else headers)}
    ) as answer:
        return answer.status, orjson.loads(await answer.read()), answer.headers


async def hear(socket, kind=None):
    """Return the next event, or the next one of `kind`."""
    while True:
        message = await asyncio.wait_for(socket.receive(), 10)
        assert message.type is WSMsgType.TEXT, message
        event = json.loads(message.data)
        if kind is None or event["type"] == kind:
            return event


async def ending(socket):
    """Return (error event or None, close code, reason) of a session that is ended for its caller."""
    error = None
    while True:
        message = await asyncio.wait_for(socket.receive(), 10)
        if message.type is WSMsgType.TEXT:
            event = json.loads(message.data)
            error = event["error"] if event["type"] == "error" else error
        elif message.type is WSMsgType.CLOSE:
            await socket.close()
            return error, message.data, message.extra
        else:
            return error, socket.close_code, ""


async def record_of(gw):
    await until(lambda: gw.recorded.items)
    return gw.recorded.last


# a conversation


async def test_a_session_is_held_recorded_and_priced(tmp_path):
    async with FakeRealtime() as fake, gateway(tmp_path, **at(fake)) as gw:
        async with connect(gw) as socket:
            assert (await hear(socket))["session"]["model"] == "gpt-realtime"
            for _ in range(2):
                await socket.send_json({"type": "response.create"})
                deltas = [await hear(socket) for _ in range(3)]
                assert [event["delta"] for event in deltas] == ["0", "1", "2"]
                assert (await hear(socket))["response"]["usage"] == USAGE
            await socket.send_bytes(b"abc")
            assert (await socket.receive()).data == b"cba"
            await socket.send_json({"type": "input_audio_buffer.commit"})
            assert (await hear(socket))["transcript"] == "hi"
        record = await record_of(gw)
        assert (record.status, record.endpoint, record.method, record.url) == (101, "realtime", "GET", "/v1/realtime")
        assert (record.provider, record.virtual_key, record.stream) == ("openai", "main", True)
        assert (record.model_requested, record.model_served) == (MODEL, "gpt-realtime")
        assert (record.tok_in, record.tok_in_cache_read, record.tok_out) == (210, 60, 105)
        assert (record.price_status, record.cost_nano) == ("priced", 210 * 2000 + 105 * 8000)
        assert (record.error_type, len(record.attempts), len(gw.recorded.items)) == (None, 1, 1)
        assert (fake.seen[0].path, fake.seen[0].query) == ("/v1/realtime", {"model": "gpt-realtime"})
        assert fake.seen[0].headers["authorization"] == f"Bearer {fake.key}"
        assert (fake.seen[0].texts[0], fake.seen[0].binaries) == ('{"type": "response.create"}', [3])


@pytest.mark.parametrize(("provider", "below", "settings", "path", "query"), [
    ("azure-ai", "/models", {"azure_api_version": "2024-05-01-preview"}, "/openai/v1/realtime", {"model": "gpt-realtime"}),
    ("azure-ai", "", {}, "/openai/v1/realtime", {"model": "gpt-realtime"}),
    ("azure-openai", "/openai", {"azure_deployment_id": "my-rt"}, "/openai/v1/realtime", {"model": "my-rt"}),
    ("azure-openai", "/openai", {"azure_api_version": "2025-04-01-preview"}, "/openai/realtime",
     {"api-version": "2025-04-01-preview", "deployment": "gpt-realtime"}),
])  # fmt: skip
async def test_a_session_at_azure_is_opened_where_the_account_has_it(tmp_path, provider, below, settings, path, query):
    async with FakeRealtime() as fake:
        secret = kit.sealed_row("secret-main", key=fake.key, hosts=("127.0.0.1",))
        host = fake.base_url.removesuffix("/v1") + below
        row = kit.virtual_key("main", provider=provider, custom_host=host, secret=secret.id, settings=settings)
        async with gateway(tmp_path, virtual_keys=[row], secrets=[secret]) as gw:
            async with connect(gw) as socket:
                assert (await hear(socket))["type"] == "session.created"
                await socket.send_json({"type": "response.create"})
                await hear(socket, "response.done")
            record = await record_of(gw)
    assert (fake.seen[0].path, fake.seen[0].query, fake.seen[0].status) == (path, query, 101)
    assert (record.provider, record.status, record.tok_in, record.tok_out) == (provider, 101, 100, 50)


async def test_messages_are_relayed_unchanged_and_in_order(tmp_path):
    texts = [
        json.dumps({"type": "test.say", "text": text})
        for text in ("ü\u2028 ", '{"a" :  1}', "x" * 200_000, "", "no json")
    ]
    async with FakeRealtime() as fake, gateway(tmp_path, **at(fake)) as gw, connect(gw) as socket:
        await hear(socket)
        for text in texts:
            await socket.send_str(text)
        heard = [(await socket.receive()).data for _ in texts]
        assert heard == [json.loads(text)["text"] for text in texts]
        assert fake.seen[0].texts == [text[:1000] for text in texts]


async def test_the_records_body_is_the_address_and_no_message(tmp_path):
    sections = {"workspaces": [WorkspaceRow(kit.WS, kit.ORG, "ws-main", "Main", payload="full")]}
    async with FakeRealtime() as fake, gateway(tmp_path, **at(fake), **sections) as gw:
        async with connect(gw, {**AUTH, "x-portkey-metadata": '{"team":"a"}', "x-portkey-trace-id": "t-1"}) as socket:
            await hear(socket)
            await socket.send_json({"type": "response.create"})
            await hear(socket, "response.done")
        record = await record_of(gw)
        _, shipped, kept = gw.recorded.items[0]
        assert (orjson.loads(shipped["request"]), shipped["response"], kept) == ({"model": MODEL}, None, None)
        assert (record.metadata, record.trace_id) == ({"team": "a"}, "t-1")


# who calls, and what for


@pytest.mark.parametrize("headers", [
    {"authorization": f"Bearer {kit.KEY_TEXT}"}, {"x-portkey-api-key": kit.KEY_TEXT},
    {"x-portkey-api-key": kit.KEY_TEXT, "authorization": f"Bearer {kit.KEY_TEXT}"},
])  # fmt: skip
async def test_the_key_comes_in_a_header(tmp_path, headers):
    async with FakeRealtime() as fake, gateway(tmp_path, **at(fake)) as gw, connect(gw, headers) as socket:
        assert (await hear(socket))["type"] == "session.created"
        assert socket.protocol is None


async def test_a_browser_says_everything_in_its_subprotocols(tmp_path):
    protocols = (
        "realtime", f"openai-insecure-api-key.{kit.KEY_TEXT}", "openai-organization.org-9", "openai-project.proj-9",
        "openai-beta.realtime-v1",
    )  # fmt: skip
    async with FakeRealtime() as fake, gateway(tmp_path, **at(fake)) as gw:
        async with connect(gw, {}, protocols=protocols) as socket:
            await hear(socket)
            assert socket.protocol == "realtime"
        sent = fake.seen[0].headers
        assert (sent["openai-organization"], sent["openai-project"], sent["openai-beta"]) == (
            "org-9",
            "proj-9",
            "realtime=v1",
        )
        assert kit.KEY_TEXT not in str(sent)


async def test_the_callers_key_reaches_no_provider_whatever_is_forwarded(tmp_path):
    protocols = ("realtime", f"openai-insecure-api-key.{kit.KEY_TEXT}")
    names = "sec-websocket-protocol,authorization,x-mine,connection,upgrade,sec-websocket-key"
    headers = {"x-portkey-forward-headers": names, "x-mine": "ü", **AUTH}
    async with FakeRealtime() as fake, gateway(tmp_path, **at(fake)) as gw:
        async with connect(gw, headers, protocols=protocols) as socket:
            await hear(socket)
        assert kit.KEY_TEXT not in str(fake.seen[0].headers)
        assert fake.seen[0].headers["x-mine"] == "ü"


async def test_subprotocols_without_the_conversations_own_are_refused(tmp_path, caplog):
    async with gateway(tmp_path) as gw:
        status, body, _ = await refused(gw, {"sec-websocket-protocol": f"openai-insecure-api-key.{kit.KEY_TEXT}"})
        assert (status, body["message"]) == (400, "The subprotocols must include realtime.")
        assert kit.KEY_TEXT not in caplog.text


async def test_a_providers_own_key_may_come_with_the_request(tmp_path):
    async with FakeRealtime() as fake, gateway(tmp_path) as gw:
        headers = {
            "x-portkey-api-key": kit.KEY_TEXT, "authorization": f"Bearer {fake.key}", "x-portkey-provider": "openai",
            "x-portkey-custom-host": fake.base_url,
        }  # fmt: skip
        async with connect(gw, headers, model="gpt-realtime") as socket:
            assert (await hear(socket))["session"]["model"] == "gpt-realtime"


@pytest.mark.parametrize(("query", "asked"), [
    ({"intent": "transcription"}, {"intent": "transcription"}), ({"call_id": "rtc_1"}, {"call_id": "rtc_1", "model": "gpt-realtime"}),
    ({"voice": "x", "api-key": "k", "Model": "other", "deployment": "other"}, {"model": "gpt-realtime"}),
])  # fmt: skip
async def test_the_provider_is_told_what_the_session_is_and_nothing_else(tmp_path, query, asked):
    async with FakeRealtime() as fake, gateway(tmp_path, **at(fake)) as gw:
        async with connect(gw, **query) as socket:
            await hear(socket)
        assert fake.seen[0].query == asked


async def test_of_a_repeated_model_the_first_counts_for_the_check_and_for_the_provider(tmp_path):
    async with FakeRealtime() as fake:
        sections = at(fake)
        sections["virtual_keys"] = [
            msgspec.structs.replace(sections["virtual_keys"][0], models=frozenset({"gpt-realtime"}))
        ]
        async with gateway(tmp_path, **sections) as gw:
            async with gw.session.ws_connect(
                f"{gw.url}/v1/realtime?model={MODEL}&model=@main/dear", headers=AUTH
            ) as socket:
                await hear(socket)
            assert fake.seen[0].query == {"model": "gpt-realtime"}
            for model, query in (("@main/dear", {}), (MODEL, {"intent": "transcription"}), ("", {"call_id": "c"})):
                headers = {**AUTH, "x-portkey-provider": "@main"}
                assert (await refused(gw, headers, model=model, **query))[0] == 403
            assert len(fake.seen) == 1


# refusals before the session


@pytest.mark.parametrize(("headers", "model", "status", "code"), [
    ({}, MODEL, 401, "invalid_api_key"), ({"authorization": "Bearer gh-wrong"}, MODEL, 401, "invalid_api_key"),
    (None, "@nowhere/x", 400, "invalid_provider"), (None, "gpt-realtime", 400, "invalid_request"),
    ({**AUTH, "x-portkey-provider": "@main"}, "", 400, "invalid_request"), (None, "@main/" + "x" * 600, 400, "invalid_request"),
    ({**AUTH, "x-portkey-config": "pc-none"}, MODEL, 400, None),
    (None, "@main/%FF\ud83d", 404, "model_not_found"),
])  # fmt: skip
async def test_what_cannot_begin_is_refused_in_json(tmp_path, headers, model, status, code):
    async with FakeRealtime() as fake, gateway(tmp_path, **at(fake)) as gw:
        if "\ud83d" in model:
            model = "@main/no-\N{GRINNING FACE}"
        answered, body, sent = await refused(gw, headers, model=model)
        assert answered == status, body
        assert code is None or body["error"]["code"] == code
        assert sent["x-portkey-request-id"]
        assert not [session for session in fake.seen if session.status == 101]


async def test_a_key_without_the_scope_is_refused(tmp_path):
    async with gateway(tmp_path, api_keys=[kit.api_key(scopes=frozenset({"logs.view"}))]) as gw:
        assert (await refused(gw))[0] == 403


async def test_a_provider_without_sessions_says_so(tmp_path):
    async with FakeProvider(kind="anthropic") as fake, gateway(tmp_path, **at(fake)) as gw:
        status, body, _ = await refused(gw, model="@main/claude")
        assert (status, body["message"]) == (400, "realtime is not supported by anthropic")


async def test_a_request_that_is_no_handshake_is_told_what_the_endpoint_speaks(tmp_path):
    async with gateway(tmp_path) as gw:
        status, body, _ = await gw.get(f"/v1/realtime?model={MODEL}")
        assert (status, orjson.loads(body)["error"]["code"]) == (426, "upgrade_required")
        for broken in ({"sec-websocket-version": "1"}, {"sec-websocket-key": "short"}, {"connection": "close"}):
            async with gw.session.get(f"{gw.url}/v1/realtime", headers={**HANDSHAKE, **AUTH, **broken}) as answer:
                assert answer.status == 400, broken


@pytest.mark.parametrize(("method", "path", "status"), [
    ("POST", "/v1/realtime", 405), ("HEAD", "/v1/realtime", 405), ("POST", "/v1/realtime/sessions", 404),
    ("POST", "/v1/realtime/client_secrets", 404), ("GET", "/v1/realtime/", 404),
])  # fmt: skip
async def test_nothing_else_below_the_path_leads_to_a_provider(tmp_path, method, path, status):
    headers = {**AUTH, "x-portkey-provider": "@main"}
    async with (
        FakeRealtime() as fake,
        gateway(tmp_path, **at(fake)) as gw,
        gw.session.request(method, gw.url + path, headers=headers) as answer,
    ):
        assert (answer.status, fake.seen) == (status, [])


async def test_the_providers_refusal_is_passed_on_in_the_usual_words(tmp_path):
    async with FakeRealtime() as fake, gateway(tmp_path, **at(fake)) as gw:
        status, body, headers = await refused(gw, model="@main/no-such")
        assert (status, body["provider"], headers["x-portkey-provider"]) == (404, "openai", "openai")
        assert body["error"] == {
            "message": "openai error: The model does not exist.", "type": "invalid_request_error", "param": None,
            "code": "model_not_found",
        }  # fmt: skip
        record = await record_of(gw)
        assert (record.status, record.error_type, record.tok_in) == (404, "provider_error", 0)


async def test_a_refused_session_falls_back(tmp_path):
    async with FakeRealtime() as first, FakeRealtime() as second:
        sections = at(first, second)
        sections["secrets"][0] = kit.sealed_row("secret-main", key="wrong", hosts=("127.0.0.1",))
        config = fallback({"virtual_key": "main"}, {"virtual_key": "second", "override_params": {"model": "other"}})
        async with gateway(tmp_path, **sections) as gw:
            async with connect(gw, {**AUTH, "x-portkey-config": config}, model="gpt-realtime") as socket:
                assert (await hear(socket))["session"]["model"] == "other"
            record = await record_of(gw)
        assert [session.status for session in first.seen + second.seen] == [401, 101]
        assert [attempt.status for attempt in record.attempts] == [401, 200]
        assert (record.status, record.fallback_n, record.virtual_key) == (101, 1, "second")


async def test_a_provider_that_is_down_is_tried_again_and_then_told(tmp_path):
    async with FakeRealtime() as fake:
        sections = at(fake)
    config = json.dumps({"virtual_key": "main", "retry": {"attempts": 1, "on_status_codes": [502]}})
    async with gateway(tmp_path, **sections) as gw:
        status, body, headers = await refused(gw, {**AUTH, "x-portkey-config": config}, model="m")
        assert (status, body["error"]["code"], headers["x-portkey-retry-attempt-count"]) == (
            502,
            "upstream_unreachable",
            "-1",
        )
        assert len(gw.recorded.last.attempts) == 2


async def test_a_plan_goes_by_what_the_address_says(tmp_path):
    config = json.dumps({"strategy": {"mode": "conditional", "default": "b", "conditions": [
        {"query": {"params.model": {"$eq": "gpt-realtime"}}, "then": "a"}]},
        "targets": [{"name": "a", "virtual_key": "second"}, {"name": "b", "virtual_key": "main"}]})  # fmt: skip
    async with FakeRealtime() as first, FakeRealtime() as second, gateway(tmp_path, **at(first, second)) as gw:
        async with connect(gw, {**AUTH, "x-portkey-config": config}, model="gpt-realtime") as socket:
            await hear(socket)
        assert (len(first.seen), len(second.seen)) == (0, 1)


async def test_more_sessions_than_there_is_room_for_are_refused_until_one_ends(tmp_path):
    async with FakeRealtime() as fake, gateway(tmp_path, sockets=Sockets(TRUSTED, most=1), **at(fake)) as gw:
        async with connect(gw) as socket:
            await hear(socket)
            status, body, _ = await refused(gw)
            assert (status, body["error"]["code"]) == (503, "too_many_sessions")
            assert b"gatehouse_realtime_sessions 1.0" in (await gw.get("/metrics"))[1]
        await until(lambda: gw.deps.sockets.open_count == 0)
        async with connect(gw) as socket:
            assert (await hear(socket))["type"] == "session.created"
        for model in ("@main/no-such", "@main/no-other"):
            await until(lambda: gw.deps.sockets.open_count == 0)
            assert (await refused(gw, model=model))[0] == 404


# how it ends


@pytest.mark.parametrize(("code", "reason", "told"), [(1000, "", 1000), (4001, "thanks", 4001), (1001, "", 1001)])
async def test_the_callers_goodbye_reaches_the_provider(tmp_path, code, reason, told):
    async with FakeRealtime() as fake, gateway(tmp_path, **at(fake)) as gw:
        async with connect(gw) as socket:
            await hear(socket)
            await socket.close(code=code, message=reason.encode())
            assert socket.close_code == told
        await until(lambda: fake.seen[0].close_code is not None)
        assert (fake.seen[0].close_code, fake.seen[0].close_reason) == (told, reason)
        record = await record_of(gw)
        assert (record.status, record.error_class) == (101, None)


async def test_the_providers_goodbye_reaches_the_caller_behind_its_last_words(tmp_path):
    async with FakeRealtime() as fake, gateway(tmp_path, **at(fake)) as gw, connect(gw) as socket:
        await hear(socket)
        await socket.send_json({"type": "response.create"})
        await socket.send_json({"type": "test.close", "code": 4002, "reason": "enough"})
        await hear(socket, "response.done")
        assert await ending(socket) == (None, 4002, "enough")
        assert (await record_of(gw)).tok_in == 100


async def test_a_provider_that_breaks_off_is_told_as_an_error_and_not_as_an_end(tmp_path):
    async with FakeRealtime() as fake, gateway(tmp_path, **at(fake)) as gw, connect(gw) as socket:
        await hear(socket)
        await socket.send_json({"type": "response.create"})
        await hear(socket, "response.done")
        await socket.send_json({"type": "test.break"})
        error, code, reason = await ending(socket)
        assert (error["code"], code, reason) == ("upstream_broken", 1011, "The provider broke the session off.")
        record = await record_of(gw)
        assert (record.status, record.error_class, record.error_type) == (101, "UpstreamBroken", "upstream_broken")
        assert (record.tok_in, record.cost_nano) == (100, 100 * 2000 + 50 * 8000)


async def test_a_caller_that_vanishes_frees_the_provider_and_is_recorded(tmp_path):
    async with FakeRealtime() as fake, gateway(tmp_path, **at(fake)) as gw:
        async with connect(gw) as socket:
            await hear(socket)
            await socket.send_json({"type": "response.create"})
            await hear(socket, "response.done")
            socket._response.connection.transport.abort()
            await until(lambda: fake.seen[0].close_code is not None)
        assert fake.seen[0].close_code == 1001
        record = await record_of(gw)
        assert (record.status, record.error_class, record.tok_in) == (101, "ClientClosed", 100)
        assert (gw.deps.streams, gw.deps.sockets.open_count) == (set(), 0)


@pytest.mark.parametrize("denied", [f"k:{kit.KEY_ID}", f"ws:{kit.WS}", "vk:uid-main"])
async def test_a_revocation_ends_the_session(tmp_path, denied):
    async with FakeRealtime() as fake, gateway(tmp_path, **at(fake)) as gw, connect(gw) as socket:
        await hear(socket)
        session = next(iter(gw.deps.streams))
        assert not session.is_denied(frozenset({"k:another", "vk:another"}))
        assert session.is_denied(frozenset({denied}))
        session.refuse()
        error, code, _ = await ending(socket)
        assert (error["code"], code) == ("invalid_api_key", 1008)
        assert (await record_of(gw)).error_type == "invalid_api_key"


async def test_a_session_whose_key_or_provider_is_gone_from_the_configuration_is_an_orphan(tmp_path):
    async with FakeRealtime() as fake, gateway(tmp_path, **at(fake)) as gw, connect(gw) as socket:
        await hear(socket)
        session = next(iter(gw.deps.streams))
        sections = at(fake)
        again = [msgspec.structs.replace(sections["virtual_keys"][0], uid="uid-another")]
        assert not session.is_orphan(kit.snapshot(2, **sections))
        assert session.is_orphan(kit.snapshot(2, **{**sections, "virtual_keys": []}))
        assert session.is_orphan(kit.snapshot(2, **{**sections, "virtual_keys": again}))
        assert session.is_orphan(kit.snapshot(2, **sections, api_keys=[]))


@pytest.mark.parametrize(("limits", "code"), [
    (SessionLimits(idle_s=0.2), "session_idle"), (SessionLimits(longest_s=0.2), "session_expired"),
])  # fmt: skip
async def test_a_session_that_is_too_quiet_or_too_long_is_ended_with_a_word(tmp_path, limits, code):
    async with (
        FakeRealtime() as fake,
        gateway(tmp_path, session_limits=limits, **at(fake)) as gw,
        connect(gw) as socket,
    ):
        error, told, _ = await ending(socket)
        assert (error["code"], told) == (code, 1001)
        assert (await record_of(gw)).error_type == code


async def test_a_stopping_gateway_says_goodbye(tmp_path):
    async with FakeRealtime() as fake, gateway(tmp_path, **at(fake)) as gw, connect(gw) as socket:
        await hear(socket)
        next(iter(gw.deps.streams)).drain()
        error, code, _ = await ending(socket)
        assert (error["code"], code) == ("draining", 1001)


# bounds


async def test_a_message_that_is_too_large_ends_the_session(tmp_path):
    limits, sockets = SessionLimits(max_message_bytes=1000), Sockets(TRUSTED, max_message_bytes=1000)
    async with (
        FakeRealtime() as fake,
        gateway(tmp_path, session_limits=limits, sockets=sockets, **at(fake)) as gw,
        connect(gw) as socket,
    ):
        await hear(socket)
        await socket.send_bytes(b"x" * 1000)
        assert (await socket.receive()).data == b"x" * 1000
        await socket.send_bytes(b"x" * 1001)
        error, code, reason = await ending(socket)
        assert (error["code"], code, reason) == ("body_too_large", 1009, "A message of the caller was too large.")
        assert fake.seen[0].binaries == [1000]
        record = await record_of(gw)
        assert (record.status, record.error_type) == (101, "body_too_large")


async def test_a_message_that_is_much_too_large_is_not_even_read(tmp_path):
    limits = SessionLimits(max_message_bytes=1000)
    async with (
        FakeRealtime() as fake,
        gateway(tmp_path, session_limits=limits, **at(fake)) as gw,
        connect(gw) as socket,
    ):
        await hear(socket)
        await socket.send_bytes(b"x" * 3000)
        assert (await ending(socket))[1] == 1009
        record = await record_of(gw)
        assert (record.status, record.error_type, fake.seen[0].binaries) == (101, "body_too_large", [])


async def test_an_answer_that_is_too_large_ends_the_session(tmp_path):
    sockets = Sockets(TRUSTED, max_message_bytes=1000)
    async with FakeRealtime() as fake, gateway(tmp_path, sockets=sockets, **at(fake)) as gw, connect(gw) as socket:
        await hear(socket)
        await socket.send_json({"type": "test.flood", "count": 1, "bytes": 2000})
        error, code, _ = await ending(socket)
        assert (error["code"], code) == ("upstream_broken", 1011)


async def test_a_caller_that_takes_nothing_holds_the_provider_up(tmp_path):
    async with FakeRealtime() as fake, gateway(tmp_path, **at(fake)) as gw, connect(gw) as socket:
        await hear(socket)
        await socket.send_json({"type": "test.flood", "count": 3000, "bytes": 100_000})
        counts = deque(maxlen=50)

        def stands_still():
            counts.append(fake.seen[0].flooded)
            return len(counts) == 50 and counts[0] == counts[-1] > 0

        await until(stands_still)
        # What is under way fills the buffers of the system, and next to nothing of the gateway's memory.
        assert counts[-1] * 100_000 < 60_000_000
        heard = [await hear(socket) for _ in range(3000)]
        assert [event["event_id"] for event in heard] == [f"event_{number}" for number in range(3000)]


# signs of life


async def test_either_side_that_gives_no_sign_of_life_is_gone(tmp_path):
    limits = SessionLimits(heartbeat_s=0.1)
    async with FakeRealtime() as fake, gateway(tmp_path, session_limits=limits, **at(fake)) as gw:
        async with connect(gw) as socket:
            await hear(socket)
            await socket.send_json({"type": "test.deaf"})
            error, code, _ = await ending(socket)
            assert (error["code"], code) == ("upstream_broken", 1011)
        async with connect(gw) as socket:
            # The caller does not read, so it answers no ping.
            await until(lambda: len(gw.recorded.items) == 2)
        assert gw.recorded.last.error_class == "CallerGone"


async def test_both_sides_that_are_quiet_but_alive_stay(tmp_path):
    limits = SessionLimits(heartbeat_s=0.05)
    async with (
        FakeRealtime() as fake,
        gateway(tmp_path, session_limits=limits, **at(fake)) as gw,
        connect(gw) as socket,
    ):
        await hear(socket)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(socket.receive(), 0.5)
        session = next(iter(gw.deps.streams))
        assert session._provider.heard >= 3


async def test_pings_of_both_sides_are_answered(tmp_path):
    async with (
        FakeRealtime() as fake,
        gateway(tmp_path, **at(fake)) as gw,
        gw.session.ws_connect(f"{gw.url}/v1/realtime?model={MODEL}", headers=AUTH, autoping=False) as socket,
    ):
        await hear(socket)
        await socket.ping(b"are you there")
        assert await socket.receive() == (WSMsgType.PONG, b"are you there", "")


async def test_a_text_that_is_none_is_the_providers_to_refuse(tmp_path):
    async with FakeRealtime() as fake, gateway(tmp_path, **at(fake)) as gw, connect(gw) as socket:
        await hear(socket)
        await socket.send_frame(b"\xff\xfe", WSMsgType.TEXT)
        error, code, _ = await ending(socket)
        assert (error, code) == (None, 1007)


async def test_a_redirect_is_not_followed(tmp_path):
    async with FakeRealtime() as fake:

        async def away(_request):
            raise aiohttp.web.HTTPTemporaryRedirect(f"{fake.base_url}/realtime?model=m")

        app = aiohttp.web.Application()
        app.router.add_get("/{path:.*}", away)
        runner = aiohttp.web.AppRunner(app)
        await runner.setup()
        site = aiohttp.web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        sections = at(fake)
        port = runner.addresses[0][1]
        sections["virtual_keys"] = [
            msgspec.structs.replace(sections["virtual_keys"][0], custom_host=f"http://127.0.0.1:{port}/v1")
        ]
        async with gateway(tmp_path, **sections) as gw:
            status, body, headers = await refused(gw)
            assert (status, body["error"]["code"], fake.seen) == (502, "upstream_invalid", [])
            assert "location" not in headers
        await runner.cleanup()
