import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.pricing import MOST_NANO, Tokens, cost_nano
from shared.schema.limits import UnpricedRule
from shared.schema.rows import ModelPriceRow, ProviderPricesRow, Rate, UnitRate
from shared.unpriced import LEAST_NANO, Unpriced, dearest

RATES = st.lists(st.builds(Rate, st.just(0), st.integers(0, 10**12)), max_size=1).map(tuple)
ROWS = st.lists(st.builds(ModelPriceRow, st.just("m"), st.just(["equals", "m"]), input=RATES, output=RATES), max_size=6)
TOKENS = st.builds(Tokens, input=st.integers(0, 10**6), output=st.integers(0, 10**6))


@given(ROWS, TOKENS)
def test_the_dearest_is_never_cheaper_than_any_model_that_has_a_price(rows, used):
    found = dearest(rows)
    costs = [cost for row in rows if (cost := cost_nano(row, used))]
    if costs:
        assert cost_nano(found, used) is None or cost_nano(found, used) >= max(costs)


@given(st.sampled_from(["dearest", "fixed"]), st.integers(0, 10**12), TOKENS)
def test_a_call_of_an_unknown_price_is_never_free(rule, rate, used):
    cost = Unpriced({}).nano(UnpricedRule(rule, rate, rate), "openai", used)
    assert LEAST_NANO <= cost <= MOST_NANO
    assert cost >= (used.input + used.output) * rate // 10**6


@pytest.mark.parametrize(("source", "used", "cost"), [
    ("one", Tokens(1000, 10), 1000 * 8_000 + 10 * 600_000),
    ("both", Tokens(1000, 10), 1000 * 9_000 + 10 * 600_000),
    ("one", Tokens(images=3), 3 * 40_000_000),
    # What the dearest model has no price for is counted by the rule.
    ("one", Tokens(characters=10), LEAST_NANO), ("none", Tokens(10**6, 0), 15_000_000_000), (None, Tokens(0, 0), LEAST_NANO),
])  # fmt: skip
def test_the_dearest_model_of_the_provider_and_of_those_it_resells_is_taken(source, used, cost):
    lists = {
        "one": ProviderPricesRow("one", "l", (
            ModelPriceRow("a", ["equals", "a"], input=(Rate(0, 10**9), Rate(200, 8 * 10**9)), output=(Rate(0, 10**9),)),
            ModelPriceRow("b", ["equals", "b"], input=(Rate(0, 1),), output=(Rate(0, 600 * 10**9),),
                          units={"images": UnitRate(40_000_000)}),
            ModelPriceRow("c", ["equals", "c"], units={"images": UnitRate(50_000_000, per=2)}),
        )),
        "both": ProviderPricesRow(
            "both", "l", (ModelPriceRow("d", ["equals", "d"], input=(Rate(0, 9 * 10**9),)),), fallback=("one", "gone")
        ),
        "none": ProviderPricesRow("none", "l", (ModelPriceRow("e", ["equals", "e"], free=True),)),
    }  # fmt: skip
    assert Unpriced(lists).nano(UnpricedRule(), source, used) == cost
