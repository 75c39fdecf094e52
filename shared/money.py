"""Money as integer nano-dollars (10^-9 USD); never a float inside, decimals only at the wire."""

from decimal import Decimal
from typing import Final

NANO: Final = 1_000_000_000


def cents(nanousd: int) -> float:
    """Return US cents as a JSON number, the unit of a log record's `cost` on the wire."""
    return float(Decimal(nanousd) / (NANO // 100))


def dollars(nanousd: int) -> float:
    """Return US dollars as a JSON number, the unit of budgets on the wire."""
    return float(Decimal(nanousd) / NANO)


def from_dollars(amount: Decimal | str | int) -> int:
    """Return the nano-dollars of a decimal amount of dollars, rounded half up; floats are refused by type."""
    return int((Decimal(amount) * NANO).quantize(Decimal(1), rounding="ROUND_HALF_UP"))
