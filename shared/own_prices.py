"""What does an integration pay in place of list prices?  Prices of its own for single models, and multipliers.

Both have times: a call is priced by what held when it came, whenever it is priced.  A price of its own holds at every
tier, because it was said of the model.
"""

from datetime import UTC, datetime
from fractions import Fraction
from typing import Any, Final, NamedTuple, Protocol, TypeVar

import msgspec

from shared.price_book import Found, PriceBook
from shared.pricing import PARTS
from shared.schema.rows import IntegrationPricesRow, ModelPriceRow, Multipliers, OwnPrices, Rate, UnitRate

Timed = TypeVar("Timed", OwnPrices, Multipliers)
#: The factor of what has none of its own.
_DEFAULT: Final = "default"
_REMEMBERED: Final = 4096


class PricedCall(NamedTuple):
    """What a price depends on: `sent` is the model that was asked of the provider, `served` the one that it names."""

    source: str | None
    served: str | None
    tier: str = ""
    at_us: int = 0
    integration: str | None = None
    sent: str | None = None


class OwnRows(Protocol):
    """Where rows are found by integration: a dict, or a section of a bundle."""

    def get(self, name: str, /) -> IntegrationPricesRow | None:
        """Return the row of an integration, None when it pays list prices."""


def _in_effect(timed: tuple[Timed, ...], at_us: int) -> Timed | None:
    for each in reversed(timed):
        if each.from_us <= at_us:
            return each
    return None


def _scaled(rates: tuple[Rate, ...], factor: Fraction) -> tuple[Rate, ...]:
    """Return rates times a factor, to the nano-dollar per million tokens."""
    return tuple(Rate(rate.above, int(rate.nano_per_mtok * factor + Fraction(1, 2))) for rate in rates)


def multiplied(row: ModelPriceRow, factors: dict[str, str]) -> ModelPriceRow:
    """Return prices times `factors`; what has a factor and no price of its own is multiplied from its total's."""
    told = {name: Fraction(text) for name, text in factors.items()}
    usual = told.get(_DEFAULT, Fraction(1))
    changes: dict[str, Any] = {}
    for name in PARTS:
        rates: tuple[Rate, ...] = getattr(row, name)
        general = name
        while name in told and not rates and PARTS[general]:
            general = PARTS[general]
            rates = getattr(row, general)
        if rates:
            changes[name] = _scaled(rates, told.get(name, usual))
    units = {name: _unit_scaled(rate, told.get(name, usual)) for name, rate in row.units.items()}
    return msgspec.structs.replace(row, **changes, units=units)


def _unit_scaled(rate: UnitRate, factor: Fraction) -> UnitRate:
    nano = rate.nano * factor
    return UnitRate(nano.numerator, rate.per * nano.denominator, rate.least)


def _since(at_us: int) -> str:
    return datetime.fromtimestamp(at_us / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class OwnPriceBook:
    """Finds what a call costs: as its integration says, else as the price list says."""

    def __init__(self, rows: OwnRows, book: PriceBook) -> None:
        self._rows = rows
        self._book = book
        # As many as integrations and what was said of them: no caller can add to these.
        self._known: dict[str, IntegrationPricesRow | None] = {}
        self._static: dict[tuple[str, str, int], Found] = {}
        self._products: dict[tuple[str, int, str], tuple[ModelPriceRow, Found]] = {}

    def find(self, call: PricedCall) -> Found | None:
        """Return the prices of a call, None for none; raises Quarantined when what was said of them is not valid."""
        row = self._row(call.integration)
        if row is not None:
            own = self._own(row, call)
            if own is not None:
                return own
        if not call.source or not call.served:
            return None
        found = self._book.find(call.source, call.served, call.tier, call.at_us // 1_000_000)
        if row is None or found is None or found.row is None or found.row.free:
            return found
        said = _in_effect(row.multipliers, call.at_us)
        return self._product(row, found, said) if said is not None and said.factors else found

    def _row(self, integration: str | None) -> IntegrationPricesRow | None:
        if integration is None:
            return None
        try:
            return self._known[integration]
        except KeyError:
            row = self._known[integration] = self._rows.get(integration)
            return row

    def _own(self, row: IntegrationPricesRow, call: PricedCall) -> Found | None:
        for model in (call.sent, call.served):
            timed = row.models.get(model) if model else None
            said = _in_effect(timed, call.at_us) if timed else None
            if said is None or model is None:
                continue
            if said.rates is None:
                return None
            memo = (row.id, model, said.from_us)
            found = self._static.get(memo)
            if found is None:
                rates: dict[str, Any] = {name: (Rate(0, nano),) for name, nano in said.rates.items() if name in PARTS}
                prices = ModelPriceRow(model, ["equals", model], units=said.units, **rates)
                name = f"integration/{row.slug}/{model}@{_since(said.from_us)}"
                found = self._static[memo] = Found(prices, name, is_own=True)
            return found
        return None

    def _product(self, row: IntegrationPricesRow, found: Found, said: Multipliers) -> Found:
        listed = found.row
        assert listed is not None  # noqa: S101 -- the caller looked; tells the type checker
        memo = (row.id, said.from_us, found.price_id)
        known = self._products.get(memo)
        # The same name has other prices at other hours.
        if known is None or known[0] is not listed:
            if len(self._products) >= _REMEMBERED:
                self._products.clear()
            name = f"integration/{row.slug}@{_since(said.from_us)}*{found.price_id}"
            known = self._products[memo] = (listed, Found(multiplied(listed, said.factors), name, is_own=True))
        return known[1]
