"""What does an integration pay in place of list prices, and since when?

What was said of prices is kept for ever, each with the moment from which it holds; what is said later goes before what
was said earlier, from its own moment on.  Gateways learn what holds and what is going to, so that a change happens at
its second, and a call is priced by what held when it came.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

import msgspec
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from control_plane.catalog.models import Integration, SaidPrice
from control_plane.core.errors import Invalid
from control_plane.orgs.models import Organisation
from shared.money import NANO
from shared.pricing import MTOK
from shared.schema.rows import IntegrationPricesRow, Multipliers, OwnPrices, UnitRate

Json = Mapping[str, Any]
SECTION: Final = "integration_prices"
#: The name under which the multipliers of all models are kept.
ALL: Final = ""
#: The kinds of tokens in the API's words, and in those of a price row.
TOKENS: Final[Mapping[str, str]] = {
    "request_token": "input", "response_token": "output", "cache_write_input_token": "cache_write",
    "cache_read_input_token": "cache_read", "request_audio_token": "audio_input",
    "response_audio_token": "audio_output", "cache_read_audio_input_token": "cache_read_audio",
    "request_image_token": "image_input", "response_image_token": "image_output", "reasoning_token": "reasoning",
}  # fmt: skip
#: Kinds that stand for all of a total when that has no price itself.
_INSTEAD: Final[Mapping[str, str]] = {"request_text_token": "input", "cache_read_text_input_token": "cache_read"}
#: Units in the API's words, in a record's, and how many of the latter one is.
UNITS: Final[Mapping[str, tuple[str, int]]] = {
    "web_search": ("web_searches", 1), "file_search": ("file_searches", 1), "search": ("searches", 1),
    "image": ("images", 1), "audio_second": ("audio_ms", 1000), "character": ("characters", 1),
}  # fmt: skip
#: Gateways price late by the length of a call, and a bundle may be a day old.
_KEPT: Final = timedelta(days=1)
_CENT: Final = NANO // 100
#: A clock that is a little behind is no clock that is wrong.
_LATE: Final = timedelta(minutes=1)


def _micros(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000 + moment.microsecond


def say_price(integration: Integration, model: str, before: Json | None, given: Json | None) -> None:
    """Keep what one model costs: `pay_as_you_go` in US cents, from `valid_from` on, else from now; None: list price.

    `before` is what was said last; nothing is kept when it is the same.  Raises Invalid for a moment that is over:
    calls since then are priced already.
    """
    if before == given:
        return
    now = timezone.now()
    told = (given or {}).get("valid_from")
    since = (parse_datetime(told) if told else None) or now
    if since < now - _LATE:
        raise Invalid(
            f"models.{model}.pricing_config.valid_from: lies in the past; calls since then are priced already"
        )
    _keep(integration, model, since, (given or {}).get("pay_as_you_go"))


def say_multipliers(integration: Integration, before: Json | None) -> None:
    """Keep what list prices are multiplied by from now on; `before` is what was said last."""
    if before != integration.pricing_adjustments:
        _keep(integration, ALL, timezone.now(), (integration.pricing_adjustments or {}).get("multiplier"))


def _keep(integration: Integration, model: str, since: datetime, prices: Json | None) -> None:
    SaidPrice.objects.create(
        organisation_id=integration.organisation_id,
        integration=integration,
        model=model,
        valid_from=since,
        prices=prices or None,
    )


def _exact(number: float) -> Fraction:
    """Return a number as it was written: 0.1 is a tenth."""
    return Fraction(Decimal(str(number)))


def own_prices(since: datetime, prices: Json | None) -> OwnPrices:
    """Return prices per token (US cents) as gateways get them, to the nano-dollar per million tokens."""
    if prices is None:
        return OwnPrices(_micros(since))
    rates: dict[str, int] = {}
    for kind, name in (*_INSTEAD.items(), *TOKENS.items()):
        if kind in prices:
            rates[name] = int(_exact(prices[kind]["price"]) * _CENT * MTOK + Fraction(1, 2))
    units: dict[str, UnitRate] = {}
    for kind, told in (prices.get("additional_units") or {}).items():
        name, count = UNITS[kind]
        nano = _exact(told["price"]) * _CENT
        units[name] = UnitRate(nano.numerator, count * nano.denominator)
    return OwnPrices(_micros(since), rates, units)


def multipliers(since: datetime, given: Json | None) -> Multipliers:
    """Return multipliers as gateways get them; those of what they do not count are left out."""
    told = dict(given or {})
    units = {
        UNITS[kind][0]: factor for kind, factor in (told.pop("additional_units", None) or {}).items() if kind in UNITS
    }
    pictures = (told.pop("image", None) or {}).get("default")
    if pictures is not None:
        units.setdefault("images", pictures)
    named = {name: told[kind] for kind, name in (*_INSTEAD.items(), *TOKENS.items()) if kind in told}
    usual = {"default": told["default"]} if "default" in told else {}
    factors = {name: str(Decimal(str(factor))) for name, factor in {**usual, **named, **units}.items()}
    return Multipliers(_micros(since), factors)


def timeline(said: Iterable[SaidPrice], cutoff: datetime) -> list[SaidPrice]:
    """Return which of what was said holds, by time, from `cutoff` on; `said` is in the order of saying."""
    held: list[SaidPrice] = []
    for row in said:
        while held and held[-1].valid_from >= row.valid_from:
            held.pop()
        held.append(row)
    began = [row for row in held if row.valid_from <= cutoff]
    return held[max(0, len(began) - 1) :]


def export_own_prices(organisation: Organisation) -> Iterator[tuple[str, str, msgspec.Struct]]:
    """Yield (section, row id, row) for each active integration that does not pay list prices."""
    cutoff = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0) - _KEPT
    rows = SaidPrice.objects.filter(organisation=organisation, integration__status="active")
    by_integration: dict[Any, dict[str, list[SaidPrice]]] = {}
    slugs: dict[Any, str] = {}
    for row in rows.select_related("integration").order_by("created_at", "id"):
        by_integration.setdefault(row.integration_id, {}).setdefault(row.model, []).append(row)
        slugs[row.integration_id] = row.integration.slug
    for integration, models in by_integration.items():
        held = {model: timeline(said, cutoff) for model, said in models.items()}
        factors = tuple(multipliers(row.valid_from, row.prices) for row in held.pop(ALL, []))
        prices = {
            model: tuple(own_prices(row.valid_from, row.prices) for row in said)
            for model, said in sorted(held.items())
            if any(row.prices for row in said)
        }
        if prices or any(each.factors for each in factors):
            row_id = str(integration)
            yield (
                SECTION,
                row_id,
                IntegrationPricesRow(row_id, str(organisation.pk), slugs[integration], prices, factors),
            )
