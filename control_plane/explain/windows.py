"""In which window of a limit of rate does a moment lie?  As gateways reckon: whole multiples of its length in UTC."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

HOUR: Final = timedelta(hours=1)
LENGTHS: Final[Mapping[str, timedelta]] = {
    "rps": timedelta(seconds=1),
    "rpm": timedelta(minutes=1),
    "rph": HOUR,
    "rpd": timedelta(days=1),
    "rpw": timedelta(days=7),
}
#: Weeks begin on Monday.
_A_MONDAY: Final = datetime(1970, 1, 5, tzinfo=UTC)


def window_of(unit: str, at: datetime) -> tuple[datetime, datetime]:
    """Return when the window of a unit (`rpm`, …) in which `at` (aware) lies begins, and when it ends."""
    length = LENGTHS[unit]
    start = at - (at - _A_MONDAY) % length
    return start, start + length


def hour_at(moment: datetime) -> datetime:
    """Return the beginning of the hour in which a moment lies."""
    return window_of("rph", moment)[0]


def next_hour(moment: datetime) -> datetime:
    """Return the first whole hour that is not before a moment."""
    start = hour_at(moment)
    return start if start == moment else start + HOUR
