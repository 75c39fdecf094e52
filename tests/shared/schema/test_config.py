import pytest

from shared import settings
from shared.errors import InvalidConfig
from shared.schema.config import (
    MAX_DEPTH,
    RETRYABLE_STATUSES,
    CachePolicy,
    Config,
    Retry,
    parse_config,
)
from shared.schema.strategy import BreakerPolicy

TWO = [{"virtual_key": "a"}, {"virtual_key": "b"}]
RULES = "Invalid configuration. It must have either 'provider' and 'api_key', or 'strategy' and 'targets', or 'cache', or 'retry', or 'request_timeout'"


def refusal(body, **more):
    with pytest.raises(InvalidConfig) as raised:
        parse_config(body, **more)
    return raised.value


def faults(body, **more):
    return [line.removeprefix("path: ") for line in refusal(body, **more).errors]


def test_the_canonical_example_parses():
    config = parse_config({
        "strategy": {"mode": "fallback", "on_status_codes": [429, 500, 503, 246]},
        "retry": {"attempts": 3, "on_status_codes": [429, 503], "use_retry_after_headers": True},
        "cache": {"mode": "simple", "max_age": 3600}, "request_timeout": 10000, "input_guardrails": ["pg-abc"],
        "targets": [
            {"override_params": {"model": "@azure-us/gpt-4o"}},
            {"strategy": {"mode": "loadbalance"}, "targets": [
                {"provider": "@openai-prod", "weight": 0.7},
                {"virtual_key": "anthropic-1", "weight": 0.3, "override_params": {"model": "claude-sonnet-4-5"}},
            ]},
        ],
    })  # fmt: skip
    assert config.strategy.on_status_codes == {246, 429, 500, 503}
    assert config.retry == Retry(3, frozenset({429, 503}), use_retry_after=True)
    assert (config.cache, config.request_timeout, config.input_guardrails) == (
        CachePolicy("simple", 3600),
        10000,
        ("pg-abc",),
    )
    assert [target.weight for target in config.targets[1].targets] == [0.7, 0.3]
    assert config.targets[0].override_params == {"model": "@azure-us/gpt-4o"}
    assert config.unbuilt() == ("cache", "input_guardrails")


EVERY_KEY = {
    "name": "n", "weight": 2, "provider": "openai", "virtual_key": "vk", "api_key": "k", "prompt_id": "pp", "override_params": {"a": 1}, "default_params": {"b": 2},
    "drop_params": ["c"], "request_timeout": 5, "custom_host": "https://a.example", "forward_headers": [" X-One "], "strict_open_ai_compliance": False, "passthrough": True,
    "fetch_integrated_models": True, "$schema": "x", "cb_config": {"cooldown_interval": 30_000, "failure_threshold": 1}, "azure_region": "eu", "input_mutators": ["m"], "output_mutators": ["m"],
    "output_guardrails": ["g"], "before_request_hooks": [{"id": "h"}], "after_request_hooks": [{"id": "h"}],
}  # fmt: skip


def test_every_key_of_the_language_is_read():
    config = parse_config(EVERY_KEY)
    assert (
        config.name,
        config.weight,
        config.provider,
        config.virtual_key,
        config.api_key.reveal(),
        config.prompt_id,
    ) == ("n", 2.0, "openai", "vk", "k", "pp")
    assert (config.override_params, config.default_params, config.drop_params, config.request_timeout) == (
        {"a": 1},
        {"b": 2},
        (("c",),),
        5,
    )
    assert (config.custom_host, config.forward_headers, config.strict_open_ai_compliance, config.passthrough) == (
        "https://a.example",
        ("x-one",),
        False,
        True,
    )
    assert (config.cb_config, config.settings, config.fetch_integrated_models) == (
        BreakerPolicy(30_000, 1),
        {"azure_region": "eu"},
        True,
    )
    assert set(config.unbuilt()) == {
        "prompt_id",
        "output_guardrails",
        "before_request_hooks",
        "after_request_hooks",
        "input_mutators",
        "output_mutators",
    }


@pytest.mark.parametrize("key", sorted(set(EVERY_KEY) - {"$schema"}))
def test_null_is_the_same_as_nothing_said(key):
    assert parse_config({"retry": {"attempts": 0}, key: None}) == parse_config({"retry": {"attempts": 0}})


@pytest.mark.parametrize("key", sorted(set(EVERY_KEY) - {"$schema"}))
def test_a_value_of_a_wrong_type_is_told_at_its_key(key):
    body = {"retry": {"attempts": 0}, key: [{}] if key in {"name", "weight", "azure_region", "passthrough"} else 0.5}
    assert all(line.startswith((f"{key}, message: ", f"{key},")) for line in faults(body))


def test_what_nobody_says_is_left_open():
    assert parse_config({"virtual_key": "v"}) == Config(virtual_key="v")
    assert (Config().weight, Config().passthrough, Config().retry, Config().settings) == (1.0, False, None, {})


@pytest.mark.parametrize("key", ["use_retry_after_header", "use_retry_after_headers"])
def test_both_spellings_of_the_retry_header_count(key):
    assert parse_config({"retry": {"attempts": 1, key: True}}).retry.use_retry_after
    assert not parse_config({"retry": {"attempts": 1, key: False}}).retry.use_retry_after


def test_retries_default_to_the_contracts_statuses():
    assert (
        parse_config({"retry": {"attempts": 1}}).retry.on_status_codes
        == RETRYABLE_STATUSES
        == {429, 500, 502, 503, 504, 529}
    )
    assert parse_config({"retry": {"attempts": 1, "on_status_codes": []}}).retry.on_status_codes == frozenset()


def test_the_legacy_place_of_status_codes_counts_where_the_strategy_has_none():
    def codes(strategy, **more):
        return parse_config(
            {"strategy": {"mode": "fallback", **strategy}, "targets": TWO, **more}
        ).strategy.on_status_codes

    assert codes({}, on_status_codes=[503]) == {503}
    assert codes({"on_status_codes": [429]}, on_status_codes=[503]) == {429}
    assert codes({"on_status_codes": []}, on_status_codes=[503]) == frozenset()
    assert codes({}, on_status_codes=None) is None


# Faults.


def test_every_fault_is_told_at_once_with_its_path():
    body = {
        "strategy": {"mode": "loadbalance"}, "retry": {"attempts": 9},
        "targets": [{"provider": 7}, {"weight": -1}, {"targets": [{"weight": "x"}]}],
    }  # fmt: skip
    assert faults(body) == [
        "retry,attempts, message: Number must be from 0 to 5",
        "targets,0,provider, message: Expected string, received number",
        "targets,1,weight, message: Number must be greater than or equal to 0",
        "targets,2,targets,0,weight, message: Expected number, received string",
    ]
    assert refusal(body).message == "Invalid config passed"


@pytest.mark.parametrize(("body", "said"), [
    ({"provder": "openai"}, ["provder, message: Unrecognized key"]), ({"retry": {}}, ["retry,attempts, message: Required"]),
    ({"retry": {"attempts": 1, "x": 1}}, ["retry,x, message: Unrecognized key"]), ({"retry": {"attempts": True}}, ["retry,attempts, message: Expected number, received boolean"]),
    ({"strategy": {"mode": "fallback"}}, ["targets, message: Required when there is a strategy"]),
    ({"strategy": {"mode": "fallback"}, "targets": []}, ["targets, message: Required when there is a strategy"]),
    ({"strategy": {"mode": "fallback"}, "targets": 1}, ["targets, message: Expected array, received number"]),
    ({"targets": [{}, {}]}, ["strategy, message: Required when there is more than one target"]),
    ({"strategy": 7, "targets": [{}, {}]}, ["strategy, message: Expected object, received number"]),
    ({"strategy": {"mode": "x"}, "targets": [{}, {}]}, ["strategy,mode, message: Invalid 'mode' value. Must be one of: single, loadbalance, fallback, conditional"]),
    ({"targets": [7]}, ["targets,0, message: Expected object, received number"]), ([], [", message: Expected object, received array"]), (None, [", message: Expected object, received null"]),
    ({"request_timeout": 0}, ["request_timeout, message: Number must be from 1 to 86400000"]), ({"request_timeout": 1.5}, ["request_timeout, message: Expected integer, received float"]),
    ({"weight": float("inf")}, ["weight, message: Number must be greater than or equal to 0"]), ({"weight": float("nan")}, ["weight, message: Number must be greater than or equal to 0"]),
    ({"weight": True}, ["weight, message: Expected number, received boolean"]), ({"passthrough": "yes"}, ["passthrough, message: Expected boolean, received string"]),
    ({"cache": {"mode": "x"}}, ["cache,mode, message: Must be one of: simple, semantic"]), ({"cache": {}}, ["cache,mode, message: Required"]),
    ({"virtual_key": ""}, ["virtual_key, message: is empty"]), ({"on_status_codes": 5}, ["on_status_codes, message: Expected array, received number"]),
    ({"forward_headers": ["Metadata-Flavor"]}, ["forward_headers, message: the header 'metadata-flavor' is never forwarded"]),
    ({"forward_headers": ["a b"]}, ["forward_headers, message: Not a header's name"]), ({"forward_headers": [" "]}, ["forward_headers, message: Not a header's name"]),
    ({"forward_headers": ["a\r\nb: c"]}, ["forward_headers, message: Not a header's name"]), ({"forward_headers": ["a"] * 101}, ["forward_headers, message: Array must contain at most 100 element(s)"]),
    ({"cb_config": {"cooldown_interval": 1, "failure_threshold": 1}}, ["cb_config,cooldown_interval, message: Number must be from 30000 to 86400000"]),
])  # fmt: skip
def test_a_fault_is_told_once_and_in_order(body, said):
    assert faults(body) == said


CONDITIONAL = {
    "mode": "conditional",
    "conditions": [{"query": {"x": 1}, "then": "a"}, {"query": {"params.a": 1}, "then": "z"}],
    "default": "y",
}


def test_names_are_checked_beside_other_faults_and_keep_their_index():
    assert faults({"strategy": CONDITIONAL, "targets": [{"name": "a"}]}) == [
        "strategy,conditions,0,query,x, message: A condition looks at metadata.<key>, params.<key> or url.pathname",
        "strategy,conditions,1,then, message: Invalid target name found in the query router: z",
        "strategy,default, message: Invalid target name found in the query router: y",
    ]


def test_names_are_not_checked_against_targets_whose_names_cannot_be_read():
    assert faults({"strategy": CONDITIONAL, "targets": [{"name": "a"}, {"name": 7}]}) == [
        "strategy,conditions,0,query,x, message: A condition looks at metadata.<key>, params.<key> or url.pathname",
        "targets,1,name, message: Expected string, received number",
    ]


def test_targets_that_cannot_be_read_are_not_missing_too():
    assert faults({"strategy": CONDITIONAL | {"conditions": [{"query": {}, "then": "a"}]}, "targets": "x"}) == [
        "targets, message: Expected array, received string"
    ]


@pytest.mark.parametrize(("body", "message"), [
    ({"options": []}, "This version of config is not supported in this route. Please migrate to the latest version"),
    ({"options": None}, "This version of config is not supported in this route. Please migrate to the latest version"),
    ({"forward_headers": ["x-portkey-forward-headers"]}, "forward_headers must not contain the 'x-portkey-forward-headers' header"),
    ({"forward_headers": ["X-Portkey-Api-Key"]}, "forward_headers must not contain the 'x-portkey-api-key' header"),
    ({"strategy": {"mode": "conditional"}, "targets": [{"name": "a"}]}, "No conditions passed in the query router"),
    ({"strategy": {"mode": "conditional", "conditions": [{"query": {"params.a": {"$x": 1}}, "then": "a"}]}, "targets": [{"name": "a"}]}, "Unsupported operator used in the query router: $x"),
    ({"strategy": {"mode": "conditional", "conditions": [{"query": {}, "then": "z"}]}, "targets": [{"name": "a"}]}, "Invalid target name found in the query router: z"),
])  # fmt: skip
def test_a_sentence_that_clients_know_is_the_whole_answers(body, message):
    assert refusal(body).message == message
    assert len(refusal(body).errors) == 1
    assert refusal(body | {"zzz": 1}).message == "Invalid config passed"


# What makes a config (contract 1, `anyOf`).


@pytest.mark.parametrize("body", [
    {"provider": "openai", "api_key": "k"}, {"provider": "openai", "custom_host": "https://a.example"}, {"provider": "@slug"}, {"virtual_key": "v"},
    {"strategy": {"mode": "single"}, "targets": [{}]}, {"targets": [{}]}, {"cache": {"mode": "simple"}}, {"retry": {"attempts": 0}}, {"prompt_id": "p"},
    {"forward_headers": ["a"]}, {"request_timeout": 1}, {"passthrough": True}, {"default_params": {}}, {"drop_params": []}, {"override_params": {}},
    {"input_guardrails": []}, {"output_guardrails": ["g"]}, {"before_request_hooks": []}, {"after_request_hooks": []}, {"aws_access_key_id": "a"},
    {"vertex_project_id": "p"}, {"azure_auth_mode": "m"}, {"provider": "ollama"}, {"provider": "triton"},
])  # fmt: skip
def test_a_config_says_at_least_one_thing(body):
    assert isinstance(parse_config(body), Config)


@pytest.mark.parametrize("body", [
    {}, {"provider": "openai"}, {"api_key": "k"}, {"custom_host": "https://a.example"}, {"name": "n"}, {"weight": 1}, {"input_mutators": ["m"]}, {"retry": None}, {"$schema": "s"},
    {"on_status_codes": [500]},
])  # fmt: skip
def test_a_config_that_says_nothing_is_refused_in_the_peers_words(body):
    assert faults(body) == [f", message: {RULES}"]
    assert refusal(body).message == "Invalid config passed"


def test_a_target_may_be_empty():
    assert parse_config({"targets": [{}]}).targets == (Config(),)
    assert parse_config({"targets": [{"provider": "openai"}]}).targets[0].provider == "openai"


# Bounds.


def nested(depth):
    body = {"virtual_key": "v"}
    for _ in range(depth):
        body = {"strategy": {"mode": "single"}, "targets": [body]}
    return body


def test_nesting_has_a_limit():
    assert parse_config(nested(MAX_DEPTH))
    assert [line.rpartition(", message: ")[2] for line in faults(nested(MAX_DEPTH + 1))] == [
        f"Nested deeper than {MAX_DEPTH} levels"
    ]
    assert len(faults(nested(300))) == 1


def conditional(count):
    return {
        "strategy": {"mode": "conditional", "conditions": [{"query": {}, "then": "t"}]},
        "targets": [{"name": "t"}] * count,
    }


def test_the_root_has_a_hundred_targets_and_a_thousand_under_conditions():
    assert len(parse_config({"strategy": {"mode": "fallback"}, "targets": [{}] * 100}).targets) == 100
    assert faults({"strategy": {"mode": "fallback"}, "targets": [{}] * 101}) == [
        "targets, message: Array must contain at most 100 element(s)"
    ]
    assert len(parse_config(conditional(1000)).targets) == 1000
    assert faults(conditional(1001)) == ["targets, message: Array must contain at most 1000 element(s)"]


def test_fifty_targets_may_lie_below_each_target_of_the_root():
    def below(*counts):
        return {
            "strategy": {"mode": "fallback"},
            "targets": [{"strategy": {"mode": "fallback"}, "targets": [{}] * count} for count in counts],
        }

    assert parse_config({"strategy": {"mode": "fallback"}, "targets": [below(40, 8), below(24, 24)]})
    assert faults({"strategy": {"mode": "fallback"}, "targets": [below(40, 9), {}]}) == [
        "targets,0,targets,1,targets, message: Array must contain at most 8 element(s)"
    ]
    assert faults({"strategy": {"mode": "fallback"}, "targets": [{}, below(51)]}) == [
        "targets,1,targets,0,targets, message: Array must contain at most 49 element(s)"
    ]


def test_the_bounds_are_settings(monkeypatch):
    monkeypatch.setattr(settings, "MAX_ROOT_TARGETS", 2)
    monkeypatch.setattr(settings, "MAX_NESTED_TARGETS", 1)
    assert faults({"strategy": {"mode": "fallback"}, "targets": [{}] * 3}) == [
        "targets, message: Array must contain at most 2 element(s)"
    ]
    assert faults({"targets": [{"strategy": {"mode": "fallback"}, "targets": [{}, {}]}]}) == [
        "targets,0,targets, message: Array must contain at most 1 element(s)"
    ]


def test_a_config_of_a_hundred_thousand_faults_lists_a_hundred():
    listed = refusal({"retry": {"attempts": 1}, **{str(number): 1 for number in range(20_000)}}).errors
    assert len(listed) == 101
    assert listed[-1] == "path: , message: There are more faults than are listed here"


# Hosts and secrets.


def test_hosts_are_judged_only_where_trusted_ones_are_given():
    body = {"provider": "openai", "custom_host": "http://127.0.0.1:9"}
    assert parse_config(body).custom_host == "http://127.0.0.1:9"
    assert faults(body, trusted_hosts=())[0].startswith("custom_host, message: Invalid custom host: ")
    assert parse_config(body, trusted_hosts={"127.0.0.1"}).custom_host == "http://127.0.0.1:9"
    inner = {"targets": [{"custom_host": "https://metadata.google.internal"}]}
    assert faults(inner, trusted_hosts=())[0].startswith("targets,0,custom_host, message: ")


def test_provider_settings_are_kept_and_secrets_cannot_be_printed():
    body = {
        "provider": "openai", "api_key": "sk-sentinel-1", "openai_organization": "org-1", "vertex_service_account_json": {"private_key": "sentinel-2"},
        "input_guardrails": [{"webhook": {"headers": {"Authorization": "sentinel-3"}}}], "aws_session_token": "sentinel-4",
    }  # fmt: skip
    config = parse_config(body)
    assert config.settings["openai_organization"] == "org-1"
    assert "sentinel" not in repr(config)
    assert "sentinel" not in repr(Config(targets=(config,)))


def test_a_fault_never_repeats_a_value():
    body = {
        "provider": ["sentinel-1"],
        "api_key": {"sentinel": 1},
        "retry": "sentinel-2",
        "aws_session_token": ["sentinel-3"],
        "cache": {"mode": "sentinel-4"},
    }
    assert len(faults(body)) == 5
    assert "sentinel" not in str(refusal(body).body())
