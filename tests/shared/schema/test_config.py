import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import InvalidConfig
from shared.schema.config import MAX_DEPTH, RETRYABLE_STATUSES, parse_config

KEYS = st.sampled_from([
    "strategy", "mode", "targets", "retry", "attempts", "weight", "provider", "virtual_key", "override_params", "on_status_codes",
    "request_timeout", "forward_headers", "custom_host", "cache", "passthrough", "name", "drop_params",
])  # fmt: skip
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS | st.text(max_size=4), inner, max_size=5),
    max_leaves=20,
)


def faults(body):
    with pytest.raises(InvalidConfig) as raised:
        parse_config(body)
    return raised.value.errors


@given(json_values)
def test_any_json_value_is_a_config_or_a_list_of_pathed_faults(body):
    try:
        parse_config(body)
    except InvalidConfig as fault:
        assert fault.errors
        assert all(line.startswith("path: ") and ", message: " in line for line in fault.errors)


def test_every_fault_is_told_at_once_with_its_path():
    body = {
        "strategy": {"mode": "loadbalance"},
        "retry": {"attempts": 9},
        "targets": [{"provider": 7}, {"weight": -1}, {"targets": [{"weight": "x"}]}],
    }
    assert faults(body) == [
        "path: retry,attempts, message: Number must be from 0 to 5",
        "path: targets,0,provider, message: Expected string, received number",
        "path: targets,1,weight, message: Number must be greater than or equal to 0",
        "path: targets,2,targets,0,weight, message: Expected number, received string",
    ]


def test_a_wrong_mode_is_told_in_the_peers_words():
    assert faults({"strategy": {"mode": "x"}, "targets": [{}]}) == [
        "path: strategy,mode, message: Invalid 'mode' value. Must be one of: single, loadbalance, fallback, conditional"
    ]


@pytest.mark.parametrize(("body", "path"), [
    ({"provder": "openai"}, "provder"), ({"retry": {}}, "retry,attempts"), ({"retry": {"attempts": 1, "x": 1}}, "retry,x"),
    ({"strategy": {"mode": "fallback"}}, "targets"), ({"targets": [{}, {}]}, "strategy"), ([], ""), ({}, ""), (None, ""),
    ({"request_timeout": 0}, "request_timeout"), ({"request_timeout": 1.5}, "request_timeout"), ({"options": []}, "options"),
    ({"forward_headers": ["x-portkey-api-key"]}, "forward_headers"), ({"forward_headers": ["Metadata-Flavor"]}, "forward_headers"),
    ({"strategy": {"mode": "single"}, "targets": [{}] * 101}, "targets"), ({"passthrough": "yes"}, "passthrough"),
    ({"retry": {"attempts": True}}, "retry,attempts"), ({"weight": float("inf")}, "weight"),
])  # fmt: skip
def test_a_fault_is_found_at_its_path(body, path):
    assert any(line.startswith(f"path: {path}, message: ") for line in faults(body))


def test_nesting_has_a_limit():
    body = {"provider": "openai"}
    for _ in range(MAX_DEPTH + 1):
        body = {"strategy": {"mode": "single"}, "targets": [body]}
    assert any("Nested deeper" in line for line in faults(body))


def test_the_canonical_example_parses():
    config = parse_config({
        "strategy": {"mode": "fallback", "on_status_codes": [429, 500]},
        "retry": {"attempts": 3, "on_status_codes": [429, 503], "use_retry_after_header": True},
        "request_timeout": 10000,
        "targets": [
            {"override_params": {"model": "@azure-us/gpt-4o"}},
            {"strategy": {"mode": "loadbalance"}, "targets": [{"provider": "@a", "weight": 0.7}, {"virtual_key": "b", "weight": 0.3}]},
        ],
    })  # fmt: skip
    assert config.strategy.on_status_codes == {429, 500}
    assert (config.retry.attempts, config.retry.on_status_codes, config.retry.use_retry_after) == (3, {429, 503}, True)
    assert [target.weight for target in config.targets[1].targets] == [0.7, 0.3]


def test_retries_default_to_the_contracts_statuses():
    assert parse_config({"retry": {"attempts": 1}}).retry.on_status_codes == RETRYABLE_STATUSES


def test_the_legacy_place_of_status_codes_counts():
    config = parse_config({"strategy": {"mode": "fallback"}, "on_status_codes": [503], "targets": [{}, {}]})
    assert config.strategy.on_status_codes == {503}


def test_provider_settings_are_kept_and_keys_cannot_be_printed():
    config = parse_config({"provider": "openai", "api_key": "sk-sentinel-1", "openai_organization": "org-1"})
    assert config.settings == {"openai_organization": "org-1"}
    assert "sentinel" not in repr(config)


def test_features_that_are_not_built_yet_are_remembered():
    assert parse_config({"cache": {"mode": "simple"}, "provider": "openai"}).unbuilt == ("cache",)
