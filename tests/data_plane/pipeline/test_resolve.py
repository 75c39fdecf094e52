import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_plane.core.exchange import Call
from data_plane.core.job import Principal
from data_plane.pipeline.plans import PlanMemo, UnknownConfig
from data_plane.pipeline.resolve import Rules, decode_body, resolve
from shared.errors import BadRequest, InlineBlocked, InvalidConfig, InvalidJson
from shared.routing.decision import DecisionTrace
from shared.routing.plan import Fallback
from shared.schema.rows import OrgRow, WorkspaceRow
from tests.data_plane import kit

SNAPSHOT = kit.snapshot(configs=[kit.config("pc-1", {"provider": "@main", "retry": {"attempts": 2}})])
PRINCIPAL = Principal(
    kit.api_key(), OrgRow(kit.ORG, "Demo", block_inline=False), WorkspaceRow(kit.WS, kit.ORG, "ws", "W")
)
CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}


def job(headers=None, body=None, principal=PRINCIPAL, raw=None, trace=None):
    return resolve(
        kit.call(headers, body or CHAT, raw=raw),
        principal,
        SNAPSHOT,
        PlanMemo(),
        trace=trace or DecisionTrace(lambda: 0.0),
    )


def keyed(**changes):
    return Principal(kit.api_key(**changes), PRINCIPAL.org, PRINCIPAL.ws)


def test_a_saved_config_is_found_by_its_slug():
    plan = job({"x-portkey-config": "pc-1"}).plan
    assert (plan.slug, plan.version, plan.root.retry.attempts) == ("pc-1", "v-pc-1", 2)


def test_an_inline_config_is_compiled_once_for_its_text():
    memo = PlanMemo()
    text = json.dumps({"strategy": {"mode": "fallback"}, "targets": [{"provider": "@main"}, {"provider": "@main"}]})
    assert isinstance(memo.plan(text, "ws-1").root, Fallback)
    assert memo.plan(text, "ws-1") is memo.plan(text, "ws-1")


def test_inline_configs_cannot_fill_the_memory():
    memo = PlanMemo()
    for number in range(600):
        memo.plan(json.dumps({"provider": "@main", "name": str(number)}), "ws-1")
    assert len(memo._plans) <= 256


def test_the_keys_default_config_is_used_when_the_request_has_none():
    assert job(principal=keyed(config="pc-1")).plan.slug == "pc-1"


def test_the_requests_config_wins_over_the_keys():
    headers = {"x-portkey-config": '{"provider":"@main"}'}
    assert job(headers, principal=keyed(config="pc-1")).plan.slug is None


def test_a_key_with_a_fixed_config_accepts_no_other():
    with pytest.raises(BadRequest, match="fixed config"):
        job({"x-portkey-config": "pc-1"}, principal=keyed(config="pc-1", allow_config_override=False))


@pytest.mark.parametrize("slug", ["pc-none", "../pc-1", ""])
def test_an_unknown_config_is_refused(slug):
    if not slug:
        with pytest.raises(BadRequest, match="x-portkey-config or x-portkey-provider"):
            job({"x-portkey-config": slug})
        return
    with pytest.raises(UnknownConfig, match="Invalid config id passed"):
        job({"x-portkey-config": slug})


def test_an_inline_config_that_is_no_json_is_refused():
    with pytest.raises(InvalidConfig, match="valid json"):
        job({"x-portkey-config": "{nope"})


@pytest.mark.parametrize(("headers", "kind"), [
    ({"x-portkey-config": '{"provider":"openai"}'}, "inline_config_blocked"), ({"x-portkey-provider": "openai"}, "inline_provider_blocked"),
    ({"x-portkey-custom-host": "https://x.example", "x-portkey-provider": "@main"}, "inline_custom_host_blocked"),
    ({"x-portkey-forward-headers": "a", "x-portkey-provider": "@main"}, "inline_forward_headers_blocked"),
])  # fmt: skip
def test_saved_only_mode_refuses_what_is_inline(headers, kind):
    strict = Principal(kit.api_key(), OrgRow(kit.ORG, "Demo", block_inline=True), PRINCIPAL.ws)
    with pytest.raises(InlineBlocked) as raised:
        job(headers, principal=strict)
    assert raised.value.kind == kind


@pytest.mark.parametrize("headers", [
    {"x-portkey-config": "pc-1"}, {"x-portkey-provider": "@main"}, {"x-portkey-virtual-key": "main"},
])  # fmt: skip
def test_saved_only_mode_accepts_what_is_saved(headers):
    strict = Principal(kit.api_key(), OrgRow(kit.ORG, "Demo", block_inline=True), PRINCIPAL.ws)
    assert job(headers, principal=strict).stream is False


@given(st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
def test_any_body_is_an_object_or_a_clear_refusal(raw):
    try:
        assert isinstance(decode_body(raw), dict)
    except InvalidJson as fault:
        assert fault.status == 400


def test_a_body_nested_without_end_is_refused():
    with pytest.raises(InvalidJson, match="deeply"):
        decode_body(b'{"a":' + b"[" * 200_000)


@pytest.mark.parametrize(("change", "path"), [
    ({"model": 7}, "model"), ({"stream": "yes"}, "stream"), ({"messages": "hi"}, "messages"), ({"messages": None}, "messages"),
])  # fmt: skip
def test_a_wrong_type_is_named_with_its_path(change, path):
    with pytest.raises(BadRequest) as raised:
        job({"x-portkey-provider": "@main"}, {**CHAT, **change})
    assert raised.value.path == path


def test_nothing_that_names_a_provider_is_refused_in_the_contracts_words():
    with pytest.raises(BadRequest, match="Either x-portkey-config or x-portkey-provider header is required"):
        job()
    with pytest.raises(BadRequest, match="valid config with provider details"):
        job({"x-portkey-config": '{"retry":{"attempts":1}}'})


@pytest.mark.parametrize("text", ["x", "0", "-5", "1.5", "99999999999", "１０"])
def test_a_timeout_that_is_no_number_of_milliseconds_is_refused(text):
    with pytest.raises(BadRequest):
        job({"x-portkey-provider": "@main", "x-portkey-request-timeout": text})


def test_header_settings_are_read():
    read = job({
        "x-portkey-provider": "@main", "x-portkey-request-timeout": "1500", "x-portkey-forward-headers": "X-A, X-B",
        "x-portkey-strict-open-ai-compliance": "False", "x-portkey-debug": "false",
    })  # fmt: skip
    assert (read.timeout_ms, read.forward_headers, read.strict, read.keep_bodies) == (
        1500,
        ("x-a", "x-b"),
        False,
        False,
    )


@pytest.mark.parametrize("text", ['["X-A","X-B"]', "X-A,X-B"])
def test_forwarded_headers_come_as_a_list_or_as_json(text):
    assert job({"x-portkey-provider": "@main", "x-portkey-forward-headers": text}).forward_headers == ("x-a", "x-b")


@pytest.mark.parametrize("text", ["[1]", "[", "x-portkey-forward-headers"])
def test_a_bad_list_of_headers_is_refused(text):
    with pytest.raises(BadRequest):
        job({"x-portkey-provider": "@main", "x-portkey-forward-headers": text})


def test_metadata_of_workspace_wins_over_key_over_request():
    principal = Principal(
        kit.api_key(metadata={"a": "key", "b": "key"}),
        PRINCIPAL.org,
        WorkspaceRow(kit.WS, kit.ORG, "ws", "W", metadata={"a": "ws"}),
    )
    sent = json.dumps({"a": "req", "b": "req", "c": "req", "n": 5, "none": None})
    merged = job(
        {"x-portkey-provider": "@main", "x-portkey-metadata": sent}, {**CHAT, "user": "u-1"}, principal
    ).metadata
    assert merged == {"a": "ws", "b": "key", "c": "req", "n": "5", "_user": "u-1"}


@pytest.mark.parametrize("text", ["{", "[]", "7"])
def test_unreadable_metadata_is_no_metadata(text):
    assert job({"x-portkey-provider": "@main", "x-portkey-metadata": text}).metadata == {}


@pytest.mark.parametrize("bearer", ["OPENAI_API_KEY", "dummy", ""])
def test_a_placeholder_is_not_taken_for_a_provider_key(bearer):
    assert job({"x-portkey-provider": "@main", "authorization": f"Bearer {bearer}"}).choice.key is None


def test_the_callers_own_provider_key_is_a_secret():
    read = job({"x-portkey-provider": "openai", "authorization": "Bearer sk-sentinel-mine"})
    assert read.choice.key.reveal() == "sk-sentinel-mine"
    assert "sentinel" not in repr(read)


def test_the_gateways_key_alone_is_never_a_provider_key():
    made = kit.call({"authorization": f"Bearer {kit.KEY_TEXT}", "x-portkey-provider": "openai"}, CHAT, key=None)
    assert resolve(made, PRINCIPAL, SNAPSHOT, PlanMemo(), trace=DecisionTrace(lambda: 0.0)).choice.key is None


@pytest.mark.parametrize(("length", "passes"), [(512, True), (513, False)])
def test_the_name_of_a_model_has_an_end(length, passes):
    body = {**CHAT, "model": "m" * length}
    if passes:
        assert len(job({"x-portkey-provider": "@main"}, body).model) == length
        return
    with pytest.raises(BadRequest, match="512 characters"):
        job({"x-portkey-provider": "@main"}, body)


# what the operator rules


def ruled(headers, rules):
    made = kit.call(headers, CHAT)
    return resolve(made, PRINCIPAL, SNAPSHOT, PlanMemo(), rules=rules, trace=DecisionTrace(lambda: 0.0))


def test_the_headers_that_the_operator_names_are_copied_into_the_metadata():
    headers = {"x-portkey-provider": "@main", "x-team": "blue", "x-other": "1", "authorization": "Bearer sk-x"}
    read = ruled(headers, Rules(metadata_headers=("x-team", "authorization")))
    assert read.metadata == {"x-team": "blue"}
    assert ruled(headers, Rules()).metadata == {}


@pytest.mark.parametrize("headers", [
    {"x-portkey-config": '{"provider":"@main"}'}, {"x-portkey-provider": "openai"},
    {"x-portkey-provider": "@main", "x-portkey-custom-host": "https://x.example"},
])  # fmt: skip
def test_the_operator_can_have_everybody_use_what_is_saved(headers):
    with pytest.raises(InlineBlocked):
        ruled(headers, Rules(block_inline=True))
    assert ruled(headers, Rules()).operation == "chat"
    assert PRINCIPAL.org.block_inline is False


# what is forwarded


def forwarded(path, raw=b"", headers=None, *, method="POST", upload=None):
    """Return the job of a forwarded call."""
    sent = {"x-portkey-provider": "@main", "x-portkey-api-key": kit.KEY_TEXT, **(headers or {})}
    made = Call("proxy", method, path.partition("?")[0], sent, raw, 1, 0.0, path, upload)
    return resolve(made, PRINCIPAL, SNAPSHOT, PlanMemo(), trace=DecisionTrace(lambda: 0.0))


@pytest.mark.parametrize(("raw", "body", "is_read"), [
    (b'{"a":1}', {"a": 1}, True), (b"{}", {}, True), (b"[1]", {}, False), (b'"x"', {}, False), (b"", {}, False),
])  # fmt: skip
def test_only_an_object_is_read_of_what_is_forwarded(raw, body, is_read):
    read = forwarded("/v1/files", raw)
    assert (read.body, read.raw.is_read, read.raw.content) == (body, is_read, raw)


@pytest.mark.parametrize("raw", [b"[1]", b"7"])
def test_what_goes_to_an_endpoint_must_be_an_object_also_when_it_is_forwarded(raw):
    with pytest.raises(InvalidJson, match="JSON object"):
        forwarded("/v1/proxy/chat/completions", raw)


class Body:
    """Stands where a body on its way stands."""

    begun = False


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/proxy/responses", "/v1/proxy/chat/completions"])
def test_nitro_takes_its_endpoints_also_when_they_are_forwarded(path):
    assert forwarded(path, headers={"x-portkey-nitro-mode": "true"}, upload=Body()).operation == "proxy"


@pytest.mark.parametrize(("path", "headers", "told"), [
    ("/v1/files", {}, "the endpoint proxy"), ("/v1/messages", {"x-portkey-retry-count": "1"}, "retry"),
    ("/v1/messages", {"x-portkey-config": '{"virtual_key":"main","override_params":{"n":1}}'}, "override_params"),
    ("/v1/messages", {"x-portkey-config": '{"virtual_key":"main","default_params":{"n":1}}'}, "default_params"),
])  # fmt: skip
def test_nitro_goes_round_nothing_when_it_is_forwarded(path, headers, told):
    with pytest.raises(BadRequest, match=told):
        forwarded(path, headers={"x-portkey-nitro-mode": "true", **headers}, upload=Body())


@pytest.mark.parametrize(("payload", "headers", "shown"), [
    ("full", {}, "text"), ("gateway", {}, "(hidden)"), ("metrics", {}, "(hidden)"), ("full", {"x-portkey-debug": "false"}, "(hidden)"),
])  # fmt: skip
def test_texts_of_a_body_that_is_not_shipped_are_in_no_decision(payload, headers, shown):
    workspace = WorkspaceRow(kit.WS, kit.ORG, "ws", "W", payload=payload)
    trace = DecisionTrace(lambda: 0.0)
    job(
        {"x-portkey-provider": "@main", **headers},
        principal=Principal(PRINCIPAL.key, PRINCIPAL.org, workspace),
        trace=trace,
    )
    assert trace.shown("params", "text") == shown
