"""What budget does a token that stands for an API key bring along?  Its terms, as they are claimed, told and counted.

The control plane sees no tokens: what a gateway read in one, and writes down here, is all that it knows of the budget.
So one set of rules says what both of them take.  Source: `contract.md` 6.3 and 6.4.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, Literal, NamedTuple, TypeVar

from shared.money import NANO, from_dollars

Unit = Literal["cost", "tokens"]
Period = Literal["weekly", "monthly"]
Word = TypeVar("Word", bound=str)

FIELDS: Final = ("type", "credit_limit", "alert_threshold", "periodic_reset", "periodic_reset_days")
_UNITS: Final[tuple[Unit, ...]] = ("cost", "tokens")
_PERIODS: Final[tuple[Period, ...]] = ("weekly", "monthly")
#: US dollars, and tokens.
_LEAST: Final[Mapping[str, int]] = {"cost": 1, "tokens": 100}
_MOST: Final[Mapping[str, int]] = {"cost": 10**9, "tokens": 10**15}
_MOST_DAYS: Final = 365
_TEXT: Final = re.compile(
    r"(cost|tokens)/([1-9][0-9]{0,18})/(never|weekly|monthly|[1-9][0-9]{0,2}d)(?:/(0|[1-9][0-9]{0,18}))?"
)
_SUBJECT: Final = re.compile(r"[0-9a-f]{32}")


class Terms(NamedTuple):
    """How much there is, and for how long; `limit` and `threshold` are nano-dollars when `unit` is cost, else tokens.

    Without a `period` and `days` it lasts for ever.
    """

    unit: Unit
    limit: int
    threshold: int | None = None
    period: Period | None = None
    days: int | None = None

    def text(self) -> str:
        """Return the terms as `terms_in` reads them: equal terms are equal texts."""
        reset = self.period or (f"{self.days}d" if self.days is not None else "never")
        told = f"{self.unit}/{self.limit}/{reset}"
        return told if self.threshold is None else f"{told}/{self.threshold}"


class TokenBudget(NamedTuple):
    """One counter: what a `subject` (a hash of who it is) may use in a workspace, by these terms."""

    organisation: str
    workspace: str
    subject: str
    terms: Terms

    def text(self) -> str:
        """Return all of it in a line, as `token_budget_in` reads it."""
        return f"{self.organisation}/{self.workspace}/{self.subject}/{self.terms.text()}"


def _amount(value: object, name: str) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name} must be a number")
    number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if not number.is_finite():
        raise ValueError(f"{name} must be a number")
    return number


def _stored(number: Decimal, unit: Unit) -> int:
    return from_dollars(number) if unit == "cost" else int(number)


def _counted(value: object, unit: Unit, name: str) -> Decimal:
    """Return an amount in dollars or tokens."""
    number = _amount(value, name)
    if unit != "cost" and number != number.to_integral_value():
        raise ValueError(f"{name} must be a whole number")
    return number


def _threshold(value: object, unit: Unit, most: Decimal) -> int | None:
    if value is None:
        return None
    number = _counted(value, unit, "alert_threshold")
    if not 0 < number < most:
        raise ValueError("alert_threshold must be more than 0 and less than credit_limit")
    return _stored(number, unit)


def _days(value: object) -> int | None:
    if value is None:
        return None
    number = _amount(value, "periodic_reset_days")
    if number != number.to_integral_value() or not 1 <= number <= _MOST_DAYS:
        raise ValueError(f"periodic_reset_days must be a whole number of 1 to {_MOST_DAYS}")
    return int(number)


def _one_of(value: object, words: tuple[Word, ...], name: str) -> Word:
    found = next((word for word in words if word == value), None)
    if found is None:
        raise ValueError(f"{name} must be one of: {', '.join(words)}")
    return found


def terms_claimed(claim: object) -> Terms | None:
    """Return the terms of a claim `usage_limits`, an object or a list with one; None when it sets no limit.

    Raises ValueError with a sentence for whatever could not be kept: what the Admin API takes of a limit is taken here,
    but for a moment of the next reset.
    """
    if isinstance(claim, list) and len(claim) <= 1:
        claim = claim[0] if claim else None
    if claim is None:
        return None
    if not isinstance(claim, dict):
        raise ValueError("it must be an object, or a list with one")
    said: Mapping[str, Any] = {name: value for name, value in claim.items() if value is not None}
    if not said.keys() <= set(FIELDS):
        raise ValueError(f"its fields are {', '.join(FIELDS)}")
    unit = _one_of(said.get("type", "cost"), _UNITS, "type")
    limit = _counted(said.get("credit_limit"), unit, "credit_limit")
    if not _LEAST[unit] <= limit <= _MOST[unit]:
        raise ValueError(f"credit_limit must be {_LEAST[unit]} to {_MOST[unit]}")
    threshold = _threshold(said.get("alert_threshold"), unit, limit)
    period = _one_of(said["periodic_reset"], _PERIODS, "periodic_reset") if "periodic_reset" in said else None
    days = _days(said.get("periodic_reset_days"))
    if period is not None and days is not None:
        raise ValueError("give either periodic_reset or periodic_reset_days, not both")
    return Terms(unit, _stored(limit, unit), threshold, period, days)


def terms_in(text: str) -> Terms | None:
    """Return the terms that `Terms.text` wrote; None for whatever no claim can have said."""
    found = _TEXT.fullmatch(text)
    if found is None:
        return None
    unit: Unit = "cost" if found[1] == "cost" else "tokens"
    limit, threshold = int(found[2]), None if found[4] is None else int(found[4])
    scale = NANO if unit == "cost" else 1
    if not _LEAST[unit] * scale <= limit <= _MOST[unit] * scale or (threshold is not None and threshold > limit):
        return None
    days = int(found[3][:-1]) if found[3].endswith("d") else None
    if days is not None and days > _MOST_DAYS:
        return None
    return Terms(unit, limit, threshold, next((period for period in _PERIODS if period == found[3]), None), days)


def token_budget_in(text: str) -> TokenBudget | None:
    """Return what `TokenBudget.text` wrote; None for anything else."""
    organisation, _, rest = text.partition("/")
    workspace, _, rest = rest.partition("/")
    subject, _, rest = rest.partition("/")
    terms = terms_in(rest)
    if terms is None or not organisation or not workspace or _SUBJECT.fullmatch(subject) is None:
        return None
    return TokenBudget(organisation, workspace, subject, terms)
