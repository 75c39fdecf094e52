"""How figures are written for people: money, durations, sizes, outcomes."""

from decimal import Decimal
from typing import Final

from django import template

from control_plane.logs.models import LogRow
from shared.money import NANO

register = template.Library()

DASH: Final = "–"
_SIGNIFICANT: Final = 4
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")


def money(nanousd: int) -> str:
    """Return US dollars with at least two decimals and four significant digits, so that small amounts are not $0."""
    amount = Decimal(nanousd) / NANO
    places = max(2, _SIGNIFICANT - 1 - amount.adjusted()) if amount else 2
    whole, _, decimals = f"{amount:,.{places}f}".partition(".")
    return f"${whole}.{decimals[:2]}{decimals[2:].rstrip('0')}"


def amount(kind: str, value: float | None, *, is_told: bool = False) -> str:
    """Return an amount of `cost` (nano-dollars; with `is_told`, US dollars), tokens or requests; a dash for None."""
    if value is None:
        return DASH
    if kind == "cost":
        return money(round(value * NANO) if is_told else int(value))
    return f"{value:,.1f}".removesuffix(".0")


@register.filter
def cost(row: LogRow) -> str:
    """Return what a request cost; a cost that is not known is said to be so, and never shown as 0."""
    if row.price_status in {"free", "cached"}:
        return row.price_status
    if row.cost_nano is not None:
        return money(row.cost_nano)
    return "unpriced" if row.price_status == "unpriced" else DASH


@register.filter
def duration(milliseconds: int | None) -> str:
    """Return milliseconds below ten seconds, then seconds."""
    if milliseconds is None:
        return DASH
    return f"{milliseconds:,} ms" if milliseconds < 10_000 else f"{milliseconds / 1000:,.1f} s"


@register.filter
def microseconds(value: int) -> str:
    """Return microseconds as milliseconds with one decimal."""
    return f"{value / 1000:,.1f} ms"


@register.filter
def seconds(value: float | None) -> str:
    """Return an age in seconds."""
    return DASH if value is None else f"{value:,.0f} s"


@register.filter
def size(count: int) -> str:
    """Return bytes in the unit that keeps the number short."""
    amount, unit = float(count), 0
    while amount >= 1024 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1024, unit + 1
    return f"{count:,} B" if unit == 0 else f"{amount:,.1f} {_UNITS[unit]}"


@register.filter
def outcome(status: int) -> str:
    """Return the word for an HTTP status."""
    if 200 <= status < 300 or status == 101:
        return "Success"
    return "Server error" if status >= 500 else "Client error" if status >= 400 else "Other"


@register.filter
def tone(status: int) -> str:
    """Return the name of the colour that goes with `outcome`."""
    return {"Success": "good", "Other": "plain"}.get(outcome(status), "bad")
