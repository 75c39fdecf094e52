"""What did this call cost?  A usage under a price list, in integer nano-dollars.

A model without a known price has no cost: the answer is None, never 0, because a cost of 0 tells a lie that sums up.
Price lists come compiled inside the bundle, so both planes price alike and a gateway needs no look-up.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from shared.schema.rows import ModelPriceRow, ProviderPricesRow, Rate

MTOK: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Tokens:
    """Counts of one call; cached, audio and reasoning tokens are parts of the totals."""

    input: int
    output: int
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0
    audio_input: int = 0
    audio_output: int = 0


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


def _rate(rates: tuple[Rate, ...], input_tokens: int) -> int | None:
    chosen = None
    for rate in rates:
        if rate.above == 0 or input_tokens > rate.above:
            chosen = rate.nano_per_mtok
    return chosen


def cost_nano(price: ModelPriceRow, tokens: Tokens) -> int | None:
    """Return the cost in nano-dollars, rounded half up once; None when a price that is needed is missing.

    A part without a price of its own (cached, reasoning, audio) costs what its total costs.
    """
    input_rate, output_rate = _rate(price.input, tokens.input), _rate(price.output, tokens.input)
    if (tokens.input and input_rate is None) or (tokens.output and output_rate is None):
        return None
    parts_in = (
        (price.cache_read, tokens.cache_read),
        (price.cache_write, tokens.cache_write),
        (price.audio_input, tokens.audio_input),
    )
    parts_out = ((price.reasoning, tokens.reasoning), (price.audio_output, tokens.audio_output))
    total = 0
    for parts, count, rate in ((parts_in, tokens.input, input_rate or 0), (parts_out, tokens.output, output_rate or 0)):
        rest = count
        for rates, part in parts:
            own = _rate(rates, tokens.input)
            if own is not None and part:
                counted = min(part, rest)
                total += counted * own
                rest -= counted
        total += rest * rate
    return (total + MTOK // 2) // MTOK


class PriceLists(Protocol):
    """Where price lists are found by name: a dict, or a section of a bundle."""

    def get(self, name: str, /) -> ProviderPricesRow | None:
        """Return the list `name`, None when there is none."""


class PriceBook:
    """Finds the price of a model; remembers what it found, because matching runs through a whole list."""

    _REMEMBERED: Final = 4096

    def __init__(self, lists: PriceLists) -> None:
        self._lists = lists
        self._matchers: dict[str, list[tuple[Callable[[str], bool], ModelPriceRow]]] = {}
        self._found: dict[tuple[str, str], tuple[ModelPriceRow, str] | None] = {}

    def find(self, source: str, model: str) -> tuple[ModelPriceRow, str] | None:
        """Return the price of `model` in the list `source` and the price's id (`openai/gpt-4o@list-version`)."""
        memo = (source, model)
        if memo not in self._found:
            if len(self._found) >= self._REMEMBERED:
                self._found.clear()
            self._found[memo] = self._search(source, model.lower())
        return self._found[memo]

    def _search(self, source: str, model: str) -> tuple[ModelPriceRow, str] | None:
        prices = self._lists.get(source)
        if prices is None:
            return None
        matchers = self._matchers.get(source)
        if matchers is None:
            matchers = self._matchers[source] = [(_matcher(row.match), row) for row in prices.models]
        for matches, row in matchers:
            if matches(model):
                return row, f"{source}/{row.id}@{prices.source}"
        for other in prices.fallback:
            found = self._search(other, model)
            if found:
                return found
        return None
