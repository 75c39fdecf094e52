from hypothesis import given
from hypothesis import strategies as st

from shared.policies import PolicyCall, facts_of, is_about_route, matches, value_key, why_not
from shared.schema.limits import ConditionRow, RatePolicyRow

TEXTS = st.sampled_from(["a", "b", "c", "x/y"])
FACTS = st.dictionaries(
    st.sampled_from(["model", "api_key", "metadata.t"]), st.lists(TEXTS, min_size=1, max_size=3).map(tuple)
)


def policy(conditions, group_by=("api_key",)):
    return RatePolicyRow("p", "o", None, "", tuple(conditions), group_by, "requests", "rpm", 1)


@given(FACTS, st.lists(TEXTS, min_size=1).map(tuple))
def test_a_value_of_any_form_suffices(facts, values):
    expected = bool(set(facts.get("model", ())) & set(values))
    assert matches(policy([ConditionRow("model", values)]), facts) is expected


@given(FACTS, st.lists(TEXTS, min_size=1).map(tuple))
def test_what_is_excluded_never_matches(facts, values):
    held = matches(policy([ConditionRow("model", ("*",), values)]), facts)
    assert held is ("model" in facts and not set(facts["model"]) & set(values))


@given(FACTS)
def test_all_conditions_must_hold(facts):
    each = [ConditionRow("model", ("*",)), ConditionRow("api_key", ("*",))]
    assert matches(policy(each), facts) is all(matches(policy([one]), facts) for one in each)


def test_a_star_behind_a_slash_means_all_below():
    below = policy([ConditionRow("model", ("@main/*",))])
    assert matches(below, {"model": ("gpt", "@main/gpt")})
    assert not matches(below, {"model": ("@mainly/gpt",)})


def test_groups_are_named_by_their_values():
    made = policy([], ("metadata._user", "api_key"))
    assert value_key(made, {"metadata._user": ("alice",), "api_key": ("k1",)}) == "metadata._user:alice|api_key:k1"
    assert value_key(made, {"api_key": ("k1",)}) == "metadata._user:|api_key:k1"


def test_a_policy_is_about_the_route_when_a_condition_or_a_group_is():
    assert is_about_route(policy([ConditionRow("model", ("*",))]))
    assert is_about_route(policy([], ("provider",)))
    assert not is_about_route(policy([ConditionRow("metadata.t", ("*",))], ("workspace_id",)))


@given(FACTS, st.lists(TEXTS, min_size=1).map(tuple), st.lists(TEXTS).map(tuple))
def test_there_is_a_reason_whenever_a_policy_does_not_hold(facts, values, excluded):
    made = policy([ConditionRow("api_key", ("*",)), ConditionRow("model", values, excluded)])
    assert (why_not(made, facts) is None) is matches(made, facts)


def test_the_reason_names_the_first_condition_that_is_not_met():
    made = policy([ConditionRow("model", ("gpt", "@main/*"), ("@main/old",)), ConditionRow("metadata.t", ("x",))])
    assert why_not(made, {}) == "the call has no model"
    assert why_not(made, {"model": ("claude",)}) == "model is claude, and the policy is for gpt, @main/*"
    assert why_not(made, {"model": ("@main/old",)}) == "model is @main/old, which the policy excludes"
    assert why_not(made, {"model": ("gpt",)}) == "the call has no metadata.t"
    assert why_not(made, {"model": ("gpt",), "metadata.t": ("x",)}) is None


def test_a_reason_tells_only_some_of_many_values():
    made = policy([ConditionRow("model", tuple(f"m{number}" for number in range(100)))])
    assert why_not(made, {"model": ("x",)}).endswith("m8, m9, …")


def test_facts_are_there_in_all_their_forms_and_only_if_the_call_has_them():
    bare = PolicyCall(organisation="o", workspace="w", workspace_slug="ws-1", operation="chat")
    assert {name: forms for name, forms in facts_of(bare).items() if forms} == {
        "organisation_id": ("o",), "workspace_id": ("w", "ws-1"), "endpoint_type": ("chatComplete", "chat"),
    }  # fmt: skip
    whole = PolicyCall(
        organisation="o", workspace="w", workspace_slug="ws-1", operation="embed", api_key="k", provider="openai",
        virtual_key="main", config="pc-1", sent="gpt", asked="@main/gpt", metadata={"team": "a"},
    )  # fmt: skip
    found = facts_of(whole)
    assert found["provider"] == ("openai", "main", "@main")
    assert found["virtual_key"] == ("main", "@main")
    assert set(found["model"]) == {"gpt", "@main/gpt"}
    assert (found["api_key"], found["config"], found["metadata.team"]) == (("k",), ("pc-1",), ("a",))
    assert found["endpoint_type"] == ("embed", "embed")
