"""The quick-start form of every operation, and everything below `/v1` that the gateway only passes on."""

import json

import orjson
import pytest
import yarl

from tests.data_plane import kit
from tests.data_plane.gateway_kit import CHAT, at, gateway
from tests.fakes.provider import KEYS, FakeProvider, Reply

EMBEDDING = {
    "object": "list", "model": "text-embedding-3-small", "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}],
    "usage": {"prompt_tokens": 3, "total_tokens": 3},
}  # fmt: skip
COMPLETION = {
    "id": "c", "object": "text_completion", "model": "gpt-3.5-turbo-instruct", "choices": [{"text": "hi", "index": 0}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2},
}  # fmt: skip
IMAGE = {"created": 1, "data": [{"url": "https://images.example/1.png"}]}
NAMED = {"x-portkey-provider": "@main"}


async def sent(tmp_path, path, raw=b"", *, script=(), headers=None, method="POST", models=None):
    """Send a request; return (status, body, headers, what the provider saw, record)."""
    async with FakeProvider(script) as fake:
        sections = at(fake)
        if models is not None:
            sections["virtual_keys"] = [kit.msgspec.structs.replace(sections["virtual_keys"][0], models=models)]
        async with gateway(tmp_path, **sections) as gw:
            all_headers = {"x-portkey-api-key": kit.KEY_TEXT, "content-type": "application/json", **(headers or {})}
            call = gw.session.request(method, yarl.URL(gw.url + path, encoded=True), data=raw, headers=all_headers)
            async with call as response:
                body = await response.read()
                record = gw.recorded.last if gw.recorded.items else None
                return response.status, body, response.headers, fake.seen, record


# universal


@pytest.mark.parametrize(("kind", "parameters", "answer", "path", "operation"), [
    ("chat", {"messages": CHAT["messages"]}, None, "/v1/chat/completions", "chat"),
    ("completion", {"prompt": "x"}, COMPLETION, "/v1/completions", "complete"),
    ("embedding", {"input": ["x"]}, EMBEDDING, "/v1/embeddings", "embed"),
    ("image", {"prompt": "a cat"}, IMAGE, "/v1/images/generations", "image"),
])  # fmt: skip
@pytest.mark.parametrize("provider", ["@main", None])
async def test_a_universal_call_is_answered_in_its_endpoints_shape(
    tmp_path, kind, parameters, answer, path, operation, provider
):
    model = "gpt-4o" if provider else "@main/gpt-4o"
    body = {"type": kind, "model": model, "parameters": parameters, **({"provider": provider} if provider else {})}
    script = [Reply(json=answer)] if answer else ()
    status, answered, _, seen, record = await sent(tmp_path, "/v1/universal", orjson.dumps(body), script=script)
    assert status == 200, answered
    assert (seen[0].path, seen[0].json["model"]) == (path, "gpt-4o")
    assert {name: seen[0].json[name] for name in parameters} == parameters
    assert set(answer or {"choices": 1}) <= set(orjson.loads(answered))
    assert record.endpoint == operation


async def test_a_universal_call_for_sound_is_answered_with_sound(tmp_path):
    body = {"type": "audio", "provider": "@main", "model": "tts-1", "parameters": {"input": "hello", "voice": "alloy"}}
    script = [Reply(body=b"\x00\x01mp3", headers={"content-type": "audio/mpeg"})]
    status, answered, headers, seen, _ = await sent(tmp_path, "/v1/universal", orjson.dumps(body), script=script)
    assert (status, answered, headers["content-type"]) == (200, b"\x00\x01mp3", "audio/mpeg")
    assert seen[0].path == "/v1/audio/speech"


@pytest.mark.parametrize(("body", "told"), [
    ({"type": "poem", "provider": "@main", "parameters": {}}, "type must be one of"), ({"provider": "@main"}, "type"),
    ({"type": "chat", "provider": "@main", "parameters": []}, "parameters"), ({"type": "chat", "extra": 1}, "extra"),
    ({"type": "chat", "provider": "@main", "model": "m", "parameters": {"messages": "x"}}, "messages must be an array"),
    ({"type": "embedding", "provider": "@main", "model": "m"}, "input must be"),
])  # fmt: skip
async def test_a_universal_call_that_is_none_is_a_clear_400(tmp_path, body, told):
    status, answered, _, seen, _ = await sent(tmp_path, "/v1/universal", orjson.dumps(body))
    assert (status, seen) == (400, [])
    assert told in orjson.loads(answered)["message"]


async def test_embeddings_are_answered_priced_and_recorded(tmp_path):
    body = orjson.dumps({"model": "@main/text-embedding-3-small", "input": "x"})
    status, answered, _, _, record = await sent(tmp_path, "/v1/embeddings", body, script=[Reply(json=EMBEDDING)])
    assert (status, orjson.loads(answered)["data"]) == (200, EMBEDDING["data"])
    assert (record.endpoint, record.tok_in, record.tok_out) == ("embed", 3, 0)


# forwarding


@pytest.mark.parametrize(("path", "reached"), [
    ("/v1/proxy/files?limit=2&after=a%2Fb", "/v1/files?limit=2&after=a%2Fb"), ("/v1/files/file-1/content", "/v1/files/file-1/content"),
    ("/v1/fine_tuning/jobs", "/v1/fine_tuning/jobs"), ("/v1/chat/completions", "/v1/chat/completions"),
])  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_an_unlisted_path_reaches_the_provider_as_it_came(tmp_path, path, reached, method):
    script = [Reply(207, json={"any": 1}, headers={"x-of-provider": "1", "x-portkey-trace-id": "not-theirs"})]
    headers = {**NAMED, "x-mine": "1", "cookie": "a=b"}
    status, body, answered, seen, record = await sent(tmp_path, path, script=script, headers=headers, method=method)
    assert (status, orjson.loads(body), answered["x-of-provider"]) == (207, {"any": 1}, "1")
    assert (seen[0].method, seen[0].target) == (method, reached)
    assert seen[0].headers["authorization"] == f"Bearer {KEYS['openai']}"
    assert (seen[0].headers["x-mine"], "cookie" in seen[0].headers) == ("1", False)
    assert answered["x-portkey-trace-id"] == record.trace_id
    assert (record.endpoint, record.status, record.provider) == ("proxy", 207, "openai")


async def test_a_body_goes_through_byte_for_byte(tmp_path):
    raw = b'{ "input" : [1.0, "\\u00e4"],  "model":"gpt-4o" }'
    _, _, _, seen, _ = await sent(tmp_path, "/v1/unlisted", raw, script=[Reply(json={})], headers=NAMED)
    assert seen[0].body == raw


async def test_a_slug_in_the_model_names_the_provider_and_stays_here(tmp_path):
    raw = b'{"model":"@main/gpt-4o","input":"x"}'
    _, _, _, seen, _ = await sent(tmp_path, "/v1/unlisted", raw, script=[Reply(json={})])
    assert seen[0].json == {"model": "gpt-4o", "input": "x"}


async def test_multipart_and_binary_bodies_go_through_unread(tmp_path):
    raw = b'--b\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n\x00\xff\r\n--b--\r\n'
    headers = {**NAMED, "content-type": "multipart/form-data; boundary=b"}
    status, _, _, seen, record = await sent(
        tmp_path, "/v1/files", raw, script=[Reply(json={"id": "f"})], headers=headers
    )
    assert (status, seen[0].body, seen[0].headers["content-type"]) == (200, raw, headers["content-type"])
    assert seen[0].headers["content-length"] == str(len(raw))
    assert record.body_state != "none"


@pytest.mark.parametrize("status", [400, 404, 429, 500])
async def test_a_providers_error_comes_back_as_it_is(tmp_path, status):
    answer = {"error": {"message": "their own words"}}
    got, body, _, _, record = await sent(
        tmp_path, "/v1/proxy/x", script=[Reply(status, json=answer)], headers=NAMED, method="GET"
    )
    assert (got, orjson.loads(body), record.status) == (status, answer, status)


async def test_a_forwarded_chat_counts_its_tokens(tmp_path):
    raw = json.dumps({**CHAT, "model": "gpt-4o", "stream": True, "stream_options": {"include_usage": True}}).encode()
    _, body, _, _, record = await sent(tmp_path, "/v1/proxy/chat/completions", raw, headers=NAMED)
    assert body.endswith(b"data: [DONE]\n\n")
    assert (record.tok_in > 0, record.tok_out > 0, record.model_served) == (True, True, "gpt-4o")


async def test_what_can_be_sent_again_is_retried_and_falls_back(tmp_path, monkeypatch):
    monkeypatch.setattr("shared.routing.walk.BACKOFF_S", (0.0,) * 5)
    config = json.dumps({"virtual_key": "main", "retry": {"attempts": 1}})
    script = [Reply(503, json={}), Reply(json={"ok": 1})]
    status, _, headers, seen, _ = await sent(
        tmp_path, "/v1/unlisted", b'{"input":"x"}', script=script, headers={"x-portkey-config": config}
    )
    assert (status, headers["x-portkey-retry-attempt-count"], len(seen)) == (200, "1", 2)


async def test_a_body_that_is_sent_while_it_arrives_is_sent_once(tmp_path):
    config = json.dumps({"virtual_key": "main", "retry": {"attempts": 3}})
    headers = {"x-portkey-config": config, "content-type": "application/octet-stream"}
    status, _, _, seen, _ = await sent(
        tmp_path, "/v1/files", b"abc", script=[Reply(503, json={"e": 1})], headers=headers
    )
    assert (status, len(seen)) == (503, 1)


@pytest.mark.parametrize(
    "path", ["/v1/proxy/../../admin", "/v1/proxy/%2e%2e/admin", "/v1/proxy//evil.example/x", "/v1/files/..%5cx"]
)
async def test_a_path_cannot_leave_the_providers_base(tmp_path, path):
    async with FakeProvider() as fake, gateway(tmp_path, **at(fake)) as gw:
        status, _, _ = await raw_get(gw, path)
        assert (status in {400, 404}, fake.seen) == (True, [])


async def raw_get(gw, path):
    """GET a path that a URL library would tidy up."""
    target = yarl.URL(gw.url + path, encoded=True)
    async with gw.session.get(target, headers={"x-portkey-api-key": kit.KEY_TEXT, **NAMED}) as response:
        return response.status, await response.read(), response.headers


@pytest.mark.parametrize(("raw", "kind", "status"), [
    (b'{"model":"gpt-4o-mini"}', "application/json", 200), (b'{"model":"gpt-4o"}', "application/json", 403),
    (b'{"n":1}', "application/json", 403), (b"x", "application/octet-stream", 403),
])  # fmt: skip
async def test_a_list_of_models_holds_for_forwarded_calls(tmp_path, raw, kind, status):
    allowed = frozenset({"gpt-4o-mini"})
    got, _, _, seen, _ = await sent(
        tmp_path, "/v1/x", raw, script=[Reply(json={})], headers={**NAMED, "content-type": kind}, models=allowed
    )
    assert (got, len(seen)) == (status, int(status == 200))


@pytest.mark.parametrize("path", ["/v1/feedback", "/v1/prompts/pp-1/completions", "/v1/logs", "/v1/otel/v1/traces"])
async def test_what_is_the_gateways_own_never_reaches_a_provider(tmp_path, path):
    status, body, _, seen, _ = await sent(tmp_path, path, b"{}", headers=NAMED)
    assert (status, seen) == (404, [])
    assert "not available in this version" in orjson.loads(body)["message"]


async def test_a_call_that_names_no_provider_is_told_what_to_send(tmp_path):
    status, body, _, _, _ = await sent(tmp_path, "/v1/files", method="GET")
    assert (status, orjson.loads(body)["message"]) == (
        400,
        "Either x-portkey-config or x-portkey-provider header is required",
    )


async def test_without_a_key_nothing_is_forwarded(tmp_path):
    status, _, _, seen, _ = await sent(
        tmp_path, "/v1/files", headers={"x-portkey-api-key": "no", **NAMED}, method="GET"
    )
    assert (status, seen) == (401, [])


async def test_malformed_json_is_refused_as_everywhere(tmp_path):
    status, body, _, seen, _ = await sent(tmp_path, "/v1/unlisted", b"{nope", headers=NAMED)
    assert (status, orjson.loads(body)["error"]["code"], seen) == (400, "invalid_json", [])


@pytest.mark.parametrize("path", [
    "/v1/chat/completions", "/v1/proxy/chat/completions", "/v1/proxy/chat/completions/", "/v1/chat%2Fcompletions", "/v1/proxy/embeddings",
])  # fmt: skip
@pytest.mark.parametrize(
    "kind", ["text/plain", "application/octet-stream", "multipart/form-data; boundary=b", "application/jsonl"]
)
@pytest.mark.parametrize("nitro", [{}, {"x-portkey-nitro-mode": "true"}])
async def test_an_endpoint_takes_json_only_whichever_way_it_is_reached(tmp_path, path, kind, nitro):
    headers = {**NAMED, "content-type": kind, **nitro}
    status, body, _, seen, _ = await sent(tmp_path, path, b'{"model":"gpt-4o"}', headers=headers)
    assert (status, orjson.loads(body)["message"], seen) == (400, "Invalid content type passed", [])


async def test_json_lines_are_no_json_and_go_through_unread(tmp_path):
    raw = b'{"a":1}\n{"a":2}\n'
    headers = {**NAMED, "content-type": "application/jsonl"}
    status, _, _, seen, _ = await sent(tmp_path, "/v1/files", raw, script=[Reply(json={})], headers=headers)
    assert (status, seen[0].body) == (200, raw)


async def test_an_array_goes_through_as_it_came(tmp_path):
    raw = b'[ {"a":1} ]'
    config = {"x-portkey-config": json.dumps({"virtual_key": "main", "override_params": {"model": "m"}})}
    status, _, _, seen, record = await sent(tmp_path, "/v1/x", raw, script=[Reply(json={})], headers=config)
    assert (status, seen[0].body, record.body_state) == (200, raw, "stored")


async def test_a_call_without_a_body_gets_none_from_its_config(tmp_path):
    config = {"x-portkey-config": json.dumps({"override_params": {"model": "@main/gpt-4o"}})}
    status, _, _, seen, _ = await sent(tmp_path, "/v1/files", headers=config, method="GET", script=[Reply(json={})])
    assert (status, seen[0].body) == (200, b"")


@pytest.mark.parametrize("override", [{}, {"override_params": {"model": "gpt-4o-mini"}}])
@pytest.mark.parametrize(("raw", "kind"), [
    (b'[{"model":"gpt-4o"}]', "application/json"), (b"--b\r\n", "multipart/form-data; boundary=b"),
])  # fmt: skip
async def test_a_config_lends_no_model_to_what_is_not_read(tmp_path, override, raw, kind):
    config = {"x-portkey-config": json.dumps({"virtual_key": "main", **override}), "content-type": kind}
    status, _, _, seen, _ = await sent(tmp_path, "/v1/audio/x", raw, headers=config, models=frozenset({"gpt-4o-mini"}))
    assert (status, seen) == (403, [])


async def test_of_a_model_that_comes_twice_the_provider_gets_the_one_that_was_checked(tmp_path):
    raw = b'{"model":"gpt-4o","model":"gpt-4o-mini"}'
    status, _, _, seen, _ = await sent(
        tmp_path, "/v1/x", raw, script=[Reply(json={})], headers=NAMED, models=frozenset({"gpt-4o-mini"})
    )
    assert (status, seen[0].body) == (200, b'{"model":"gpt-4o-mini"}')


@pytest.mark.parametrize("value", ["[" * 400 + "]" * 400, "1" * 40])
async def test_a_body_that_cannot_be_sent_on_is_a_clear_400(tmp_path, value):
    raw = f'{{"model":"@main/gpt-4o","messages":[],"x":{value}}}'.encode()
    status, body, _, seen, _ = await sent(tmp_path, "/v1/chat/completions", raw)
    assert (status, orjson.loads(body)["error"]["code"], seen) == (400, "invalid_json", [])


@pytest.mark.parametrize("nitro", [True, False])
async def test_do_not_track_holds_for_what_is_not_read_too(tmp_path, nitro):
    raw = json.dumps({**CHAT, "model": "gpt-4o"}).encode()
    path = "/v1/chat/completions" if nitro else "/v1/proxy/chat/completions"
    headers = {**NAMED, "x-portkey-debug": "false", **({"x-portkey-nitro-mode": "true"} if nitro else {})}
    async with FakeProvider() as fake, gateway(tmp_path, **at(fake)) as gw:
        status, _, _ = await gw.send(raw=raw, headers=headers, path=path)
        record, shipped, kept = gw.recorded.items[-1]
    assert (status, shipped, kept, record.body_state) == (200, None, None, "none")
    assert (record.in_preview, record.out_preview, record.tok_in > 0) == (None, None, True)


async def test_a_stream_that_is_not_read_is_recorded_as_one(tmp_path):
    raw = json.dumps({**CHAT, "model": "gpt-4o", "stream": True}).encode()
    _, _, _, _, record = await sent(
        tmp_path, "/v1/chat/completions", raw, headers={**NAMED, "x-portkey-nitro-mode": "true"}
    )
    assert record.stream
    _, _, _, _, record = await sent(
        tmp_path, "/v1/proxy/chat/completions", raw.replace(b"true", b"false"), headers=NAMED
    )
    assert not record.stream


async def test_embeddings_have_their_price(tmp_path):
    prices = kit.ProviderPricesRow(
        "openai", "list-1", (kit.ModelPriceRow("e", ["starts_with", "text-"], input=(kit.Rate(0, 20_000_000),)),)
    )
    async with (
        FakeProvider([Reply(json=EMBEDDING), Reply(json=EMBEDDING)]) as fake,
        gateway(tmp_path, prices=[prices], **at(fake)) as gw,
    ):
        body = {"model": "@main/text-embedding-3-small", "input": "x"}
        for path in ("/v1/embeddings", "/v1/proxy/embeddings"):
            assert (await gw.send(body, path=path))[0] == 200
            assert (gw.recorded.last.price_status, gw.recorded.last.cost_nano) == ("priced", 60)


@pytest.mark.parametrize("method", ["GET", "DELETE", "POST"])
async def test_a_call_without_a_body_has_none_at_the_provider(tmp_path, method):
    async with FakeProvider([Reply(json={})]) as fake, gateway(tmp_path, **at(fake)) as gw:
        headers = {"x-portkey-api-key": kit.KEY_TEXT, **NAMED}
        async with gw.session.request(method, gw.url + "/v1/files", headers=headers) as response:
            assert (response.status, fake.seen[0].body) == (200, b"")
        assert "transfer-encoding" not in fake.seen[0].headers


async def test_a_providers_header_wins_over_the_universal_bodys(tmp_path):
    body = orjson.dumps(
        {"type": "chat", "provider": "@nobody", "model": "gpt-4o", "parameters": {"messages": CHAT["messages"]}}
    )
    status, _, _, seen, _ = await sent(tmp_path, "/v1/universal", body, headers=NAMED)
    assert (status, len(seen)) == (200, 1)
