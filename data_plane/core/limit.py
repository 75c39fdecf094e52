"""Fixed windows: which one a moment lies in, and what a limit allows within one.

A window begins at a whole multiple of its length in UTC, a week on Monday; all gateways name the same one alike.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Literal

from shared.schema.limits import RateRow

Kind = Literal["requests", "tokens"]

_DAY_S: Final = 86_400
LENGTHS_S: Final[Mapping[str, int]] = {"rps": 1, "rpm": 60, "rph": 3600, "rpd": _DAY_S, "rpw": 7 * _DAY_S}
NAMES: Final[Mapping[str, str]] = {"rps": "second", "rpm": "minute", "rph": "hour", "rpd": "day", "rpw": "week"}
#: Unix time began on a Thursday.
_FIRST_MONDAY_S: Final = 4 * _DAY_S


@dataclass(frozen=True, slots=True)
class Limit:
    """So many requests or tokens in each window; `scope` names whose they are, `owner` says it to people.

    `of_caller`: it holds whichever provider answers, so no other target helps.
    """

    scope: str
    owner: str
    kind: Kind
    unit: str
    value: int
    of_caller: bool
    _prefix: str = field(init=False, repr=False, compare=False)
    _length_s: int = field(init=False, repr=False, compare=False)
    _shift_s: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Keep what does not depend on the moment: every request asks for its windows twice."""
        object.__setattr__(self, "_prefix", f"{self.scope}:{self.kind}:{self.unit}:")
        object.__setattr__(self, "_length_s", LENGTHS_S[self.unit])
        object.__setattr__(self, "_shift_s", _FIRST_MONDAY_S if self.unit == "rpw" else 0)

    def window(self, now_s: float) -> tuple[str, float]:
        """Return (the name of the counter, the Unix time when it ends) at a moment."""
        length, shift = self._length_s, self._shift_s
        number = int((now_s - shift) // length)
        return f"{self._prefix}{number}", float((number + 1) * length + shift)


@lru_cache(maxsize=8192)
def limits_of(scope: str, owner: str, rates: tuple[RateRow, ...], of_caller: bool) -> tuple[Limit, ...]:  # noqa: FBT001 -- a memo's key
    """Return the limits that a row's rates mean; a value of 0 is none."""
    return tuple(
        Limit(scope, owner, rate.type, rate.unit, rate.value, of_caller)
        for rate in rates
        if rate.value > 0 and rate.unit in LENGTHS_S
    )
