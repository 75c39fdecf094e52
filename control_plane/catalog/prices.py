"""Which models are known, and at which prices?  The price list of the bundle, compiled from the price library's data.

What gateways count is priced: tokens of each kind, minutes of sound, characters, searches.  A model that costs by what
they cannot count (calls, pages, video) stays unpriced, and so does one whose list price is 0 without being named free:
what is called a cost must be a fact.  Prices of days to come, of some hours and of service tiers go along.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from importlib.metadata import version
from typing import Any, Final

import msgspec
from genai_prices.data import providers
from genai_prices.types import ConditionalPrice, ModelInfo, ModelPrice, Provider, StartDateConstraint

from shared.catalog.load import providers as known_providers
from shared.money import NANO
from shared.pricing import MEASURES, tier_named
from shared.schema.rows import ModelPriceRow, PriceChange, ProviderPricesRow, Rate, UnitRate

_KEYS: Final = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "reasoning": "output_reasoning_mtok",
    "audio_input": "input_audio_mtok",
    "audio_output": "output_audio_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
    "cache_read_audio": "cache_audio_read_mtok",
    "image_input": "input_image_mtok",
    "image_output": "output_image_mtok",
}
#: What is not counted in tokens: the first of these keys that has a price, and for how many units it is.
_UNITS: Final[Mapping[str, tuple[tuple[str, ...], int]]] = {
    "audio_ms": (("input_audio_hours", "audio_hours"), 3_600_000),
    "characters": (("input_mchars",), 1_000_000),
    "searches": (("rerank_searches_kcount",), 1000),
    "web_searches": (("web_searches_kcount",), 1000),
    "file_searches": (("storage_searches_kcount",), 1000),
}
#: Prices that no count shows: a fee for each call that depends on what is searched, and tokens of video and citations.
_UNSEEN: Final = ("requests_kcount", "output_video_mtok", "output_citation_mtok")
#: The words by which the list tells service tiers apart.
_TIER_KINDS: Final = frozenset({"service_tier", "processing", "speed"})
#: Groq charges ten seconds for anything shorter.
_LEAST_AUDIO_MS: Final[Mapping[str, int]] = {"whisper-large-v3": 10_000, "whisper-large-v3-turbo": 10_000}
_SOME_DAY: Final = date(2000, 1, 1)
_SECOND: Final = timedelta(seconds=1)
_DAY_S: Final = 86_400
_CLAUSES: Final = ("equals", "starts_with", "ends_with", "contains", "regex")


def _nano(price: Decimal) -> int:
    return int((price * NANO).to_integral_value())


def _rates(price: Any) -> tuple[Rate, ...]:
    if price is None:
        return ()
    if isinstance(price, Decimal | int | float):
        return (Rate(0, _nano(Decimal(str(price)))),)
    return (Rate(0, _nano(price.base)), *(Rate(tier.start, _nano(tier.price)) for tier in price.tiers))


def _match(clause: Any) -> list[Any]:
    for kind in ("or_", "and_"):
        parts = getattr(clause, kind, None)
        if parts is not None:
            return [kind.rstrip("_"), [_match(part) for part in parts]]
    for kind in _CLAUSES:
        text = getattr(clause, kind, None)
        if text is not None:
            return [kind, text]
    raise ValueError(f"unknown clause {type(clause).__name__}")


def _standing_price(model: ModelInfo, now: datetime) -> tuple[ModelPrice, list[ConditionalPrice]]:
    """Return the price that holds since some day, and those that go before it: of later days, or of some hours."""
    if isinstance(model.prices, ModelPrice):
        return model.prices, []
    for index in range(len(model.prices) - 1, -1, -1):
        constraint = model.prices[index].constraint
        if constraint is None or (isinstance(constraint, StartDateConstraint) and constraint.active(now)):
            return model.prices[index].prices, model.prices[index + 1 :]
    return model.prices[0].prices, model.prices[1:]


def _second(moment: time) -> int:
    return (datetime.combine(_SOME_DAY, moment) - datetime.combine(_SOME_DAY, time(tzinfo=UTC))) // _SECOND % _DAY_S


def _change(price: ModelPrice, constraint: Any, tier: str = "") -> PriceChange:
    since, hours = 0, None
    if isinstance(constraint, StartDateConstraint):
        since = int(datetime.combine(constraint.start_date, time(tzinfo=UTC)).timestamp())
    elif constraint is not None:
        hours = (_second(constraint.start_time), _second(constraint.end_time))
    return PriceChange(tier, since, hours, rates=_present(_all_rates(price)), units=_units(price))


def _all_rates(price: ModelPrice) -> dict[str, tuple[Rate, ...]]:
    return {name: _rates(getattr(price, key)) for name, key in _KEYS.items()}


def _present(rates: dict[str, tuple[Rate, ...]]) -> dict[str, tuple[Rate, ...]]:
    return {name: part for name, part in rates.items() if part}


def _units(price: ModelPrice) -> dict[str, UnitRate]:
    found = {}
    for name, (keys, per) in _UNITS.items():
        told = next((value for key in keys if (value := getattr(price, key))), None)
        if isinstance(told, Decimal | int | float):
            found[name] = UnitRate(_nano(Decimal(str(told))), per)
    return found


def _is_seen(price: ModelPrice) -> bool:
    """Return whether what gateways count shows all that a price charges for."""
    return not any(getattr(price, key) for key in _UNSEEN)


def _tier(when: Mapping[str, str]) -> str:
    """Return the service tier that a variant of a price is for, "" for what is none or the usual one."""
    if len(when) != 1:
        return ""
    ((kind, value),) = when.items()
    tier = tier_named(value) if kind in _TIER_KINDS else ""
    return "" if tier == "default" else tier


def _changes(model: ModelInfo, others: list[ConditionalPrice]) -> tuple[PriceChange, ...]:
    usual = [_change(other.prices, other.constraint) for other in others if _is_seen(other.prices)]
    tiers = [
        _change(variant.prices, variant.constraint, tier)
        for variant in model.price_variants or ()
        if (tier := _tier(variant.when)) and _is_seen(variant.prices)
    ]
    return (*usual, *tiers)


def _model(model: ModelInfo, now: datetime) -> ModelPriceRow | None:
    price, others = _standing_price(model, now)
    if not _is_seen(price):
        return None
    rates, units = _all_rates(price), _units(price)
    if model.id in _LEAST_AUDIO_MS and "audio_ms" in units:
        units["audio_ms"] = msgspec.structs.replace(units["audio_ms"], least=_LEAST_AUDIO_MS[model.id])
    costs = bool(units) or any(rate.nano_per_mtok for part in rates.values() for rate in part)
    free = model.id.endswith(":free")
    priced = any((rates["input"], rates["output"], *(units.get(name) for name in MEASURES)))
    if not priced or not (costs or free):
        return None
    changes = _changes(model, others)
    if rates["image_output"]:
        # Gateways of earlier releases take all that is written for text: without its price they know of no cost.
        changes = (PriceChange(rates=_present(rates), units=units), *changes)
        rates["output"] = ()
    return ModelPriceRow(model.id, _match(model.match), **rates, free=free and not costs, units=units, changes=changes)


def _provider(provider: Provider, source: str, now: datetime) -> ProviderPricesRow:
    models = tuple(row for model in provider.models if (row := _model(model, now)) is not None)
    fallback = tuple(provider.fallback_model_providers or ())
    return ProviderPricesRow(provider.id, source, models, fallback)


@lru_cache(maxsize=2)
def _compiled(day: str) -> tuple[ProviderPricesRow, ...]:
    now = datetime.fromisoformat(day).replace(tzinfo=UTC)
    source = f"genai-prices-{version('genai-prices')}"
    return tuple(_provider(provider, source, now) for provider in providers)


def price_rows() -> Iterator[ProviderPricesRow]:
    """Yield the price list of every provider in the library, as of today."""
    yield from _compiled(datetime.now(UTC).date().isoformat())


def known_models(provider: str, price_source: str = "") -> tuple[str, ...]:
    """Return the models that the price list has of a provider, by its id or by the name of its list; () for none."""
    entry = known_providers().get(provider)
    source = (entry.price_source if entry is not None else price_source) or provider
    found = next((row for row in price_rows() if row.id == source), None)
    return tuple(model.id for model in found.models) if found is not None else ()
