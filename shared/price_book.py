"""Which prices hold for a model, at a tier and at a moment?  Found in the price lists of a bundle, and remembered."""

import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from shared.schema.rows import ModelPriceRow, PriceChange, ProviderPricesRow, Rate, UnitRate

_DAY_S: Final = 86_400
_REMEMBERED: Final = 4096


class Found(NamedTuple):
    """Prices and their name (`openai/gpt-5+flex@list-version`).

    `row` None: the model is known, and the tier has no price.  `is_own`: they are an integration's own.
    """

    row: ModelPriceRow | None
    price_id: str
    is_own: bool = False


class _Listed(NamedTuple):
    row: ModelPriceRow
    stem: str
    version: str
    found: Found
    #: Whether the usual tier's prices have times.
    varies: bool


def _matcher(match: list[Any]) -> Callable[[str], bool]:
    kind, operand = match
    if kind in {"or", "and"}:
        parts = [_matcher(part) for part in operand]
        combine = any if kind == "or" else all
        return lambda name: combine(part(name) for part in parts)
    if kind == "regex":
        pattern = re.compile(operand)
        return lambda name: pattern.search(name) is not None
    text = operand.lower()
    simple: dict[str, Callable[[str], bool]] = {
        "equals": lambda name: name == text,
        "starts_with": lambda name: name.startswith(text),
        "ends_with": lambda name: name.endswith(text),
        "contains": lambda name: text in name,
    }
    return simple[kind]


def _holds(change: PriceChange, at_s: int) -> bool:
    if at_s < change.from_s:
        return False
    if change.hours is None:
        return True
    start, end = change.hours
    second = at_s % _DAY_S
    return start <= second < end if start <= end else second >= start or second < end


def priced(row: ModelPriceRow, tier: str, active: tuple[int, ...]) -> ModelPriceRow | None:
    """Return a row with those of its changes that are `active`; None when `tier` has no prices among them."""
    standing = row
    for index in reversed(active):
        change = row.changes[index]
        if not change.tier:
            rates: dict[str, Any] = change.rates
            standing = ModelPriceRow(row.id, row.match, units=change.units, **rates)
            break
    if not tier:
        return standing
    own = [change for index in active if (change := row.changes[index]).tier == tier]
    if not own:
        return None
    own_rates: dict[str, tuple[Rate, ...]] = {}
    own_units: dict[str, UnitRate] = {}
    for change in reversed(own):
        own_rates |= change.rates
        own_units |= change.units
    return msgspec.structs.replace(standing, **own_rates, units={**standing.units, **own_units}, free=False, changes=())


class PriceLists(Protocol):
    """Where price lists are found by name: a dict, or a section of a bundle."""

    def get(self, name: str, /) -> ProviderPricesRow | None:
        """Return the list `name`, None when there is none."""


class PriceBook:
    """Finds the prices of a model; remembers what it found, because matching runs through a whole list."""

    def __init__(self, lists: PriceLists) -> None:
        self._lists = lists
        self._matchers: dict[str, list[tuple[Callable[[str], bool], ModelPriceRow]]] = {}
        self._listed: dict[tuple[str, str], _Listed | None] = {}
        self._made: dict[tuple[str, str, tuple[int, ...]], Found] = {}

    def find(self, source: str, model: str, tier: str = "", at_s: int = 0) -> Found | None:
        """Return the prices of `model` in the list `source` at a tier ("": the usual one) and a time (Unix seconds)."""
        memo = (source, model)
        try:
            listed = self._listed[memo]
        except KeyError:
            if len(self._listed) >= _REMEMBERED:
                self._listed.clear()
            listed = self._listed[memo] = self._search(source, model.lower())
        if listed is None or not (tier or listed.varies):
            return listed and listed.found
        return self._at(listed, tier, at_s)

    def _at(self, listed: _Listed, tier: str, at_s: int) -> Found:
        row = listed.row
        active = tuple(
            index for index, change in enumerate(row.changes) if change.tier in {"", tier} and _holds(change, at_s)
        )
        memo = (listed.stem, tier, active)
        found = self._made.get(memo)
        if found is None:
            if len(self._made) >= _REMEMBERED:
                self._made.clear()
            name = f"{listed.stem}+{tier}" if tier else listed.stem
            found = self._made[memo] = Found(priced(row, tier, active), f"{name}@{listed.version}")
        return found

    def _search(self, source: str, model: str) -> _Listed | None:
        prices = self._lists.get(source)
        if prices is None:
            return None
        matchers = self._matchers.get(source)
        if matchers is None:
            matchers = self._matchers[source] = [(_matcher(row.match), row) for row in prices.models]
        for matches, row in matchers:
            if matches(model):
                stem = f"{source}/{row.id}"
                varies = any(not change.tier for change in row.changes)
                return _Listed(row, stem, prices.source, Found(row, f"{stem}@{prices.source}"), varies)
        for other in prices.fallback:
            found = self._search(other, model)
            if found:
                return found
        return None
