"""Which limits of usage and of rate can be kept?  One set of rules for keys, virtual keys, workspaces and policies.

Faults are sentences by the name of the field, as serializers have them, so that each reaches the caller with its path.
Amounts are decimals here: US dollars of cost, or whole numbers of tokens or requests.  Source: `contract.md` 6.4.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from rest_framework import serializers

from shared.schema.limits import RateRow

Json = dict[str, Any]
Faults = dict[str, Any]

COST: Final = "cost"
BUDGETS: Final = (COST, "tokens")
#: What a budget of a policy may count besides.
POLICY_BUDGETS: Final = (*BUDGETS, "requests")
RESETS: Final = ("weekly", "monthly")
MOST_RESET_DAYS: Final = 365
USAGE_FIELDS: Final = (
    "type", "credit_limit", "alert_threshold", "periodic_reset", "periodic_reset_days", "next_usage_reset_at",
)  # fmt: skip
_LEAST: Final[Mapping[str, int]] = {COST: 1, "tokens": 100, "requests": 1}
#: In nano-dollars the most of cost still fits a 64-bit integer.
_MOST: Final[Mapping[str, int]] = {COST: 10**9, "tokens": 10**15, "requests": 10**15}

RATES: Final = ("requests", "tokens")
UNITS: Final = ("rpm", "rph", "rpd", "rpw")
#: Only the counters of API keys are looked at often enough for seconds.
KEY_UNITS: Final = ("rps", *UNITS)
RATE_FIELDS: Final = ("type", "unit", "value")
MOST_RATE: Final = 10**12

MONDAY: Final = 0
SUNDAY: Final = 6


def amount(value: object) -> Decimal | None:
    """Return a JSON number exactly as it was written, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    return number if number.is_finite() else None


def plain(number: Decimal) -> int | float:
    """Return a decimal as a JSON number, without a fraction when it has none."""
    return int(number) if number == number.to_integral_value() else float(number)


def moment_of(value: object) -> datetime:
    """Return a moment of a request, ISO 8601; raise ValidationError for anything else."""
    moment: datetime = serializers.DateTimeField().run_validation(value)
    return moment


def _one_of(value: object, allowed: Iterable[str]) -> str | None:
    listed = tuple(allowed)
    return None if isinstance(value, str) and value in listed else f"must be one of: {', '.join(listed)}"


def _amount_fault(value: object, kind: str, least: Decimal) -> str | None:
    number = amount(value)
    if number is None:
        return "must be a number"
    if kind != COST and number != number.to_integral_value():
        return "must be a whole number"
    unit = "US dollars" if kind == COST else kind
    if number < least:
        return f"must be at least {least} {unit}"
    return f"must be at most {_MOST[kind]} {unit}" if number > _MOST[kind] else None


def _threshold_fault(value: object, limit: object, kind: str) -> str | None:
    number, most = amount(value), amount(limit)
    fault = _amount_fault(value, kind, Decimal(0))
    if fault is None and number == 0:
        fault = "must be more than 0"
    if fault is None and number is not None and most is not None and number >= most:
        fault = "must be less than credit_limit"
    return fault


def _days_fault(value: object, period: object) -> str | None:
    days = amount(value)
    if days is None or days != days.to_integral_value() or not 1 <= days <= MOST_RESET_DAYS:
        return f"must be a whole number of 1 to {MOST_RESET_DAYS}"
    return "give either periodic_reset or periodic_reset_days, not both" if period is not None else None


def _next_fault(value: object, *, is_periodic: bool) -> str | None:
    try:
        moment_of(value)
    except serializers.ValidationError:
        return "must be a moment such as 2030-01-31T00:00:00Z"
    return None if is_periodic else "needs periodic_reset or periodic_reset_days"


def usage_faults(limit: Mapping[str, Any], kinds: Collection[str] = BUDGETS) -> Faults:
    """Return what is wrong with a limit of usage, by field; {} when it can be kept.  None is like not said."""
    said = {name: value for name, value in limit.items() if value is not None}
    kind, period, days = said.get("type", COST), said.get("periodic_reset"), said.get("periodic_reset_days")
    faults: dict[str, str | None] = {name: "is no field of a usage limit" for name in said if name not in USAGE_FIELDS}
    faults["type"] = _one_of(kind, kinds)
    if faults["type"] is None:
        most = said.get("credit_limit")
        least = Decimal(_LEAST[kind])
        faults["credit_limit"] = "is required" if most is None else _amount_fault(most, kind, least)
        if "alert_threshold" in said:
            faults["alert_threshold"] = _threshold_fault(said["alert_threshold"], most, kind)
    if period is not None:
        faults["periodic_reset"] = _one_of(period, RESETS)
    if days is not None:
        faults["periodic_reset_days"] = _days_fault(days, period)
    if "next_usage_reset_at" in said:
        is_periodic = period is not None or days is not None
        faults["next_usage_reset_at"] = _next_fault(said["next_usage_reset_at"], is_periodic=is_periodic)
    return {name[:64]: [fault] for name, fault in faults.items() if fault is not None}


def rate_faults(limit: Mapping[str, Any], units: Collection[str] = UNITS, *, least: int = 0) -> Faults:
    """Return what is wrong with a limit of rate, by field; {} when it can be kept."""
    faults: dict[str, str | None] = {name: "is no field of a rate limit" for name in limit if name not in RATE_FIELDS}
    faults["type"] = _one_of(limit.get("type"), RATES)
    faults["unit"] = _one_of(limit.get("unit"), units)
    value = amount(limit.get("value"))
    if value is None or value != value.to_integral_value() or not least <= value <= MOST_RATE:
        faults["value"] = f"must be a whole number of {least} to {MOST_RATE}"
    return {name[:64]: [fault] for name, fault in faults.items() if fault is not None}


def rates_faults(limits: Iterable[Mapping[str, Any]], units: Collection[str] = UNITS) -> Faults:
    """Return what is wrong with a list of limits of rate, by place and field; two of one kind contradict each other."""
    faults: Faults = {}
    seen = set()
    for index, limit in enumerate(limits):
        found = rate_faults(limit, units)
        kind = (limit.get("type"), limit.get("unit"))
        if not found and kind in seen:
            found = {"unit": ["another limit has this type and unit"]}
        if found:
            faults[str(index)] = found
        else:
            seen.add(kind)
    return faults


def next_reset(now: datetime, period: str | None, days: int | None, *, weekday: int) -> datetime | None:
    """Return when usage is next set back to 0: a midnight of UTC after `now`; None for a limit that lasts forever.

    `period` is one of `RESETS`, or `days` the days between two resets; weeks begin on `weekday` (`MONDAY`, `SUNDAY`).
    """
    today = midnight(now)
    if period == "weekly":
        return today + timedelta(days=(weekday - today.weekday()) % 7 or 7)
    if period == "monthly":
        return (today.replace(day=1) + timedelta(days=32)).replace(day=1)
    return today + timedelta(days=days) if days is not None else None


def midnight(moment: datetime) -> datetime:
    """Return the midnight of UTC at which a moment's day began; `moment` is in UTC."""
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def rate_rows(rates: Iterable[Mapping[str, Any]] | None) -> tuple[RateRow, ...]:
    """Return limits of rate as gateways get them; what they could not count, from an earlier version, is left out."""
    fit = (rate for rate in rates or () if isinstance(rate, dict) and not rate_faults(rate, KEY_UNITS))
    return tuple(RateRow(rate["type"], rate["unit"], int(rate["value"])) for rate in fit)
