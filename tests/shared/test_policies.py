from hypothesis import given
from hypothesis import strategies as st

from shared.policies import is_about_route, matches, value_key
from shared.schema.rows import ConditionRow, RatePolicyRow

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
