import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_plane.core.job import Principal
from data_plane.pipeline.plans import PlanMemo, UnknownConfig
from data_plane.pipeline.resolve import decode_body, resolve
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
    assert isinstance(memo.plan(text).root, Fallback)
    assert memo.plan(text) is memo.plan(text)


def test_inline_configs_cannot_fill_the_memory():
    memo = PlanMemo()
    for number in range(600):
        memo.plan(json.dumps({"provider": "@main", "name": str(number)}))
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
