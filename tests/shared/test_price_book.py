"""Which prices hold, for a name, a tier and a time."""

import pytest

from shared import price_book
from shared.price_book import PriceBook
from shared.schema.rows import ModelPriceRow, PriceChange, ProviderPricesRow, Rate, UnitRate

DAY_S = 86_400


def at(nano):
    return (Rate(0, nano),)


GPT = ModelPriceRow("gpt", ["starts_with", "gpt"], input=at(100), output=at(200))
CHANGING = ModelPriceRow(
    "new", ["equals", "new"], input=at(100), output=at(200), units={"web_searches": UnitRate(5)},
    changes=(
        PriceChange(from_s=10 * DAY_S, rates={"input": at(50)}),
        PriceChange(from_s=20 * DAY_S, rates={"input": at(25)}),
        PriceChange(hours=(23 * 3600, 3600), rates={"input": at(10)}),
        PriceChange("flex", rates={"input": at(40)}),
        PriceChange("flex", rates={"input": at(1), "output": at(90)}),
        PriceChange("priority", from_s=20 * DAY_S, rates={"input": at(400)}, units={"web_searches": UnitRate(9)}),
    ),
)  # fmt: skip
LISTS = {
    "openai": ProviderPricesRow(
        "openai", "list-1", (GPT, ModelPriceRow("o", ["or", [["equals", "o1"], ["regex", "^o[34]"]]]), CHANGING)
    ),
    "azure": ProviderPricesRow("azure", "list-1", (), fallback=("openai",)),
}


@pytest.mark.parametrize(("source", "model", "price_id"), [
    ("openai", "GPT-4o", "openai/gpt@list-1"), ("openai", "o3-mini", "openai/o@list-1"), ("azure", "gpt-4o", "openai/gpt@list-1"),
])  # fmt: skip
def test_a_model_is_found_by_the_lists_rules(source, model, price_id):
    assert PriceBook(LISTS).find(source, model).price_id == price_id


@pytest.mark.parametrize(("source", "model"), [("openai", "unheard-of"), ("nobody", "gpt-4o")])
def test_an_unknown_model_has_no_price(source, model):
    assert PriceBook(LISTS).find(source, model) is None
    assert PriceBook(LISTS).find(source, model, "flex") is None


def test_made_up_model_names_and_tiers_cannot_fill_the_memory():
    book = PriceBook(LISTS)
    for number in range(price_book._REMEMBERED + 10):
        book.find("openai", f"made-up-{number}")
        book.find("openai", "new", f"tier-{number}")
    assert max(len(book._listed), len(book._made)) <= price_book._REMEMBERED


NOON = 12 * 3600


@pytest.mark.parametrize(("at_s", "nano"), [
    (NOON, 100), (10 * DAY_S - 1 - 3600, 100), (10 * DAY_S + NOON, 50), (20 * DAY_S + NOON, 25),
    (23 * 3600 - 1, 100), (23 * 3600, 10), (DAY_S, 10), (3600 - 1, 10), (3600, 100), (20 * DAY_S, 10),
])  # fmt: skip
def test_a_price_holds_from_its_second_to_the_next_ones(at_s, nano):
    assert PriceBook(LISTS).find("openai", "new", at_s=at_s).row.input == at(nano)


def test_a_price_of_a_time_leaves_nothing_of_the_one_before_it():
    row = PriceBook(LISTS).find("openai", "new", at_s=10 * DAY_S + NOON).row
    assert (row.output, row.units) == ((), {})


def test_a_tier_has_the_prices_that_are_said_of_it_and_the_usual_ones_for_the_rest():
    found = PriceBook(LISTS).find("openai", "new", "flex", NOON)
    assert (found.row.input, found.row.output, found.price_id) == (at(40), at(90), "openai/new+flex@list-1")
    later = PriceBook(LISTS).find("openai", "new", "priority", 20 * DAY_S + NOON)
    assert (later.row.input, later.row.units) == (at(400), {"web_searches": UnitRate(9)})


@pytest.mark.parametrize(("model", "tier"), [("gpt-4o", "flex"), ("new", "scale"), ("new", "priority")])
def test_a_tier_without_prices_is_told_by_name(model, tier):
    found = PriceBook(LISTS).find("openai", model, tier, NOON)
    assert found.row is None
    assert f"+{tier}@list-1" in found.price_id


def test_the_same_question_has_the_same_answer_without_a_search():
    book = PriceBook(LISTS)
    assert book.find("openai", "new", "flex", NOON) is book.find("openai", "new", "flex", NOON + 1)
    assert book.find("openai", "gpt-4o") is book.find("openai", "gpt-4o", at_s=NOON)
