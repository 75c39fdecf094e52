"""What does a model cost by the price list?  Told to anybody: it says nothing of any tenant."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

from control_plane.catalog.own_prices import TOKENS, UNITS
from control_plane.catalog.prices import price_rows
from control_plane.core.errors import error_body
from shared.catalog.load import providers as known_providers
from shared.money import NANO
from shared.price_book import PriceBook
from shared.pricing import MTOK
from shared.schema.rows import ModelPriceRow

Json = dict[str, Any]
_CENT: Final = NANO // 100
_MAX_CHARS: Final = 255
#: What of a call each price is charged for, in the words of the answer's formulas.
_COUNTED: Final[Mapping[str, Mapping[str, str]]] = {
    "request": {
        "request_token": "input_tokens", "cache_read_input_token": "cache_read_tokens",
        "cache_write_input_token": "cache_write_tokens", "request_audio_token": "audio_input_tokens",
        "cache_read_audio_input_token": "cache_read_audio_tokens",
    },
    "response": {"response_token": "output_tokens", "response_audio_token": "audio_output_tokens"},
}  # fmt: skip


@lru_cache(maxsize=1)
def _book(_day: str) -> PriceBook:
    return PriceBook({row.id: row for row in price_rows()})


def _cents(nano: int, count: int) -> float:
    return float(Decimal(nano) / _CENT / count)


def _charged(row: ModelPriceRow) -> Json:
    """Return US cents per token, below the first threshold, and per further unit."""
    told: Json = {}
    for kind, name in TOKENS.items():
        rates = getattr(row, name)
        if rates:
            told[kind] = {"price": _cents(rates[0].nano_per_mtok, MTOK)}
    units = {
        kind: {"price": _cents(rate.nano * count, rate.per)}
        for kind, (name, count) in UNITS.items()
        if (rate := row.units.get(name)) is not None
    }
    return {**told, "additional_units": units} if units else told


def _formula(side: str, charged: Json) -> Json:
    parts = [
        {"operation": "multiply", "operands": [{"value": counted}, {"value": f"rates.{kind}"}]}
        for kind, counted in _COUNTED[side].items()
        if kind in charged
    ]
    return {"operation": "sum", "operands": parts}


def pricing_json(provider: str, model: str, now: datetime) -> Json | None:
    """Return the list prices of a model at a moment, None for a model or provider that has none.

    `provider` is the id of a provider, or the name of its price list.
    """
    entry = known_providers().get(provider)
    source = (entry.price_source if entry is not None else "") or provider
    found = _book(now.date().isoformat()).find(source, model, at_s=int(now.timestamp()))
    if found is None or found.row is None:
        return None
    charged = _charged(found.row)
    calculate = {side: _formula(side, charged) for side in _COUNTED}
    return {"pay_as_you_go": charged, "calculate": calculate, "currency": "USD"}


@require_safe
def pricing(_request: HttpRequest, provider: str, model: str) -> JsonResponse:
    """Answer the list prices of a model, 404 for one that is unknown or has none."""
    fits = max(len(provider), len(model)) <= _MAX_CHARS
    told = pricing_json(provider, model, datetime.now(UTC)) if fits else None
    if told is None:
        return JsonResponse(error_body(404, "No price is known of that model."), status=404)
    return JsonResponse(told)
