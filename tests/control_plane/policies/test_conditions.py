"""Which conditions and groups a policy may have."""

from uuid import uuid4

import pytest

from control_plane.policies.conditions import MAX_CONDITIONS, MAX_VALUES, faults_of, keys_of
from control_plane.policies.models import LLM, MCP_TOOLS

GROUP = [{"key": "api_key"}]
MODEL = [{"key": "model", "value": "@openai/*"}]


def faults(conditions=None, group_by=None, *, target=LLM, is_rate=False):
    return faults_of(conditions or MODEL, group_by or GROUP, target=target, is_rate=is_rate)


@pytest.mark.parametrize(
    "condition",
    [
        {"key": "model", "value": "*"}, {"key": "model", "value": ["a", "b"], "excludes": "b"},
        {"key": "model", "value": "@p/*", "excludes": ["@p/a", "@p/b"]}, {"key": "metadata._user", "value": "alice"},
        {"key": "metadata.a.b c", "value": "x"}, {"key": "api_key", "value": str(uuid4())}, {"key": "api_key", "value": "*"},
        {"key": "virtual_key", "value": "team-openai"}, {"key": "provider", "value": "openai"}, {"key": "config", "value": "pc-a"},
        {"key": "prompt", "value": "pp-a"}, {"key": "workspace_id", "value": "ws-a"}, {"key": "organisation_id", "value": "o"},
        {"key": "model", "value": "a", "excludes": None},
    ],
)  # fmt: skip
def test_a_condition_that_the_contract_allows_has_no_fault(condition):
    assert faults([condition]) == {}


@pytest.mark.parametrize(
    ("condition", "field"),
    [
        ({"value": "x"}, "key"), ({"key": None, "value": "x"}, "key"), ({"key": "user", "value": "x"}, "key"),
        ({"key": "metadata.", "value": "x"}, "key"), ({"key": "metadata", "value": "x"}, "key"),
        ({"key": "metadata." + "x" * 129, "value": "x"}, "key"), ({"key": ["model"], "value": "x"}, "key"),
        ({"key": "mcp_tool", "value": "x"}, "key"), ({"key": "model"}, "value"), ({"key": "model", "value": None}, "value"),
        ({"key": "model", "value": ""}, "value"), ({"key": "model", "value": 5}, "value"), ({"key": "model", "value": []}, "value"),
        ({"key": "model", "value": ["a", "*"]}, "value"), ({"key": "model", "value": ["a", 5]}, "value"),
        ({"key": "model", "value": ["a"] * (MAX_VALUES + 1)}, "value"), ({"key": "model", "value": "x" * 256}, "value"),
        ({"key": "api_key", "value": "gh-key"}, "value"), ({"key": "api_key", "value": [str(uuid4()), "x"]}, "value"),
        ({"key": "model", "value": "*", "excludes": "*"}, "excludes"), ({"key": "model", "value": "*", "excludes": []}, "excludes"),
        ({"key": "model", "value": "a", "operator": "in"}, "operator"),
    ],
)  # fmt: skip
def test_any_other_condition_has_one_fault_at_its_field(condition, field):
    assert [list(each) for each in faults([*MODEL, condition])["conditions"].values()] == [[field]]
    assert list(faults([*MODEL, condition])["conditions"]) == ["1"]


def test_the_kind_of_endpoint_is_for_rates():
    condition = [{"key": "endpoint_type", "value": "embed"}]
    assert faults(condition, is_rate=True) == {}
    assert list(faults(condition)) == ["conditions"]


def test_calls_of_tools_have_keys_of_their_own():
    condition = [{"key": "mcp_tool", "value": ["search", "fetch"]}]
    assert faults(condition, [{"key": "mcp_server"}], target=MCP_TOOLS, is_rate=True) == {}
    assert set(faults(MODEL, [{"key": "prompt"}], target=MCP_TOOLS)) == {"conditions", "group_by"}


@pytest.mark.parametrize("is_rate", [True, False])
@pytest.mark.parametrize("target", [LLM, MCP_TOOLS])
def test_a_counter_may_be_divided_by_every_key_of_its_target(target, is_rate):
    groups = [{"key": key} for key in (*keys_of(target, is_rate=is_rate), "metadata.team")]
    condition = [{"key": "workspace_id", "value": "*"}]
    assert faults(condition, groups, target=target, is_rate=is_rate) == {}


@pytest.mark.parametrize(
    "groups",
    [
        [{"key": "nothing"}],
        [{"key": "api_key"}, {"key": "api_key"}],
        [{"key": "api_key", "value": "x"}],
        [{}],
        [{"key": 5}],
    ],
)
def test_any_other_group_has_a_fault(groups):
    assert list(faults(group_by=groups)) == ["group_by"]


@pytest.mark.parametrize("given", [[], {}, "x", ["x"], [None], MODEL * (MAX_CONDITIONS + 1), None])
def test_conditions_and_groups_are_lists_of_objects(given):
    assert set(faults_of(given, given, is_rate=False)) == {"conditions", "group_by"}
