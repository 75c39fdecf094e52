"""What does a call take from a budget of cost when nobody knows its price?  As its organisation says; never 0."""

from collections.abc import Iterable
from typing import Any, Final

from shared.price_book import PriceLists
from shared.pricing import EXTRAS, MEASURES, MOST_NANO, MTOK, PARTS, Tokens, cost_nano
from shared.schema.limits import UnpricedRule
from shared.schema.rows import ModelPriceRow, Rate, UnitRate

#: The least that a call of an unknown price takes: a cent.
LEAST_NANO: Final = 10_000_000


def dearest(rows: Iterable[ModelPriceRow]) -> ModelPriceRow | None:
    """Return a model that is as dear as the dearest of `rows` in each respect; None when none of them has a price."""
    rates: dict[str, int] = {}
    units: dict[str, UnitRate] = {}
    for row in rows:
        for name in PARTS:
            for rate in getattr(row, name):
                rates[name] = max(rates.get(name, 0), rate.nano_per_mtok)
        for name, unit in row.units.items():
            known = units.get(name)
            if known is None or unit.nano * known.per > known.nano * unit.per:
                units[name] = unit
    if not rates.get("input") and not rates.get("output") and not units:
        return None
    fields: dict[str, Any] = {name: (Rate(0, nano),) for name, nano in rates.items()}
    return ModelPriceRow("dearest", ["equals", ""], units=units, **fields)


class Unpriced:
    """Finds the dearest model of each price list, once."""

    def __init__(self, lists: PriceLists) -> None:
        self._lists = lists
        self._dearest: dict[str, ModelPriceRow | None] = {}

    def _of(self, source: str) -> ModelPriceRow | None:
        if source not in self._dearest:
            prices = self._lists.get(source)
            rows: list[ModelPriceRow] = []
            if prices is not None:
                others = [self._lists.get(name) for name in prices.fallback]
                rows = [*prices.models, *(row for other in others if other is not None for row in other.models)]
            self._dearest[source] = dearest(rows)
        return self._dearest[source]

    def nano(self, rule: UnpricedRule, source: str | None, used: Tokens) -> int:
        """Return nano-dollars for what was `used` of the provider whose price list is `source`."""
        row = self._of(source) if source and rule.rule == "dearest" else None
        cost = cost_nano(row, used) if row is not None else None
        if not cost:
            cost = -(-(used.input * rule.input + used.output * rule.output) // MTOK)
            units = sum(getattr(used, name) > 0 for name in (*MEASURES, *EXTRAS))
            cost += units * LEAST_NANO
        return min(max(cost, LEAST_NANO), MOST_NANO)
