"""What a usage costs: exact, never less than nothing, and None in place of a guess."""

from dataclasses import replace
from fractions import Fraction

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shared.pricing import EXTRAS, MEASURES, MOST_NANO, PARTS, Tokens, cost_nano, most_nano, tier_named
from shared.schema.rows import ModelPriceRow, Rate, UnitRate

counts = st.integers(0, 2_000_000)
USD = 1_000_000_000


def rate(dollars_per_mtok, above=0):
    return Rate(above, int(dollars_per_mtok * USD))


GPT = ModelPriceRow("gpt", ["starts_with", "gpt"], input=(rate(2.5),), output=(rate(10),), cache_read=(rate(1.25),))
#: Every class of tokens at a price of its own.
FULL = ModelPriceRow(
    "full", ["equals", "full"],
    **{name: (rate(dollars),) for dollars, name in enumerate(PARTS, start=1)},
    units={"web_searches": UnitRate(10 * USD, 1000), "audio_ms": UnitRate(USD, 3_600_000), "images": UnitRate(7)},
)  # fmt: skip
SPOKEN = ModelPriceRow("tts", ["equals", "tts"], units={"characters": UnitRate(15 * USD, 1_000_000)})


@st.composite
def usages(draw):
    taken, given_out = draw(counts), draw(counts)
    read = draw(st.integers(0, taken))
    written = draw(st.integers(0, taken - read))
    heard = draw(st.integers(0, taken - read - written))
    thought = draw(st.integers(0, given_out))
    return Tokens(
        taken, given_out, cache_read=read, cache_write=written, reasoning=thought, audio_input=heard,
        audio_output=draw(st.integers(0, given_out - thought)), cache_write_1h=draw(st.integers(0, written)),
        cache_read_audio=draw(st.integers(0, read)), image_input=draw(st.integers(0, taken - read - written - heard)),
        web_searches=draw(st.integers(0, 50)),
    )  # fmt: skip


def test_a_million_tokens_cost_the_list_price():
    assert cost_nano(GPT, Tokens(1_000_000, 1_000_000)) == int(12.5 * USD)


def test_cached_tokens_are_part_of_the_input_and_cost_their_own_price():
    assert cost_nano(GPT, Tokens(1_000_000, 0, cache_read=400_000)) == int((0.6 * 2.5 + 0.4 * 1.25) * USD)


def test_a_part_without_a_price_costs_what_its_total_costs():
    assert cost_nano(GPT, Tokens(1000, 1000, cache_write=900, reasoning=900)) == cost_nano(GPT, Tokens(1000, 1000))


def test_a_part_of_a_part_costs_its_own_price_or_that_of_the_part():
    writes = msgspec.structs.replace(GPT, cache_write=(rate(4),))
    usage = Tokens(1_000_000, 0, cache_write=600_000, cache_write_1h=200_000)
    assert cost_nano(writes, usage) == int((0.4 * 2.5 + 0.6 * 4) * USD)
    longer = msgspec.structs.replace(writes, cache_write_1h=(rate(5),))
    assert cost_nano(longer, usage) == int((0.4 * 2.5 + 0.4 * 4 + 0.2 * 5) * USD)


def test_beyond_a_threshold_every_token_costs_the_higher_price():
    tiered = ModelPriceRow("t", ["equals", "t"], input=(rate(1), rate(2, above=200_000)), output=(rate(1),))
    assert cost_nano(tiered, Tokens(200_000, 0)) == int(0.2 * USD)
    assert cost_nano(tiered, Tokens(200_001, 0)) == 200_001 * 2000


def test_a_missing_price_is_no_cost_instead_of_zero():
    only_input = ModelPriceRow("i", ["equals", "i"], input=(rate(1),))
    assert cost_nano(only_input, Tokens(10, 1)) is None
    assert cost_nano(only_input, Tokens(10, 0)) == 10_000


def test_a_search_costs_beside_the_tokens_and_one_without_a_price_leaves_the_call_unpriced():
    assert cost_nano(FULL, Tokens(0, 0, web_searches=3)) == 30_000_000
    assert cost_nano(FULL, Tokens(1000, 0, web_searches=3)) == cost_nano(FULL, Tokens(1000, 0)) + 30_000_000
    assert cost_nano(GPT, Tokens(1000, 0, web_searches=3)) is None


@pytest.mark.parametrize(("usage", "cost"), [
    (Tokens(characters=20), 300_000),
    (Tokens(input=5, characters=20, source="estimated"), 300_000),
    (Tokens(images=1), None),
    (Tokens(input=5, output=2), None),
])  # fmt: skip
def test_a_voice_costs_by_the_characters_it_speaks_and_nothing_else(usage, cost):
    assert cost_nano(SPOKEN, usage) == cost


def test_what_has_no_price_by_its_unit_costs_its_tokens_only_if_the_provider_counted_them():
    assert cost_nano(GPT, Tokens(characters=20)) is None
    assert cost_nano(GPT, Tokens(1000, 0, characters=20, source="estimated")) is None
    assert cost_nano(GPT, Tokens(1000, 0, images=2)) == 2_500_000


def test_pictures_whose_tokens_are_not_told_apart_have_no_cost():
    draws = msgspec.structs.replace(GPT, image_output=(rate(30),))
    assert cost_nano(draws, Tokens(0, 1000, images=1)) is None
    assert cost_nano(draws, Tokens(0, 1000, images=1, image_output=1000)) == 30_000_000


def test_a_short_call_pays_for_the_least_time():
    heard = ModelPriceRow("h", ["equals", "h"], units={"audio_ms": UnitRate(111_000_000, 3_600_000, 10_000)})
    assert cost_nano(heard, Tokens(audio_ms=1)) == cost_nano(heard, Tokens(audio_ms=10_000)) == 308_333
    assert cost_nano(heard, Tokens(audio_ms=20_000)) == 616_667


def test_what_costs_more_than_a_record_can_hold_has_no_cost():
    absurd = ModelPriceRow("a", ["equals", "a"], input=(Rate(0, MOST_NANO),))
    assert cost_nano(absurd, Tokens(1_000_000)) == MOST_NANO
    assert cost_nano(absurd, Tokens(1_000_001)) is None


@given(counts, counts, counts, counts)
def test_a_cost_is_never_negative_and_never_above_the_dearest_price(taken, given_out, read, reasoning):
    cost = cost_nano(GPT, Tokens(taken, given_out, cache_read=read, reasoning=reasoning))
    assert 0 <= cost <= (taken + given_out) * 10_000 + 1


@given(usages())
def test_a_cost_is_the_sum_of_its_parts_to_the_nano_dollar(usage):
    """Computed in another way: every class for itself, in fractions."""
    of = {name: Fraction(dollars * 1000) for dollars, name in enumerate(PARTS, start=1)}
    plain = usage.input - usage.cache_read - usage.cache_write - usage.audio_input - usage.image_input
    written = usage.output - usage.reasoning - usage.audio_output - usage.image_output
    told = {
        **{name: getattr(usage, name) for name in PARTS}, "input": plain, "output": written,
        "cache_read": usage.cache_read - usage.cache_read_audio,
        "cache_write": usage.cache_write - usage.cache_write_1h,
    }  # fmt: skip
    whole = sum(of[name] * number for name, number in told.items()) + usage.web_searches * 10_000_000
    assert abs(cost_nano(FULL, usage) - whole) <= Fraction(1, 2)


@given(usages(), st.sampled_from(["input", "output", *EXTRAS[:1]]), st.integers(1, 1_000_000))
def test_more_of_anything_never_costs_less(usage, name, more):
    larger = replace(usage, **{name: getattr(usage, name) + more})
    assert cost_nano(FULL, larger) >= cost_nano(FULL, usage)


@given(usages(), usages())
def test_two_calls_cost_what_one_with_both_usages_costs(first, second):
    names = [*PARTS, *MEASURES, *EXTRAS]
    both = Tokens(**{name: getattr(first, name) + getattr(second, name) for name in names})
    assert abs(cost_nano(FULL, both) - cost_nano(FULL, first) - cost_nano(FULL, second)) <= 1


@given(usages(), st.lists(st.integers(0, 3), min_size=len(PARTS), max_size=len(PARTS)))
def test_no_text_costs_more_than_the_most_that_its_tokens_may_cost(usage, dollars):
    price = ModelPriceRow(
        "m", ["equals", "m"], **{name: (rate(each),) for name, each in zip(PARTS, dollars, strict=True)}
    )
    told = replace(usage, audio_input=0, image_input=0, web_searches=0)
    # What is read from a cache is cheaper than what is not, at every provider.
    price = msgspec.structs.replace(price, cache_read=(), cache_read_audio=())
    assert cost_nano(price, told) <= most_nano(price, told.input, told.output)


def test_the_most_is_at_the_dearest_of_what_text_may_turn_out_to_be():
    assert most_nano(GPT, 1_000_000, 1_000_000) == int(12.5 * USD)
    dearer = msgspec.structs.replace(GPT, cache_write=(rate(3),), cache_write_1h=(rate(5),), reasoning=(rate(11),))
    assert most_nano(dearer, 1_000_000, 1_000_000) == 16 * USD
    # Whether there is sound or a picture in a request is seen before it goes out.
    heard = msgspec.structs.replace(GPT, audio_input=(rate(40),))
    assert most_nano(heard, 1_000_000, 0) == most_nano(GPT, 1_000_000, 0)


@pytest.mark.parametrize(("price", "taken", "given", "beside", "most"), [
    (SPOKEN, 0, 0, Tokens(characters=2_000_000), 30 * USD), (SPOKEN, 10, 0, Tokens(characters=2_000_000), 30 * USD),
    (SPOKEN, 10, 0, None, None), (SPOKEN, 0, 0, Tokens(images=1), None),
    (GPT, 1_000_000, 0, Tokens(images=3), int(2.5 * USD)),
    (msgspec.structs.replace(FULL, image_output=(rate(20),)), 0, 1_000_000, Tokens(images=2), 20 * USD + 14),
    (msgspec.structs.replace(GPT, output=()), 1, 1, None, None), (GPT, 0, 0, Tokens(web_searches=1), None),
])  # fmt: skip
def test_the_most_counts_other_units_too_and_is_unknown_where_a_price_is(price, taken, given, beside, most):
    assert most_nano(price, taken, given, beside) == most


@given(usages(), st.sampled_from([name for name in PARTS if PARTS[name]]), counts)
def test_a_part_that_is_told_larger_than_its_total_costs_no_more_than_the_total(usage, name, number):
    total = usage.input if name not in {"reasoning", "audio_output", "image_output"} else usage.output
    assume(number > total)
    lone = Tokens(**{"input": usage.input, "output": usage.output, name: number})
    dearest = len(PARTS) * 1000
    assert 0 <= cost_nano(FULL, lone) <= (usage.input + usage.output) * dearest


@pytest.mark.parametrize(("word", "tier"), [
    ("default", "default"), ("standard", "default"), ("on_demand", "default"), ("Flex", "flex"), ("priority", "priority"),
    ("batch", "batch"), (None, ""), ("", ""), (7, ""), ("x" * 100, ""), ({}, ""),
])  # fmt: skip
def test_a_tier_has_one_name_whoever_names_it(word, tier):
    assert tier_named(word) == tier
