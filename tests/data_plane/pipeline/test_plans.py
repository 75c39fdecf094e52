import json

import pytest

from data_plane.core.job import Principal
from data_plane.pipeline.plans import (
    MAX_FALLBACKS,
    MAX_SLUG_CHARS,
    PlanMemo,
    UnknownConfig,
    choose_plan,
    with_fallbacks,
)
from shared.errors import BadRequest, InlineBlocked, InvalidConfig
from shared.redact import Secret
from shared.routing.decision import DecisionTrace
from shared.routing.plan import DEFAULT_PLAN, Fallback, Plan, Target
from shared.schema.rows import OrgRow, WorkspaceRow
from tests.data_plane import kit

SNAPSHOT = kit.snapshot(configs=[kit.config("pc-1", {"provider": "@main"}), kit.config("pc-2", {"provider": "@main"})])
ORG = OrgRow(kit.ORG, "Demo", block_inline=False)
WS = WorkspaceRow(kit.WS, kit.ORG, "ws", "W")


def keyed(org=ORG, **changes):
    return Principal(kit.api_key(**changes), org, WS)


def chosen(headers, principal=None, memo=None):
    """Return (plan, the step that says why)."""
    trace = DecisionTrace(lambda: 0.0)
    plan = choose_plan(headers, principal or keyed(), SNAPSHOT, memo or PlanMemo(), trace)
    (step,) = trace.steps
    return plan, step


def test_without_any_config_the_request_stands_alone():
    plan, step = chosen({})
    assert plan is DEFAULT_PLAN
    assert (step.step, step.chose) == ("config", "no config")


def test_the_keys_default_is_told_as_such():
    plan, step = chosen({}, keyed(config="pc-1"))
    assert (plan.slug, step.chose, step.why) == ("pc-1", "pc-1", "the API key's default")


def test_the_requests_config_wins_and_the_loser_is_told():
    plan, step = chosen({"x-portkey-config": "pc-2"}, keyed(config="pc-1"))
    assert plan.slug == "pc-2"
    assert [rejected.what for rejected in step.rejected] == ["pc-1"]


@pytest.mark.parametrize("text", ["pc-1", '{"provider":"@main"}'])
def test_a_fixed_config_refuses_any_other(text):
    with pytest.raises(BadRequest, match="fixed config"):
        chosen({"x-portkey-config": text}, keyed(allow_config_override=False))


def test_a_slug_that_is_not_known_may_be_newer():
    with pytest.raises(UnknownConfig, match="Invalid config id passed"):
        chosen({"x-portkey-config": "pc-9"})


def test_saved_only_mode_refuses_an_inline_config_and_takes_a_saved_one():
    saved_only = keyed(OrgRow(kit.ORG, "Demo", block_inline=True))
    with pytest.raises(InlineBlocked):
        chosen({"x-portkey-config": '{"provider":"@main"}'}, saved_only)
    assert chosen({"x-portkey-config": "pc-1"}, saved_only)[0].slug == "pc-1"


@pytest.mark.parametrize("text", ["{", '"x', "[1"])
def test_a_config_that_is_no_json_says_so(text):
    with pytest.raises(InvalidConfig, match="You need to pass a valid json"):
        chosen({"x-portkey-config": text})


def test_a_host_that_is_private_is_found_with_its_path_before_any_call():
    text = json.dumps(
        {"strategy": {"mode": "fallback"}, "targets": [{"provider": "@a"}, {"custom_host": "http://10.0.0.1"}]}
    )
    with pytest.raises(InvalidConfig) as raised:
        chosen({"x-portkey-config": text}, memo=PlanMemo(frozenset()))
    assert raised.value.errors[0].startswith("path: targets,1,custom_host, message: Invalid custom host")


def test_different_inline_configs_share_no_breaker():
    bodies = [
        {"strategy": {"mode": "fallback", "cb_config": {"failure_threshold": 1, "cooldown_interval": 30000}},
         "targets": [{"provider": name}, {}]}
        for name in ("@a", "@b")
    ]  # fmt: skip
    first, second = (PlanMemo().plan(json.dumps(body), "ws-1").root.children[0] for body in bodies)
    assert first.breaker_id != second.breaker_id


def test_the_same_inline_config_shares_no_breaker_with_another_workspace():
    body = {"strategy": {"mode": "fallback", "cb_config": {"failure_threshold": 1, "cooldown_interval": 30000}},
            "targets": [{"provider": "@a"}, {}]}  # fmt: skip
    memo = PlanMemo()
    first, second = (memo.plan(json.dumps(body), workspace).root.children[0] for workspace in ("ws-1", "ws-2"))
    assert first.breaker_id != second.breaker_id


def test_a_key_that_was_sent_as_a_config_is_not_written_down():
    trace = DecisionTrace(lambda: 0.0)
    with pytest.raises(UnknownConfig):
        choose_plan({"x-portkey-config": kit.KEY_TEXT}, keyed(), SNAPSHOT, PlanMemo(), trace)
    assert kit.KEY_TEXT not in str(trace.steps)


# x-portkey-fallbacks


def models(plan):
    """Return (path, model) of every target, in the order in which they are tried."""
    found, node = [], plan.root
    while isinstance(node, Fallback):
        found.append((node.children[1].path, node.children[1].override_params["model"], node.on_status_codes))
        node = node.children[0]
    return found[::-1]


def test_each_fallback_is_a_target_after_the_original_one():
    text = json.dumps([{"model": "@b/m", "on_status_codes": [429]}, {"model": "m2"}])
    plan = with_fallbacks(DEFAULT_PLAN, text, keyed())
    assert models(plan) == [("fallbacks[0]", "@b/m", frozenset({429})), ("fallbacks[1]", "m2", None)]
    assert plan.mode == "fallback"


def test_a_fallback_keeps_what_the_original_target_says():
    root = Target(path="config", provider="@a", override_params={"temperature": 0, "model": "m1"}, timeout_ms=5)
    plan = with_fallbacks(Plan(root), '[{"model":"m2"}]', keyed())
    target = plan.root.children[1]
    assert (target.provider, target.timeout_ms) == ("@a", 5)
    assert target.override_params == {"temperature": 0, "model": "m2"}


@pytest.mark.parametrize("text", [None, "", "[]"])
def test_no_fallbacks_change_nothing(text):
    assert with_fallbacks(DEFAULT_PLAN, text, keyed()) is DEFAULT_PLAN


@pytest.mark.parametrize("text", [
    "{", "{}", '["m"]', '[{"provider":"x"}]', '[{"model":1}]', '[{"model":"m","x":1}]', '[{"model":"m","on_status_codes":["a"]}]',
    json.dumps([{"model": "m"}] * (MAX_FALLBACKS + 1)),
])  # fmt: skip
def test_fallbacks_that_are_none_are_refused(text):
    with pytest.raises(BadRequest) as raised:
        with_fallbacks(DEFAULT_PLAN, text, keyed())
    assert raised.value.path == "x-portkey-fallbacks"


def test_a_fixed_config_takes_no_fallbacks():
    with pytest.raises(BadRequest, match="fixed config"):
        with_fallbacks(DEFAULT_PLAN, '[{"model":"m"}]', keyed(allow_config_override=False))


def test_a_fallback_to_another_saved_provider_takes_nothing_of_the_originals_account():
    root = Target(
        path="config", provider="openai", api_key=Secret("k"), custom_host="https://own.example/v1", settings={"a": "b"}, timeout_ms=5,
    )  # fmt: skip
    plan = with_fallbacks(Plan(root), '[{"model":"@second/m"},{"model":"m2"}]', keyed())
    near, far = plan.root.children[1], plan.root.children[0].children[1]
    assert (far.provider, far.api_key, far.custom_host, far.settings, far.timeout_ms) == (None, None, None, {}, 5)
    assert (near.provider, near.custom_host, near.settings) == ("openai", "https://own.example/v1", {"a": "b"})


def test_only_the_first_part_of_what_is_no_slug_is_told():
    trace = DecisionTrace(lambda: 0.0)
    with pytest.raises(UnknownConfig):
        choose_plan({"x-portkey-config": "x" * 500}, keyed(), SNAPSHOT, PlanMemo(), trace)
    assert trace.steps[0].chose == "x" * MAX_SLUG_CHARS
