import json
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.errors import InvalidConfig
from shared.routing.compile import compile_plan
from shared.routing.facts import Facts
from shared.routing.plan import Conditional, Fallback, LoadBalance, Target
from shared.routing.walk import AttemptResult, NoTarget, walk
from shared.schema.config import MAX_RETRIES, parse_config
from tests.effort import IS_THOROUGH
from tests.shared.routing.config_kit import mutated, near_valid
from tests.shared.routing.route_kit import compiled, route


def two(parent, child=None):
    """Return the first leaf of a fallback whose parent says `parent` and whose first target says `child`."""
    targets = [child or {}, {"provider": "x"}]
    return compiled({"strategy": {"mode": "fallback"}, "targets": targets, **parent}).children[0]


def leaves(node):
    """Return every target below a node, in order."""
    if isinstance(node, Target):
        return [node]
    if isinstance(node, Conditional):
        children = [child for _, child in node.arms] + ([node.default] if node.default else [])
    else:
        children = list(node.children)
    return [leaf for child in children for leaf in leaves(child)]


def test_a_config_without_targets_is_the_target():
    assert compiled({"provider": "openai", "api_key": "k"}).path == "config"


def test_paths_name_every_leaf_as_the_contract_does():
    root = compiled({"strategy": {"mode": "fallback"}, "targets": [
        {"provider": "a"}, {"strategy": {"mode": "loadbalance"}, "targets": [{"provider": "b"}, {"provider": "c"}]},
    ]})  # fmt: skip
    assert isinstance(root, Fallback)
    assert isinstance(root.children[1], LoadBalance)
    assert [leaf.path for leaf in leaves(root)] == [
        "config.targets[0]", "config.targets[1].targets[0]", "config.targets[1].targets[1]",
    ]  # fmt: skip


@pytest.mark.parametrize("strategy", [{"strategy": {"mode": "single"}}, {}])
def test_single_uses_its_first_target(strategy):
    body = {**strategy, "targets": [{"provider": "a"}]}
    assert (compiled(body).path, compiled(body).provider) == ("config.targets[0]", "a")


def test_targets_that_single_leaves_out_are_not_compiled():
    body = {"strategy": {"mode": "single"}, "targets": [{"provider": "a"}, {"cache": {"mode": "simple"}}]}
    assert compiled(body).provider == "a"


# Inheritance (contract 1.3): the parent alone, the child alone, both.

HOSTS = ("https://p.example/v1", "https://c.example/v1")
INHERITED = [
    ("request_timeout", "timeout_ms", 10, 20), ("custom_host", "custom_host", *HOSTS), ("strict_open_ai_compliance", "strict", True, False),
    ("strict_open_ai_compliance", "strict", False, True), ("forward_headers", "forward_headers", ["p"], ["c", "d"]),
    ("drop_params", "drop_params", ["logprobs"], ["user"]), ("retry", "retry", {"attempts": 3, "on_status_codes": [418]}, {"attempts": 0}),
]  # fmt: skip


@pytest.mark.parametrize(("key", "field", "parent", "child"), INHERITED)
def test_settings_are_inherited_whole_and_the_child_wins(key, field, parent, child):
    def said(value):
        return getattr(compiled({"virtual_key": "v", key: value}), field)

    assert said(parent) != said(child)
    assert getattr(two({key: parent}), field) == said(parent)
    assert getattr(two({}, {key: child}), field) == said(child)
    assert getattr(two({key: parent}, {key: child}), field) == said(child)


def test_an_empty_list_of_the_child_takes_the_parents_away():
    leaf = two({"forward_headers": ["p"], "drop_params": ["a"]}, {"forward_headers": [], "drop_params": []})
    assert (leaf.forward_headers, leaf.drop_params) == ((), ())


def test_retry_is_replaced_as_a_whole():
    leaf = two(
        {"retry": {"attempts": 3, "on_status_codes": [418], "use_retry_after_headers": True}},
        {"retry": {"attempts": 1}},
    )
    assert (leaf.retry.attempts, leaf.retry.use_retry_after) == (1, False)
    assert 418 not in leaf.retry.on_status_codes


@pytest.mark.parametrize("key", ["override_params", "default_params"])
@pytest.mark.parametrize(("parent", "child", "merged"), [
    ({"a": 1}, None, {"a": 1}), (None, {"a": 2}, {"a": 2}), ({"a": 1, "b": {"x": 1}}, {"b": {"y": 2}, "c": 3}, {"a": 1, "b": {"y": 2}, "c": 3}),
    ({"a": 1}, {}, {"a": 1}), (None, None, {}),
])  # fmt: skip
def test_params_merge_at_their_top_and_the_child_wins(key, parent, child, merged):
    leaf = two({key: parent}, {key: child} if child is not None else {})
    assert getattr(leaf, key) == merged


def test_inheritance_goes_through_every_level():
    body = {"request_timeout": 5, "override_params": {"a": 1}, "strategy": {"mode": "single"}, "targets": [
        {"override_params": {"b": 2}, "strategy": {"mode": "fallback"}, "targets": [{"override_params": {"c": 3}}, {}]},
    ]}  # fmt: skip
    leaf = compiled(body).children[0]
    assert (leaf.timeout_ms, leaf.override_params) == (5, {"a": 1, "b": 2, "c": 3})


@pytest.mark.parametrize(("key", "value", "field", "empty"), [
    ("provider", "openai", "provider", None), ("api_key", "sk-1", "api_key", None), ("virtual_key", "vk", "virtual_key", None),
    ("name", "n", "name", None), ("passthrough", True, "passthrough", False), ("azure_region", "eu", "settings", {}),
])  # fmt: skip
def test_credentials_provider_and_name_are_not_inherited(key, value, field, empty):
    assert getattr(two({key: value}), field) == empty
    assert getattr(two({}, {key: value}), field) != empty


def test_weight_is_not_inherited():
    body = {"weight": 5, "strategy": {"mode": "loadbalance"}, "targets": [{"weight": 0.5}, {}]}
    assert compiled(body).weights == (0.5, 1.0)
    assert compiled(body).cumulative == (0.5, 1.5)


BREAKER = {"cooldown_interval": 30_000, "failure_threshold": 1}
OTHER = {"cooldown_interval": 40_000, "failure_threshold": 2}


def cooldowns(body):
    return {
        leaf.path.removeprefix("config"): leaf.breaker and leaf.breaker.cooldown_ms for leaf in leaves(compiled(body))
    }


def nest(outer, inner, mode="fallback"):
    """Return a config of two levels; `outer` and `inner` are what their strategies say."""
    below = {"strategy": {"mode": "fallback", **inner}, "targets": [{"name": "b"}, {"name": "c", "cb_config": OTHER}]}
    choice = (
        {"conditions": [{"query": {"metadata.x": 1}, "then": "in"}], "default": "a"} if mode == "conditional" else {}
    )
    return {"strategy": {"mode": mode, **choice, **outer}, "targets": [{"name": "a"}, {"name": "in", **below}]}


A, B, C = ".targets[0]", ".targets[1].targets[0]", ".targets[1].targets[1]"


def test_targets_take_the_breaker_of_their_strategy_and_nested_strategies_their_parents():
    assert cooldowns(nest({"cb_config": BREAKER}, {})) == {A: 30_000, B: 30_000, C: 40_000}
    assert cooldowns(nest({}, {"cb_config": BREAKER})) == {A: None, B: 30_000, C: 40_000}
    assert cooldowns(nest({"cb_config": BREAKER}, {"cb_config": OTHER})) == {A: 30_000, B: 40_000, C: 40_000}
    assert cooldowns(nest({}, {})) == {A: None, B: None, C: 40_000}


def test_a_breaker_does_not_go_through_conditions():
    assert cooldowns(nest({"cb_config": BREAKER}, {}, "conditional")) == {A: None, B: None, C: 40_000}
    assert cooldowns(nest({"cb_config": BREAKER}, {"cb_config": OTHER}, "conditional")) == {
        A: None,
        B: 40_000,
        C: 40_000,
    }


def test_a_target_says_its_breaker_by_config_and_path():
    plan = compile_plan(parse_config(nest({"cb_config": BREAKER}, {})), key="org/pc-1/v2")
    assert [leaf.breaker_id for leaf in leaves(plan.root)] == [f"org/pc-1/v2|config{path}" for path in (A, B, C)]
    assert compiled({"virtual_key": "v"}).breaker_id == ""


def test_only_what_can_be_left_out_is_guarded():
    assert compiled(nest({}, {})).guarded
    assert compiled(nest({"cb_config": BREAKER}, {})).guarded
    assert not compiled({"strategy": {"mode": "fallback"}, "targets": [{}, {}]}).guarded
    inside = compiled(
        {"strategy": {"mode": "fallback"}, "targets": [nest({}, {"cb_config": BREAKER}, "conditional"), {}]}
    )
    assert not inside.guarded
    assert inside.children[0].arms[0][1].guarded


def test_conditions_lead_to_the_first_target_of_a_name():
    root = compiled({
        "strategy": {"mode": "conditional", "conditions": [{"query": {"metadata.x": 1}, "then": "a"}], "default": "b"},
        "targets": [{"name": "b", "provider": "1"}, {"name": "a", "provider": "2"}, {"name": "a", "provider": "3"}],
    })  # fmt: skip
    assert (root.arms[0][1].provider, root.default.provider) == ("2", "1")


def test_conditions_need_no_default():
    body = {
        "strategy": {"mode": "conditional", "conditions": [{"query": {"metadata.x": 1}, "then": "a"}]},
        "targets": [{"name": "a"}],
    }
    assert compiled(body).default is None


def test_a_balance_is_named_by_config_and_path():
    body = {
        "strategy": {"mode": "loadbalance", "sticky": {"enabled": True, "hash_fields": ["metadata.u"]}},
        "targets": [{}, {}],
    }
    root = compiled(body, key="k")
    assert (root.id, root.sticky.fields, root.sticky.ttl_s) == ("k|config", (("metadata", "u"),), 3600)


def test_weights_that_are_all_zero_are_a_clear_refusal():
    with pytest.raises(InvalidConfig, match="all weights are 0") as raised:
        compiled({"strategy": {"mode": "loadbalance"}, "targets": [{"weight": 0}, {"weight": 0}]})
    assert raised.value.errors == ["path: config, message: at least one weight must be greater than 0"]


@pytest.mark.parametrize(("body", "path"), [
    ({"provider": "openai", "cache": {"mode": "simple"}}, "config"),
    ({"strategy": {"mode": "fallback"}, "targets": [{"input_guardrails": ["pg-1"]}, {}]}, "config.targets[0]"),
    ({"prompt_id": "pp-1"}, "config"),
])  # fmt: skip
def test_what_cannot_be_run_yet_says_so(body, path):
    with pytest.raises(InvalidConfig, match="not available in this version") as raised:
        compiled(body)
    assert raised.value.errors[0].startswith(f"path: {path}, message: '")


def test_a_plan_remembers_how_it_is_named():
    config = parse_config({"strategy": {"mode": "fallback"}, "targets": [{}, {}]})
    plan = compile_plan(config, slug="pc-1", version="v")
    assert (plan.mode, plan.slug, plan.version) == ("fallback", "pc-1", "v")
    assert compile_plan(parse_config({"virtual_key": "v"})).mode == "single"


def test_secrets_of_a_config_cannot_be_printed_at_any_stage():
    body = {
        "targets": [
            {
                "provider": "openai",
                "api_key": "sentinel-1",
                "aws_secret_access_key": "sentinel-2",
                "vertex_service_account_json": {"private_key": "sentinel-3"},
            }
        ]
    }
    config = parse_config(body)
    assert "sentinel" not in repr(config)
    assert "sentinel" not in repr(compile_plan(config))


def test_a_thousand_conditions_over_a_thousand_targets_compile():
    count = 1000
    body = {
        "strategy": {
            "mode": "conditional",
            "conditions": [
                {
                    "query": {"$or": [{"metadata.plan": f"p{n}"}, {"params.model": {"$regex": f"^m{n}-"}}]},
                    "then": f"t{n}",
                }
                for n in range(count)
            ],
        },
        "targets": [
            {"name": f"t{n}", "provider": f"@slug-{n}", "override_params": {"model": "m"}} for n in range(count)
        ],
    }
    assert 180_000 < len(json.dumps(body)) < 256 * 1024
    root = compiled(body)
    assert next(walk(root, route(Facts(metadata={"plan": "p999"})))).target.provider == "@slug-999"


# Properties over configs that are nearly right and over any JSON value.

FACTS = st.builds(
    Facts,
    st.sampled_from(["/v1/chat/completions", ""]),
    st.dictionaries(st.sampled_from(["plan", "u"]), st.sampled_from(["a", "b", "free", "1"]), max_size=2),
    st.dictionaries(st.sampled_from(["model", "max_tokens"]), st.sampled_from(["gpt", 10, None, [], "x"]), max_size=2),
)  # fmt: skip
STATUSES = (200, 246, 400, 401, 408, 429, 446, 500, 503, 529)
WAITS = (None, 0.0, 5.0, 31.0, 60.0, 1e9)


def check_walk(plan, facts, seed):
    """Drive a plan with random answers; assert what is true of every walk."""
    dice = Random(seed)
    known = {leaf.path: leaf for leaf in leaves(plan.root)}
    steps = walk(plan.root, route(facts, draw=dice.random, jitter=bool(seed % 2)))
    most, made, idle = len(known) * (MAX_RETRIES + 1), 0, unweighted(plan.root)
    try:
        step = next(steps)
        while True:
            made += 1
            assert made <= most
            assert known[step.target.path] is step.target
            assert step.target.path not in idle
            final = dice.random() < 0.05
            result = AttemptResult(dice.choice(STATUSES), dice.choice(WAITS), final=final)
            try:
                step = steps.send(result)
            except StopIteration as end:
                assert end.value.status == result.status
                return
            assert not final, "a final result must end the walk"
            assert 0 <= step.wait_s <= 60
    except NoTarget as refusal:
        assert refusal.status == 400
        assert made == 0 or any(isinstance(node, Conditional) for node in nodes(plan.root))


def nodes(node):
    """Return every node below a node and itself."""
    if isinstance(node, Target):
        return [node]
    if isinstance(node, Conditional):
        children = [child for _, child in node.arms] + ([node.default] if node.default else [])
    else:
        children = list(node.children)
    return [node, *(each for child in children for each in nodes(child))]


def unweighted(root):
    """Return the paths of all targets below a child of weight 0."""
    balances = [node for node in nodes(root) if isinstance(node, LoadBalance)]
    idle = [child for node in balances for child, weight in zip(node.children, node.weights, strict=True) if not weight]
    return {leaf.path for child in idle for leaf in leaves(child)}


def check(body, facts, seed):
    """Parse, compile and walk; return whether the config was accepted."""
    try:
        plan = compile_plan(parse_config(body, trusted_hosts=() if seed % 3 else None))
    except InvalidConfig as refusal:
        assert refusal.message
        assert refusal.errors
        assert all(line.startswith("path: ") and ", message: " in line for line in refusal.errors), refusal.errors
        return False
    check_walk(plan, facts, seed)
    return True


MANY = settings(
    max_examples=10_000 if IS_THOROUGH else 1000, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
SOME = settings(MANY, max_examples=2_500 if IS_THOROUGH else 500)


@MANY
@given(st.integers(0, 2**32), FACTS)
def test_a_nearly_valid_config_is_refused_with_paths_or_walked_to_an_end(seed, facts):
    dice = Random(seed)
    body = near_valid(dice)
    for _ in range(dice.choice((0, 0, 1, 2))):
        body = mutated(body, dice)
    check(body, facts, seed)


KEYS = st.sampled_from([
    "strategy", "mode", "targets", "retry", "attempts", "weight", "provider", "virtual_key", "override_params", "on_status_codes", "name",
    "request_timeout", "forward_headers", "custom_host", "cache", "passthrough", "drop_params", "conditions", "query", "then", "default",
    "sticky", "cb_config", "cooldown_interval", "input_guardrails", "before_request_hooks", "checks", "deployments", "options",
    "vertex_service_account_json", "$or", "$regex", "metadata.plan",
])  # fmt: skip
any_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["fallback", "loadbalance", "single", "conditional", "\ud800"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=12,
)


@SOME
@given(any_json, FACTS, st.integers(0, 100))
def test_any_json_value_is_refused_with_paths_or_walked_to_an_end(body, facts, seed):
    check(body, facts, seed)


def test_what_is_made_nearly_valid_is_often_valid_and_what_is_mutated_often_not():
    """Otherwise the properties above would hold of nothing."""
    plain = [check(near_valid(Random(seed)), Facts(metadata={"plan": "a"}), seed) for seed in range(300)]
    bent = [check(mutated(near_valid(Random(seed)), Random(seed)), Facts(), seed) for seed in range(300)]
    assert sum(plain) > 200
    assert bent.count(False) > 100
