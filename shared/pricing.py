"""What did this call cost?  A usage under a model's prices, in integer nano-dollars.

A model without a known price has no cost: the answer is None, never 0, because a cost of 0 tells a lie that sums up.
Prices come compiled inside the bundle, so both planes price alike and a gateway needs no look-up.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from operator import attrgetter
from typing import Final

from shared.schema.rows import ModelPriceRow, Rate, UnitRate

MTOK: Final = 1_000_000
#: More than any provider gives in a call: a larger number is no count of tokens.
MOST_TOKENS: Final = 1_000_000_000
#: What a record can hold; a call that costs more is one that nobody can tell the cost of.
MOST_NANO: Final = 2**63 - 1
#: Prices by token, and the total that each is a part of.
PARTS: Final[Mapping[str, str]] = {
    "input": "", "output": "", "cache_read": "input", "cache_read_audio": "cache_read", "cache_write": "input",
    "cache_write_1h": "cache_write", "audio_input": "input", "image_input": "input", "reasoning": "output",
    "audio_output": "output", "image_output": "output",
}  # fmt: skip
#: What a call is charged by in place of tokens, or beside them.
MEASURES: Final = ("images", "audio_ms", "characters", "searches")
#: What is charged on top of all else.
EXTRAS: Final = ("web_searches", "file_searches")
#: The usual tier of a provider, in the words of one or the other.
_USUAL: Final = frozenset({"default", "standard", "standard_only", "on_demand", "auto"})
_MAX_TIER_CHARS: Final = 32


@dataclass(frozen=True, slots=True)
class Tokens:
    """Counts of one call; cached, audio, image and reasoning tokens are parts of the totals, as in OpenTelemetry.

    `cache_write_1h` and `cache_read_audio` are parts of `cache_write` and `cache_read`; `audio_input` is not cached.
    What is not counted in tokens: `images` made, `audio_ms` heard, `characters` spoken, `searches` ranked, and
    searches of the web and of files by the model.  `source` is `provider` when the provider counted, `estimated` when
    the gateway did, `none` when nobody did.
    """

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0
    audio_input: int = 0
    audio_output: int = 0
    cache_write_1h: int = 0
    cache_read_audio: int = 0
    image_input: int = 0
    image_output: int = 0
    images: int = 0
    audio_ms: int = 0
    characters: int = 0
    searches: int = 0
    web_searches: int = 0
    file_searches: int = 0
    source: str = "provider"


def tier_named(word: object) -> str:
    """Return a service tier by its name: `default` for a provider's usual one, "" when none is named."""
    if not isinstance(word, str) or not word or len(word) > _MAX_TIER_CHARS:
        return ""
    name = word.lower()
    return "default" if name in _USUAL else name


def _rate(rates: tuple[Rate, ...], input_tokens: int) -> int | None:
    chosen = None
    for rate in rates:
        if rate.above == 0 or input_tokens > rate.above:
            chosen = rate.nano_per_mtok
    return chosen


#: Parts in the order in which they are taken out of their total.
_OF_INPUT: Final = ("cache_read_audio", "cache_read", "cache_write_1h", "cache_write", "audio_input", "image_input")
_OF_OUTPUT: Final = ("reasoning", "audio_output", "image_output")
_UNITS: Final = (*MEASURES, *EXTRAS)
#: Reads many counts at once: every request is priced.
_READ: Final[Mapping[tuple[str, ...], Callable[[Tokens], tuple[int, ...]]]] = {
    names: attrgetter(*names) for names in (_OF_INPUT, _OF_OUTPUT, _UNITS)
}
#: What is also counted under another name, and must not be charged twice.
_WITHIN: Final[Mapping[str, str]] = {"cache_read": "cache_read_audio", "cache_write": "cache_write_1h"}


def _side(price: ModelPriceRow, counts: Tokens, total: int, rate: int, parts: tuple[str, ...]) -> int:
    """Return nano-dollars times a million of one side of a call; parts are never more than their total."""
    nano, rest = 0, total
    told = _READ[parts](counts)
    if not any(told):
        return total * rate
    for name, part in zip(parts, told, strict=True):
        if not part:
            continue
        inner = _WITHIN.get(name)
        if inner is not None and getattr(price, inner):
            part -= getattr(counts, inner)  # noqa: PLW2901 -- what is left of it
        own = _rate(getattr(price, name), counts.input)
        if own is not None and part > 0:
            counted = min(part, rest)
            nano += counted * own
            rest -= counted
    return nano + rest * rate


def _tokens_nano(price: ModelPriceRow, counts: Tokens) -> int | None:
    taken, given = counts.input, counts.output
    input_rate, output_rate = _rate(price.input, taken), _rate(price.output, taken)
    if (taken and input_rate is None) or (given and output_rate is None):
        return None
    if price.image_output and counts.images and given and not counts.image_output:
        # Pictures were made, and which tokens are theirs is not told.
        return None
    return _side(price, counts, taken, input_rate or 0, _OF_INPUT) + _side(
        price, counts, given, output_rate or 0, _OF_OUTPUT
    )


def _unit_nano(rate: UnitRate, count: int) -> Fraction:
    return Fraction(max(count, rate.least) * rate.nano, rate.per)


def _units_nano(price: ModelPriceRow, counts: Tokens) -> tuple[Fraction, bool, bool] | None:
    """Return what a call costs beside its tokens, whether a measure was charged, and whether one could not be.

    None: something that is charged on top has no price.
    """
    total, charged, uncharged = Fraction(0), False, False
    for name in MEASURES:
        count = getattr(counts, name)
        rate = price.units.get(name)
        if count and rate is not None:
            total += _unit_nano(rate, count)
            charged = True
        elif count:
            uncharged = True
    for name in EXTRAS:
        count = getattr(counts, name)
        if count:
            rate = price.units.get(name)
            if rate is None:
                return None
            total += _unit_nano(rate, count)
    return total, charged, uncharged


def cost_nano(price: ModelPriceRow, counts: Tokens) -> int | None:
    """Return the cost in nano-dollars, rounded half up once; None when a price that is needed is missing.

    A part without a price of its own (cached, reasoning, audio) costs what its total costs.  What is measured in other
    units (`MEASURES`) costs what they cost; a model that has no price by them is charged by tokens, if the provider
    counted those.
    """
    beside = Fraction(0)
    by_tokens = True
    if any(_READ[_UNITS](counts)):
        told = _units_nano(price, counts)
        if told is None:
            return None
        beside, charged, uncharged = told
        if uncharged and not charged and (not (counts.input or counts.output) or counts.source != "provider"):
            return None
        by_tokens = not charged or bool(price.input or price.output)
    tokens = _tokens_nano(price, counts) if by_tokens else 0
    if tokens is None:
        return None
    return _whole_nano(tokens, beside)


def _whole_nano(tokens: int, beside: Fraction) -> int | None:
    """Return nano-dollars, rounded half up; `tokens` is what they cost times a million."""
    if beside:
        whole = beside + Fraction(tokens, MTOK)
        cost = (2 * whole.numerator + whole.denominator) // (2 * whole.denominator)
    else:
        cost = (tokens + MTOK // 2) // MTOK
    return cost if cost <= MOST_NANO else None


#: What text may turn out to be; what it is that a model hears or sees is known before it is asked.
_TEXT_INPUT: Final = attrgetter("input", "cache_write", "cache_write_1h")
_ANY_OUTPUT: Final = attrgetter("output", *_OF_OUTPUT)


def _dearest(rates: tuple[tuple[Rate, ...], ...], input_tokens: int) -> int:
    return max([_rate(each, input_tokens) or 0 for each in rates if each])


def most_nano(price: ModelPriceRow, taken: int, given: int, beside: Tokens | None = None) -> int | None:
    """Return the most that `taken` and `given` tokens may cost, in nano-dollars; None when a price is missing.

    Each token counts as the dearest that it may turn out to be: written to a cache, reasoning, sound or part of a
    picture.  `beside` is what is measured in other units (`MEASURES`, `EXTRAS`).
    """
    total, charged = Fraction(0), False
    if beside is not None:
        told = _units_nano(price, beside)
        if told is None:
            return None
        total, charged, uncharged = told
        if uncharged and not charged and not (price.input or price.output):
            return None
    if charged and not (price.input or price.output):
        return _whole_nano(0, total)
    if (taken and not price.input) or (given and not price.output):
        return None
    tokens = taken * _dearest(_TEXT_INPUT(price), taken) if taken else 0
    if given:
        tokens += given * _dearest(_ANY_OUTPUT(price), taken)
    return _whole_nano(tokens, total)
