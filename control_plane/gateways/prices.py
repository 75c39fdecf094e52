"""The price list of the bundle, compiled from the price library's data.

Only prices per token are taken; a model that costs by call, minute, page or image as well stays unpriced, and so does
one whose list price is 0 without being named free: what is called a cost must be a fact.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from importlib.metadata import version
from typing import Any, Final

from genai_prices.data import providers
from genai_prices.types import ModelInfo, ModelPrice, Provider

from shared.money import NANO
from shared.schema.rows import ModelPriceRow, ProviderPricesRow, Rate

_KEYS: Final = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "reasoning": "output_reasoning_mtok",
    "audio_input": "input_audio_mtok",
    "audio_output": "output_audio_mtok",
}
#: Prices that a count of tokens cannot show: a fee for each call, and tokens that cost other than their total says.
_UNSEEN: Final = ("requests_kcount", "output_image_mtok", "output_video_mtok")
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


def _standing_price(model: ModelInfo, now: datetime) -> ModelPrice:
    """Return the price that holds at any hour: discounts by time of day are left out."""
    if isinstance(model.prices, ModelPrice):
        return model.prices
    for conditional in reversed(model.prices):
        constraint = conditional.constraint
        if constraint is None or (hasattr(constraint, "start_date") and constraint.active(now)):
            return conditional.prices
    return model.prices[0].prices


def _model(model: ModelInfo, now: datetime) -> ModelPriceRow | None:
    price = _standing_price(model, now)
    if any(getattr(price, key) for key in _UNSEEN):
        return None
    rates = {name: _rates(getattr(price, key)) for name, key in _KEYS.items()}
    costs = any(rate.nano_per_mtok for part in rates.values() for rate in part)
    free = model.id.endswith(":free")
    if not (rates["input"] or rates["output"]) or not (costs or free):
        return None
    return ModelPriceRow(model.id, _match(model.match), **rates, free=free and not costs)


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
