"""The compiled price list says what the price library says, and never that something costs nothing."""

from datetime import UTC, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal

import msgspec
import pytest
from genai_prices.data import providers
from genai_prices.types import (
    ClauseEquals,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    StartDateConstraint,
    TimeOfDateConstraint,
    Usage,
)

from control_plane.catalog.prices import _model, _standing_price, known_models, price_rows
from shared.price_book import PriceBook, priced
from shared.pricing import Tokens, cost_nano
from shared.schema.rows import ProviderPricesRow

NOW = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
ROWS = {row.id: row for row in price_rows()}
LIBRARY = {provider.id: provider for provider in providers}
SOURCES = ("openai", "anthropic", "google")
USAGES = [
    Tokens(input=1, output=0),
    Tokens(input=0, output=1),
    Tokens(input=1_000, output=777),
    Tokens(input=123_457, output=8_191),
    Tokens(input=50_000, output=300, cache_read=48_999),
    Tokens(input=50_000, output=300, cache_read=20_000, cache_write=10_001),
    Tokens(input=200_000, output=10),
    Tokens(input=200_001, output=10),
    Tokens(input=272_001, output=9, cache_read=100_000),
    Tokens(input=1_000_003, output=65_535, cache_read=999_999),
]


def oracle_nano(price, tokens):
    """The library's own calculation, in nano-dollars, rounded half up once."""
    usage = Usage(
        input_tokens=tokens.input,
        output_tokens=tokens.output,
        cache_read_tokens=tokens.cache_read,
        cache_write_tokens=tokens.cache_write,
    )
    total = price.calc_price(usage)["total_price"]
    return int((total * 1_000_000_000).quantize(Decimal(1), ROUND_HALF_UP))


def models_of(source):
    return {model.id: model for model in LIBRARY[source].models}


@pytest.mark.parametrize("source", sorted(ROWS))
def test_every_row_decodes_again_as_it_was(source):
    line = msgspec.json.encode(msgspec.to_builtins(ROWS[source]))
    assert msgspec.json.decode(line, type=ProviderPricesRow) == ROWS[source]


def is_priced(row, tokens):
    """Whether the row has the prices that the usage needs."""
    return bool(row.input or not tokens.input) and bool(row.output or not tokens.output)


@pytest.mark.parametrize("source", sorted(ROWS))
def test_every_model_costs_what_the_library_calculates_or_nothing_that_is_known(source):
    library = models_of(source)
    wrong = []
    for row in ROWS[source].models:
        price, _ = _standing_price(library[row.id], NOW)
        for tokens in USAGES:
            expected = oracle_nano(price, tokens) if is_priced(row, tokens) else None
            if cost_nano(row, tokens) != expected:
                wrong.append((row.id, tokens, cost_nano(row, tokens), expected))
    assert wrong == []


@pytest.mark.parametrize("source", SOURCES)
def test_the_great_providers_have_many_priced_models(source):
    assert sum(is_priced(row, Tokens(input=1, output=1)) for row in ROWS[source].models) > 20


@pytest.mark.parametrize("source", SOURCES)
def test_a_name_is_priced_by_the_model_that_the_library_finds_for_it_or_not_at_all(source):
    book, wrong = PriceBook(ROWS), []
    compiled_ids = {row.id for row in ROWS[source].models}
    for model in LIBRARY[source].models:
        first = next((other.id for other in LIBRARY[source].models if other.is_match(model.id)), None)
        found = book.find(source, model.id)
        if (found[0].id if found else None) != (first if first in compiled_ids else None):
            wrong.append((model.id, first, found))
    assert wrong == []


def test_no_price_in_the_list_is_zero_unless_its_model_is_named_free():
    rows = [row for provider in ROWS.values() for row in provider.models]
    assert [row.id for row in rows if row.free and not row.id.endswith(":free")] == []
    told_free = Tokens(input=1_000_000, output=1_000_000)
    assert [row.id for row in rows if cost_nano(row, told_free) == 0 and not row.free] == []


def compiled(model_id="some-model", **prices):
    return _model(ModelInfo(id=model_id, match=ClauseEquals(equals=model_id), prices=ModelPrice(**prices)), NOW)


def test_a_model_whose_price_is_zero_is_unpriced():
    assert compiled(input_mtok=Decimal(0), output_mtok=Decimal(0)) is None


def test_a_model_named_free_costs_nothing():
    row = compiled("some-model:free", input_mtok=Decimal(0), output_mtok=Decimal(0))
    assert (row.free, cost_nano(row, Tokens(input=5, output=5))) == (True, 0)


def test_a_model_named_free_that_has_a_price_costs_it():
    row = compiled("some-model:free", input_mtok=Decimal(1), output_mtok=Decimal(2))
    assert (row.free, cost_nano(row, Tokens(input=1, output=1))) == (False, 3000)


@pytest.mark.parametrize("fee", ["requests_kcount", "output_video_mtok", "output_citation_mtok"])
def test_a_model_with_a_price_that_no_count_shows_is_unpriced(fee):
    assert compiled(input_mtok=Decimal(1), output_mtok=Decimal(2), **{fee: Decimal(14)}) is None


def test_a_model_with_a_price_only_for_what_goes_along_with_tokens_is_unpriced():
    assert compiled(web_searches_kcount=Decimal(10)) is None


@pytest.mark.parametrize(("fee", "usage", "nano"), [
    ("audio_hours", Tokens(audio_ms=3_600_000), 1_000_000_000), ("input_mchars", Tokens(characters=10), 10_000),
    ("rerank_searches_kcount", Tokens(searches=3), 3_000_000),
])  # fmt: skip
def test_what_is_not_counted_in_tokens_costs_by_its_unit(fee, usage, nano):
    assert cost_nano(compiled(**{fee: Decimal(1)}), usage) == nano


def test_the_least_that_groq_charges_for_is_ten_seconds():
    row = next(row for row in ROWS["groq"].models if row.id == "whisper-large-v3")
    assert row.units["audio_ms"].least == 10_000


def test_gateways_that_count_no_tokens_of_pictures_know_no_price_for_them():
    row = compiled(input_mtok=Decimal(1), output_mtok=Decimal(2), output_image_mtok=Decimal(30))
    assert cost_nano(row, Tokens(input=1, output=1)) is None
    whole = priced(row, "", (0,))
    assert cost_nano(whole, Tokens(input=1, output=3, image_output=2)) == 1000 + 2000 + 60_000


TIERED = [
    (provider.id, model.id, variant)
    for provider in providers
    for model in provider.models
    for variant in model.price_variants or ()
    if set(variant.when) <= {"service_tier", "processing", "speed"} and variant.when != {"service_tier": "default"}
]


def test_the_library_has_prices_of_tiers():
    assert {"flex", "priority", "batch"} <= {tier for _, _, variant in TIERED for tier in variant.when.values()}


def test_every_tier_costs_what_the_library_calculates_for_it():
    wrong = []
    for source, model_id, variant in TIERED:
        row = next((row for row in ROWS[source].models if row.id == model_id), None)
        constraint = variant.constraint
        if row is None or (constraint is not None and not constraint.active(NOW)):
            continue
        ((_, tier),) = variant.when.items()
        oracle = models_of(source)[model_id].get_prices(NOW, variant.when)
        at_s = int(NOW.timestamp())
        named = msgspec.structs.replace(row, match=["equals", "m"])
        found = PriceBook({source: ProviderPricesRow(source, "v", (named,))}).find(source, "m", tier, at_s)
        for tokens in USAGES:
            if is_priced(found.row, tokens) and cost_nano(found.row, tokens) != oracle_nano(oracle, tokens):
                wrong.append((source, model_id, tier, tokens))
    assert wrong == []


def test_a_price_at_some_hours_goes_along_with_the_one_that_holds_at_others():
    night = ConditionalPrice(
        constraint=TimeOfDateConstraint(start_time=time(16, 30, tzinfo=UTC), end_time=time(0, 30, tzinfo=UTC)),
        prices=ModelPrice(input_mtok=Decimal(1)),
    )
    day = ConditionalPrice(prices=ModelPrice(input_mtok=Decimal(4)))
    row = _model(ModelInfo(id="m", match=ClauseEquals(equals="m"), prices=[day, night]), NOW.replace(hour=20))
    assert cost_nano(row, Tokens(input=1, output=0)) == 4000
    assert [(change.hours, change.rates["input"][0].nano_per_mtok) for change in row.changes] == [
        ((16 * 3600 + 1800, 1800), 1_000_000_000)
    ]


@pytest.mark.parametrize(("days", "nano"), [(1, 4000), (-1, 1000)])
def test_a_price_holds_from_its_day_on(days, nano):
    before = ConditionalPrice(prices=ModelPrice(input_mtok=Decimal(4)))
    start = StartDateConstraint(start_date=(NOW + timedelta(days=days)).date())
    after = ConditionalPrice(constraint=start, prices=ModelPrice(input_mtok=Decimal(1)))
    row = _model(ModelInfo(id="m", match=ClauseEquals(equals="m"), prices=[before, after]), NOW)
    assert cost_nano(row, Tokens(input=1, output=0)) == nano
    book = PriceBook({"s": ProviderPricesRow("s", "v", (row,))})
    begins = int((NOW + timedelta(days=days)).timestamp())
    coming = [book.find("s", "m", at_s=at_s).row.input[0].nano_per_mtok for at_s in (begins - 1, begins)]
    assert coming == ([4_000_000_000, 1_000_000_000] if days > 0 else [1_000_000_000] * 2)


def test_the_models_of_a_provider_are_those_of_its_price_list():
    assert "gpt-4o" in known_models("openai")
    assert known_models("azure-openai") == tuple(model.id for model in ROWS["azure"].models)
    assert known_models("acme-models", "openai") == known_models("openai")
    assert known_models("acme-models") == ()
