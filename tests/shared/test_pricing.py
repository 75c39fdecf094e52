import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.pricing import PriceBook, Tokens, cost_nano
from shared.schema.rows import ModelPriceRow, ProviderPricesRow, Rate

counts = st.integers(0, 2_000_000)
USD = 1_000_000_000


def rate(dollars_per_mtok, above=0):
    return Rate(above, int(dollars_per_mtok * USD))


GPT = ModelPriceRow("gpt", ["starts_with", "gpt"], input=(rate(2.5),), output=(rate(10),), cache_read=(rate(1.25),))


def test_a_million_tokens_cost_the_list_price():
    assert cost_nano(GPT, Tokens(1_000_000, 1_000_000)) == int(12.5 * USD)


def test_cached_tokens_are_part_of_the_input_and_cost_their_own_price():
    assert cost_nano(GPT, Tokens(1_000_000, 0, cache_read=400_000)) == int((0.6 * 2.5 + 0.4 * 1.25) * USD)


def test_a_part_without_a_price_costs_what_its_total_costs():
    assert cost_nano(GPT, Tokens(1000, 1000, cache_write=900, reasoning=900)) == cost_nano(GPT, Tokens(1000, 1000))


def test_beyond_a_threshold_every_token_costs_the_higher_price():
    tiered = ModelPriceRow("t", ["equals", "t"], input=(rate(1), rate(2, above=200_000)), output=(rate(1),))
    assert cost_nano(tiered, Tokens(200_000, 0)) == int(0.2 * USD)
    assert cost_nano(tiered, Tokens(200_001, 0)) == 200_001 * 2000


def test_a_missing_price_is_no_cost_instead_of_zero():
    only_input = ModelPriceRow("i", ["equals", "i"], input=(rate(1),))
    assert cost_nano(only_input, Tokens(10, 1)) is None
    assert cost_nano(only_input, Tokens(10, 0)) == 10_000


@given(counts, counts, counts, counts)
def test_a_cost_is_never_negative_and_never_above_the_dearest_price(taken, given_out, read, reasoning):
    cost = cost_nano(GPT, Tokens(taken, given_out, cache_read=read, reasoning=reasoning))
    assert 0 <= cost <= (taken + given_out) * 10_000 + 1


LISTS = {
    "openai": ProviderPricesRow(
        "openai", "list-1", (GPT, ModelPriceRow("o", ["or", [["equals", "o1"], ["regex", "^o[34]"]]]))
    ),
    "azure": ProviderPricesRow("azure", "list-1", (), fallback=("openai",)),
}


@pytest.mark.parametrize(("source", "model", "price_id"), [
    ("openai", "GPT-4o", "openai/gpt@list-1"), ("openai", "o3-mini", "openai/o@list-1"), ("azure", "gpt-4o", "openai/gpt@list-1"),
])  # fmt: skip
def test_a_model_is_found_by_the_lists_rules(source, model, price_id):
    assert PriceBook(LISTS).find(source, model)[1] == price_id


@pytest.mark.parametrize(("source", "model"), [("openai", "unheard-of"), ("nobody", "gpt-4o")])
def test_an_unknown_model_has_no_price(source, model):
    assert PriceBook(LISTS).find(source, model) is None


def test_made_up_model_names_cannot_fill_the_memory():
    book = PriceBook(LISTS)
    for number in range(book._REMEMBERED + 10):
        book.find("openai", f"made-up-{number}")
    assert len(book._found) <= book._REMEMBERED
