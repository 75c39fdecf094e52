"""Each documented header, sent as clients send it: what it does can be seen, and none of it reaches a provider."""

import asyncio
import json

import msgspec
import orjson
import pytest

from shared import wire
from shared.schema.target_settings import SETTING_HEADERS
from tests.data_plane import kit
from tests.data_plane.gateway_kit import CHAT, STREAM, at, gateway
from tests.fakes.provider import FakeProvider, Reply

PLAIN = {**CHAT, "model": "gpt-4o"}
ERROR = Reply(500, json={"error": {"message": "no"}})


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr("shared.routing.walk.BACKOFF_S", (0.0,) * 5)


async def sent(tmp_path, headers, *, script=(), body=CHAT, key=kit.KEY_TEXT, **sections):
    """Send one chat; return (status, body, headers, what the provider saw, record)."""
    async with (
        FakeProvider(script) as fake, FakeProvider() as second,
        gateway(tmp_path, **{**at(fake, second), **sections}) as gw,
    ):  # fmt: skip
        status, answered, answer_headers = await gw.send(body, headers, key=key)
        return status, answered, answer_headers, fake.seen, gw.recorded.last if gw.recorded.items else None


# the key


@pytest.mark.parametrize("headers", [
    {"x-portkey-api-key": kit.KEY_TEXT}, {"authorization": f"Bearer {kit.KEY_TEXT}"}, {"x-api-key": kit.KEY_TEXT},
])  # fmt: skip
async def test_the_gateways_key_comes_in_any_of_its_headers(tmp_path, headers):
    status, _, _, seen, _ = await sent(tmp_path, headers, key=None)
    assert status == 200
    assert kit.KEY_TEXT not in str(seen[0].headers)


async def test_beside_the_gateways_key_authorization_is_the_providers(tmp_path):
    async with FakeProvider([Reply(json={"choices": [], "model": "m"})]) as fake, gateway(tmp_path) as gw:
        headers = {
            "authorization": "Bearer sk-of-the-caller", "x-portkey-provider": "openai",
            "x-portkey-custom-host": fake.base_url,
        }  # fmt: skip
        assert (await gw.send(PLAIN, headers))[0] == 200
        assert fake.seen[0].headers["authorization"] == "Bearer sk-of-the-caller"


# routing


@pytest.mark.parametrize("headers", [
    {"x-portkey-provider": "@main"}, {"X-PORTKEY-PROVIDER": "@main"}, {"x-portkey-virtual-key": "main"},
    {"x-portkey-config": "pc-1"}, {"x-portkey-config": '{"virtual_key":"main"}'},
])  # fmt: skip
async def test_a_provider_is_named_by_header(tmp_path, headers):
    configs = [kit.config("pc-1", {"provider": "@main"})]
    status, _, answered, _, _ = await sent(tmp_path, headers, body=PLAIN, configs=configs)
    assert (status, answered["x-portkey-provider"]) == (200, "openai")


async def test_a_timeout_is_told_in_the_contracts_words(tmp_path):
    status, body, headers, _, _ = await sent(tmp_path, {"x-portkey-request-timeout": "40"}, script=[Reply(hang=True)])
    assert (status, orjson.loads(body)) == (408, {"error": {
        "message": "Request exceeded the timeout sent in the request: 40ms", "type": "timeout_error", "param": None, "code": None,
    }})  # fmt: skip
    assert headers["x-portkey-retry-attempt-count"] == "0"


async def test_retries_are_asked_for_by_header(tmp_path):
    status, _, headers, seen, record = await sent(tmp_path, {"x-portkey-retry-count": "2"}, script=[ERROR, ERROR])
    assert (status, headers["x-portkey-retry-attempt-count"], len(seen)) == (200, "2", 3)
    assert record.retry_n == 2


async def test_retries_that_do_not_help_are_minus_one(tmp_path):
    status, _, headers, _, _ = await sent(tmp_path, {"x-portkey-retry-count": "1"}, script=[ERROR, ERROR])
    assert (status, headers["x-portkey-retry-attempt-count"]) == (500, "-1")


async def test_fallbacks_are_asked_for_by_header(tmp_path):
    fallbacks = json.dumps([{"model": "@second/gpt-4o-mini", "on_status_codes": [500]}])
    status, body, headers, _, record = await sent(tmp_path, {"x-portkey-fallbacks": fallbacks}, script=[ERROR])
    assert (status, orjson.loads(body)["model"]) == (200, "gpt-4o-mini")
    assert headers["x-portkey-last-used-option-index"] == "fallbacks[0]"
    assert record.fallback_n == 1


async def test_a_fallback_without_a_slug_stays_with_the_provider(tmp_path):
    status, body, _, seen, _ = await sent(
        tmp_path, {"x-portkey-fallbacks": '[{"model":"gpt-4o-mini"}]'}, script=[ERROR]
    )
    assert (status, orjson.loads(body)["model"], len(seen)) == (200, "gpt-4o-mini", 2)


async def test_a_fallback_waits_for_its_statuses(tmp_path):
    fallbacks = '[{"model":"gpt-4o-mini","on_status_codes":[429]}]'
    status, _, _, seen, _ = await sent(tmp_path, {"x-portkey-fallbacks": fallbacks}, script=[ERROR])
    assert (status, len(seen)) == (500, 1)


@pytest.mark.parametrize("mode", ["simple", "semantic"])
async def test_a_cache_is_a_clear_refusal_until_there_is_one(tmp_path, mode):
    status, body, _, seen, _ = await sent(tmp_path, {"x-portkey-cache": mode})
    assert (status, seen) == (400, [])
    assert "not available in this version" in orjson.loads(body)["message"]


@pytest.mark.parametrize("name", ["cache-force-refresh", "cache-namespace"])
async def test_without_a_cache_its_other_headers_change_nothing(tmp_path, name):
    status, _, headers, _, _ = await sent(tmp_path, {f"x-portkey-{name}": "true"})
    assert (status, headers["x-portkey-cache-status"]) == (200, "DISABLED")


# what providers get


@pytest.mark.parametrize("names", ["x-mine, X-Other", '["x-mine","x-other"]'])
async def test_headers_are_forwarded_by_name(tmp_path, names):
    headers = {"x-portkey-forward-headers": names, "x-mine": "1", "x-other": "2", "x-third": "3"}
    _, _, _, seen, _ = await sent(tmp_path, headers)
    assert {name: seen[0].headers.get(name) for name in ("x-mine", "x-other", "x-third")} == {
        "x-mine": "1", "x-other": "2", "x-third": None,
    }  # fmt: skip


async def test_the_header_that_forwards_cannot_forward_itself(tmp_path):
    status, body, _, _, _ = await sent(tmp_path, {"x-portkey-forward-headers": "x-portkey-forward-headers"})
    assert (status, orjson.loads(body)["message"]) == (
        400, "forward_headers must not contain the 'x-portkey-forward-headers' header",
    )  # fmt: skip


DOCUMENTED = sorted({
    *(value for name, value in vars(wire).items() if isinstance(value, str) and value.startswith("x-portkey-") and name != "PREFIX"),
    *SETTING_HEADERS,
    *(f"x-portkey-{name}" for name in (
        "cache-force-refresh", "cache-namespace", "sensitive-headers", "fetch-integrated-models", "models-endpoint", "beta", "mode",
        "gateway-transport", "default-input-guardrails", "default-output-guardrails",
    )),
})  # fmt: skip
#: Headers whose value means something else than a text.
VALUES = {
    wire.API_KEY: kit.KEY_TEXT, wire.CONFIG: '{"virtual_key":"main"}', wire.PROVIDER: "@main", wire.VIRTUAL_KEY: "main",
    wire.METADATA: '{"a":"b"}', wire.REQUEST_TIMEOUT: "5000", wire.DEBUG: "False", wire.STRICT: "True", wire.RETRIES: "1",
    wire.FALLBACKS: "[]", wire.NITRO_MODE: "false", wire.CACHE: "",
}  # fmt: skip


@pytest.mark.parametrize("name", [name for name in DOCUMENTED if name != wire.CUSTOM_HOST])
async def test_a_documented_header_is_accepted_and_stays_here(tmp_path, name):
    status, body, _, seen, _ = await sent(tmp_path, {name: VALUES.get(name, "some-text")})
    assert status == 200, body
    assert not [header for header in seen[0].headers if header.startswith("x-portkey-")]


@pytest.mark.parametrize("header", ["openai-organization", "openai-project", "openai-beta"])
@pytest.mark.parametrize("prefix", ["", "x-portkey-"])
async def test_what_a_provider_knows_reaches_it_with_and_without_the_prefix(tmp_path, header, prefix):
    _, _, _, seen, _ = await sent(tmp_path, {prefix + header: "value-1"})
    assert seen[0].headers[header] == "value-1"


# what is recorded


@pytest.mark.parametrize(("text", "kept"), [("false", False), ("False", False), ("true", True), ("True", True)])
async def test_do_not_track_keeps_no_bodies(tmp_path, text, kept):
    async with FakeProvider() as fake, gateway(tmp_path, **at(fake)) as gw:
        await gw.send(CHAT, {"x-portkey-debug": text})
        record, shipped, _ = gw.recorded.items[-1]
    assert (shipped is not None, record.in_preview is not None) == (kept, kept)


@pytest.mark.parametrize(("text", "metadata"), [
    ('{"team":"a","n":7,"deep":{"x":1},"none":null}', {"team": "a", "n": "7", "deep": '{"x":1}'}), ("{nope", {}), ("[1]", {}),
    (json.dumps({"long": "x" * 300}), {"long": "x" * 128}),
])  # fmt: skip
async def test_metadata_is_recorded_as_text(tmp_path, text, metadata):
    record = (await sent(tmp_path, {"x-portkey-metadata": text}))[4]
    assert record.metadata == metadata


async def test_the_openai_user_is_the_metadatas_user_unless_it_says_another(tmp_path):
    body = {**CHAT, "user": "u1"}
    assert (await sent(tmp_path, {}, body=body))[4].metadata == {"_user": "u1"}
    assert (await sent(tmp_path, {"x-portkey-metadata": '{"_user":"u2"}'}, body=body))[4].user_ref == "u2"


async def test_ids_of_a_trace_are_kept_and_answered(tmp_path):
    headers = {
        "x-portkey-trace-id": "t-1", "x-portkey-span-id": "s-1", "x-portkey-parent-span-id": "p-1", "x-portkey-span-name": "step one",
    }  # fmt: skip
    _, _, answered, _, record = await sent(tmp_path, headers)
    assert answered["x-portkey-trace-id"] == "t-1"
    assert (record.trace_id, record.span_id, record.parent_span_id, record.span_name) == (
        "t-1",
        "s-1",
        "p-1",
        "step one",
    )


async def test_ids_of_a_trace_may_come_in_the_metadata(tmp_path):
    text = json.dumps({"traceId": "t-2", "spanId": "s-2", "parentSpanId": "p-2", "spanName": "n"})
    _, _, answered, _, record = await sent(tmp_path, {"x-portkey-metadata": text})
    assert (answered["x-portkey-trace-id"], record.span_id, record.parent_span_id, record.span_name) == (
        "t-2",
        "s-2",
        "p-2",
        "n",
    )


async def test_w3c_headers_place_the_request_and_go_on_to_the_provider(tmp_path):
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = {
        "traceparent": parent,
        "tracestate": "v=1",
        "baggage": "team=a%20b,plan=free",
        "x-portkey-metadata": '{"plan":"paid"}',
    }
    _, _, answered, seen, record = await sent(tmp_path, headers)
    assert answered["x-portkey-trace-id"] == "0af7651916cd43dd8448eb211c80319c"
    assert (record.parent_span_id, record.span_name) == ("b7ad6b7169203331", "POST /v1/chat/completions")
    assert record.metadata == {"team": "a b", "plan": "paid"}
    assert seen[0].headers["traceparent"] == f"00-{record.trace_id}-{record.span_id}-01"
    assert (seen[0].headers["tracestate"], seen[0].headers.get("baggage")) == ("v=1", None)


async def test_our_own_trace_id_wins_over_w3cs(tmp_path):
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    _, _, answered, _, record = await sent(tmp_path, {"traceparent": parent, "x-portkey-trace-id": "mine"})
    assert (answered["x-portkey-trace-id"], record.parent_span_id) == ("mine", "b7ad6b7169203331")


async def test_the_sdks_telemetry_is_recorded(tmp_path):
    headers = {
        "x-portkey-package-version": "portkey-2.3.1", "x-portkey-runtime": "CPython", "x-portkey-runtime-version": "3.11.7",
    }  # fmt: skip
    record = (await sent(tmp_path, headers))[4]
    assert (record.sdk, record.runtime) == ("portkey-2.3.1", "CPython 3.11.7")


# nitro mode


@pytest.mark.parametrize("body", [PLAIN, {**STREAM, "model": "gpt-4o", "stream_options": {"include_usage": True}}])
async def test_nitro_passes_the_bytes_through_and_still_counts_tokens(tmp_path, body):
    raw = json.dumps(body, indent=3).encode()
    async with FakeProvider() as fake, gateway(tmp_path, **at(fake)) as gw:
        headers = {"x-portkey-nitro-mode": "true", "x-portkey-provider": "@main"}
        status, answered, answer_headers = await gw.send(raw=raw, headers=headers)
        assert (status, fake.seen[0].body) == (200, raw)
        assert answer_headers["x-portkey-provider"] == "openai"
        assert b"choices" in answered
        record = gw.recorded.last
    assert (record.endpoint, record.tok_in > 0, record.tok_out > 0, record.model_served) == (
        "chat",
        True,
        True,
        "gpt-4o",
    )


@pytest.mark.parametrize(("headers", "told"), [
    ({"x-portkey-retry-count": "1"}, "retry"), ({"x-portkey-fallbacks": '[{"model":"m"}]'}, "a strategy"),
    ({"x-portkey-config": '{"virtual_key":"main","retry":{"attempts":1}}'}, "retry"),
    ({"x-portkey-config": '{"virtual_key":"main","override_params":{"n":1}}'}, "override_params"),
    ({"x-portkey-config": '{"virtual_key":"main","drop_params":["n"]}'}, "drop_params"),
    ({"x-portkey-config": '{"strategy":{"mode":"fallback"},"targets":[{"virtual_key":"main"},{}]}'}, "a strategy"),
])  # fmt: skip
async def test_nitro_refuses_what_an_unread_body_cannot_have(tmp_path, headers, told):
    status, body, _, seen, _ = await sent(
        tmp_path, {"x-portkey-nitro-mode": "true", "x-portkey-provider": "@main", **headers}
    )
    assert (status, seen) == (400, [])
    assert told in orjson.loads(body)["message"]


async def test_nitro_cannot_go_round_a_list_of_models(tmp_path):
    async with FakeProvider() as fake:
        sections = at(fake)
        sections["virtual_keys"] = [
            kit.msgspec.structs.replace(sections["virtual_keys"][0], models=frozenset({"gpt-4o-mini"}))
        ]
        async with gateway(tmp_path, **sections) as gw:
            status, _, _ = await gw.send(PLAIN, {"x-portkey-nitro-mode": "true", "x-portkey-provider": "@main"})
            assert (status, fake.seen) == (403, [])


# every answer


@pytest.mark.parametrize(("script", "status"), [((), 200), ([ERROR], 500), ([Reply(break_after=0)], 502)])
async def test_every_answer_has_the_contracts_headers(tmp_path, script, status):
    answered_status, _, headers, _, record = await sent(tmp_path, {}, script=script)
    assert answered_status == status
    assert headers["x-portkey-request-id"] == headers["x-portkey-decision-id"] == record.id
    assert headers["x-portkey-trace-id"] == record.trace_id
    assert headers["x-portkey-last-used-option-index"] == "config"
    assert (headers["x-portkey-retry-attempt-count"], headers["x-portkey-cache-status"]) == ("0", "DISABLED")
    assert headers["x-portkey-provider"] == "openai"
    assert (headers.get("x-portkey-gateway-exception") == "true") == (status == 502)


# what is odd


@pytest.mark.parametrize("header", [b"x-portkey-provider: @\xff", b"x-portkey-package-version: \xff", b'x-portkey-metadata: {"a":"\xff"}',
                                    b"x-portkey-config: pc-\xff", b"x-portkey-trace-id: \xff", b"x-portkey-provider: \xff"])  # fmt: skip
async def test_bytes_that_are_no_text_neither_break_an_answer_nor_lose_its_record(tmp_path, header):
    async with FakeProvider() as fake, gateway(tmp_path, **at(fake)) as gw:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(gw.url.rpartition(":")[2]))
        body = orjson.dumps(CHAT)
        writer.write(b"\r\n".join([
            b"POST /v1/chat/completions HTTP/1.1", b"host: x", b"connection: close", b"content-length: %d" % len(body),
            b"x-portkey-api-key: " + kit.KEY_TEXT.encode(), header, b"", body,
        ]))  # fmt: skip
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()
        assert answer.split(b" ")[1] in {b"200", b"400"}
        assert msgspec.msgpack.encode(gw.recorded.last)


async def test_of_a_repeated_header_the_first_counts_everywhere(tmp_path):
    headers = [
        ("x-portkey-api-key", kit.KEY_TEXT),
        ("x-portkey-config", "pc-none"),
        ("x-portkey-config", '{"virtual_key":"main"}'),
    ]
    async with (
        FakeProvider() as fake, gateway(tmp_path, **at(fake)) as gw,
        gw.session.post(gw.url + "/v1/chat/completions", json=CHAT, headers=headers) as response,
    ):  # fmt: skip
        assert (response.status, fake.seen) == (400, [])


@pytest.mark.parametrize("metadata", [{str(number): "x" * 200 for number in range(300)}, {"a": {"b": ["x" * 40_000]}}])
async def test_a_record_bounds_metadata_of_any_size(tmp_path, metadata):
    record = (await sent(tmp_path, {"x-portkey-metadata": json.dumps(metadata)[:60_000]}))[4]
    assert len(msgspec.msgpack.encode(record)) < 32_000


async def test_beside_the_gateways_key_its_repetition_is_no_key_for_the_provider(tmp_path):
    async with FakeProvider([Reply(json={"choices": [], "model": "m"})]) as fake, gateway(tmp_path) as gw:
        headers = {
            "authorization": f"Bearer {kit.KEY_TEXT}", "x-portkey-provider": "openai", "x-portkey-custom-host": fake.base_url,
            "x-portkey-forward-headers": "authorization",
        }  # fmt: skip
        await gw.send(PLAIN, headers)
        assert kit.KEY_TEXT not in str(fake.seen[0].headers)
