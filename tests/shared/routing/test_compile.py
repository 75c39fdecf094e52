import pytest

from shared.errors import InvalidConfig
from shared.routing.compile import compile_plan
from shared.routing.plan import Fallback, LoadBalance, Target
from shared.schema.config import parse_config


def compiled(body):
    return compile_plan(parse_config(body)).root


def two(parent, child=None):
    """Return the first leaf of a fallback whose parent says `parent` and whose first target says `child`."""
    return compiled({"strategy": {"mode": "fallback"}, "targets": [child or {}, {"provider": "x"}], **parent}).children[
        0
    ]


def test_a_config_without_targets_is_the_target():
    assert compiled({"provider": "openai"}) == Target(path="config", provider="openai")


def test_paths_name_every_leaf_as_the_contract_does():
    root = compiled({"strategy": {"mode": "fallback"}, "targets": [
        {"provider": "a"}, {"strategy": {"mode": "loadbalance"}, "targets": [{"provider": "b"}, {"provider": "c"}]},
    ]})  # fmt: skip
    assert isinstance(root, Fallback)
    assert isinstance(root.children[1], LoadBalance)
    assert [root.children[0].path, *(leaf.path for leaf in root.children[1].children)] == [
        "config.targets[0]", "config.targets[1].targets[0]", "config.targets[1].targets[1]",
    ]  # fmt: skip


def test_single_uses_its_first_target():
    assert compiled({"strategy": {"mode": "single"}, "targets": [{"provider": "a"}]}).path == "config.targets[0]"


def test_forced_and_default_params_merge_and_the_child_wins():
    leaf = two({"override_params": {"a": 1, "b": 1}, "default_params": {"d": 1}}, {"override_params": {"b": 2}})
    assert (leaf.override_params, leaf.default_params) == ({"a": 1, "b": 2}, {"d": 1})


@pytest.mark.parametrize(("key", "field", "parent", "child"), [
    ("request_timeout", "timeout_ms", 10, 20), ("custom_host", "custom_host", "https://p.example", "https://c.example"),
    ("strict_open_ai_compliance", "strict", True, False), ("forward_headers", "forward_headers", ["p"], ["c"]),
])  # fmt: skip
def test_settings_are_inherited_whole_and_the_child_wins(key, field, parent, child):
    def seen(value):
        return tuple(value) if isinstance(value, list) else value

    assert getattr(two({key: parent}), field) == seen(parent)
    assert getattr(two({key: parent}, {key: child}), field) == seen(child)


def test_retry_is_replaced_as_a_whole():
    leaf = two({"retry": {"attempts": 3, "on_status_codes": [418]}}, {"retry": {"attempts": 1}})
    assert leaf.retry.attempts == 1
    assert 418 not in leaf.retry.on_status_codes


def test_credentials_provider_and_name_are_not_inherited():
    leaf = two({"provider": "openai", "api_key": "sk-sentinel-9", "virtual_key": "vk", "name": "n"})
    assert (leaf.provider, leaf.api_key, leaf.virtual_key, leaf.name) == (None, None, None, None)


def test_weights_that_are_all_zero_are_a_clear_refusal():
    with pytest.raises(InvalidConfig, match="all weights are 0"):
        compiled({"strategy": {"mode": "loadbalance"}, "targets": [{"weight": 0}, {"weight": 0}]})


@pytest.mark.parametrize("body", [
    {"provider": "openai", "cache": {"mode": "simple"}},
    {"strategy": {"mode": "fallback"}, "targets": [{"input_guardrails": ["pg-1"]}, {}]},
    {"strategy": {"mode": "loadbalance", "sticky": {"enabled": True}}, "targets": [{}, {}]},
    {"strategy": {"mode": "fallback", "cb_config": {"cooldown_interval": 30000}}, "targets": [{}, {}]},
    {"provider": "openai", "cb_config": {"cooldown_interval": 30000}},
    {"strategy": {"mode": "conditional", "conditions": [], "default": "a"}, "targets": [{"name": "a"}]},
])  # fmt: skip
def test_what_cannot_be_run_yet_says_so(body):
    with pytest.raises(InvalidConfig, match="not available in this version"):
        compiled(body)


def test_stickiness_that_is_switched_off_is_nothing_to_refuse():
    body = {"strategy": {"mode": "loadbalance", "sticky": {"enabled": False}}, "targets": [{}, {}]}
    assert len(compiled(body).children) == 2


def test_a_plan_remembers_how_it_is_named():
    plan = compile_plan(parse_config({"strategy": {"mode": "fallback"}, "targets": [{}, {}]}), slug="pc-1", version="v")
    assert (plan.mode, plan.slug, plan.version) == ("fallback", "pc-1", "v")
