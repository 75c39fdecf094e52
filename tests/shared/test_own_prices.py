"""What an integration pays in place of list prices."""

import pytest

from shared.own_prices import OwnPriceBook, PricedCall, multiplied
from shared.price_book import PriceBook
from shared.schema.rows import (
    IntegrationPricesRow,
    ModelPriceRow,
    Multipliers,
    OwnPrices,
    PriceChange,
    ProviderPricesRow,
    Rate,
    UnitRate,
)


def at(nano):
    return (Rate(0, nano),)


LISTED = ModelPriceRow(
    "gpt", ["starts_with", "gpt"], input=at(1000), output=at(3000), cache_read=at(100), units={"web_searches": UnitRate(50)},
    changes=(PriceChange("flex", rates={"input": at(500)}),),
)  # fmt: skip
GIFT = ModelPriceRow("gift", ["equals", "gift"], free=True)
LISTS = {"openai": ProviderPricesRow("openai", "list-1", (LISTED, GIFT))}
ROWS = {
    "int-1": IntegrationPricesRow(
        "int-1", "o", "main",
        models={"gpt-4o": (OwnPrices(100, {"input": 7}), OwnPrices(200, {"input": 9}, {"images": UnitRate(3)}), OwnPrices(300))},
        multipliers=(Multipliers(50, {"default": "0.5"}), Multipliers(400, {"default": "2", "output": "0", "web_searches": "0.1"}), Multipliers(500)),
    ),
}  # fmt: skip


@pytest.fixture
def book():
    return OwnPriceBook(ROWS, PriceBook(LISTS))


def call(served="gpt-4o", at_us=0, *, integration="int-1", sent=None, tier=""):
    return PricedCall("openai", served, tier, at_us, integration, sent)


@pytest.mark.parametrize(("at_us", "nano"), [(100, 7), (199, 7), (200, 9), (299, 9)])
def test_a_price_of_its_own_holds_from_its_moment_to_the_next_ones(book, at_us, nano):
    found = book.find(call(at_us=at_us))
    assert (found.row.input, found.is_own) == (at(nano), True)


@pytest.mark.parametrize(("at_us", "nano"), [(0, 1000), (99, 500), (300, 500), (400, 2000), (500, 1000)])
def test_before_and_after_it_the_list_price_holds_times_what_holds_for_all_models(book, at_us, nano):
    assert book.find(call(at_us=at_us)).row.input == at(nano)


def test_the_name_of_a_price_says_whose_it_is_and_since_when(book):
    assert book.find(call(at_us=200)).price_id == "integration/main/gpt-4o@1970-01-01T00:00:00Z"
    assert book.find(call(at_us=60)).price_id == "integration/main@1970-01-01T00:00:00Z*openai/gpt@list-1"
    assert book.find(call(at_us=0)).price_id == "openai/gpt@list-1"


def test_the_model_that_was_asked_for_goes_before_the_one_that_is_named_in_the_answer(book):
    assert book.find(call("gpt-4o-2024-08-06", 100, sent="gpt-4o")).row.input == at(7)
    assert book.find(call("gpt-4o", 100, sent="my-alias")).row.input == at(7)


def test_a_price_of_its_own_needs_no_price_list_and_holds_at_every_tier(book):
    assert book.find(PricedCall(None, "gpt-4o", "scale", 100, "int-1")).row.input == at(7)
    assert book.find(PricedCall(None, "other", "", 100, "int-1")) is None


def test_nothing_of_the_list_is_left_in_a_price_of_its_own(book):
    row = book.find(call(at_us=200)).row
    assert (row.output, row.units) == ((), {"images": UnitRate(3)})


def test_a_tiers_price_is_multiplied_and_a_tier_without_one_stays_without(book):
    found = book.find(call(at_us=60, tier="flex"))
    assert (found.row.input, found.row.output, found.is_own) == (at(250), at(1500), True)
    assert book.find(call(at_us=60, tier="scale")).row is None


@pytest.mark.parametrize("integration", [None, "int-2"])
def test_other_integrations_pay_the_list_price(book, integration):
    found = book.find(call(at_us=100, integration=integration))
    assert (found.row.input, found.is_own) == (at(1000), False)


def test_what_is_free_stays_so(book):
    assert book.find(call("gift", 60)) == (GIFT, "openai/gift@list-1", False)


def test_the_special_factor_goes_before_the_default(book):
    row = book.find(call(at_us=400)).row
    assert (row.input, row.output, row.cache_read) == (at(2000), at(0), at(200))
    assert (row.units["web_searches"].nano, row.units["web_searches"].per) == (5, 1)


def test_a_factor_for_what_has_no_price_of_its_own_starts_from_its_totals():
    row = multiplied(LISTED, {"cache_write_1h": "2", "reasoning": "0.3333"})
    assert (row.cache_write_1h, row.reasoning, row.cache_write) == (at(2000), at(1000), ())
    assert (row.input, row.output) == (LISTED.input, LISTED.output)


def test_the_same_question_has_the_same_answer_without_computing(book):
    assert book.find(call(at_us=60)) is book.find(call(at_us=61))
    assert book.find(call(at_us=100)) is book.find(call(at_us=101))
