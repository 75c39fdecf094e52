"""What does this gateway hold of one budget, and who of its workers has it?  One page of the agent's books; no I/O.

All amounts are since the window began and for this run of the gateway.
"""

from dataclasses import dataclass, field
from typing import Final

#: The pace is measured over no less than this.
PACE_S: Final = 10.0
#: Where the books of a past window keep its base.
_BASE: Final = -1
_PAST_KEPT: Final = 2


@dataclass(slots=True)
class Waiting:
    """A call of a worker that waits for a slice."""

    line: int
    need: int
    call: int
    until: float


@dataclass(slots=True)
class Account:
    """One budget; `given` and `spent` are by worker, `base` was spent by slices that were closed."""

    key: str
    budget: str = ""
    window: int = 0
    ceiling: int = 0
    base: int = 0
    limit: int = 0
    left: int = 0
    given: dict[int, int] = field(default_factory=dict)
    spent: dict[int, int] = field(default_factory=dict)
    past: dict[int, dict[int, int]] = field(default_factory=dict)
    past_changed: set[int] = field(default_factory=set)
    waiting: list[Waiting] = field(default_factory=list)
    is_changed: bool = False
    hand_back_at: float | None = None
    pace: float = 0.0
    paced_at: float = 0.0
    paced_total: int = 0
    last_need: int = 0
    told_at: float = float("-inf")
    used_at: float = 0.0
    ask_after: float = float("-inf")
    short_until: float = float("-inf")
    short_need: int = 0

    @property
    def total(self) -> int:
        """What this run has spent in the window."""
        return self.base + sum(self.spent.values())

    @property
    def out(self) -> int:
        """What is spent or in the hands of workers."""
        lines = self.given.keys() | self.spent.keys()
        return self.base + sum(max(self.given.get(line, 0), self.spent.get(line, 0)) for line in lines)

    @property
    def free(self) -> int:
        """What the next worker may have; below 0 when calls took more than was set aside for them."""
        return self.ceiling - self.out

    def room(self, line: int) -> int:
        """Return what a worker may have; what its calls took beyond what it was given is out already."""
        return self.free + max(0, self.spent.get(line, 0) - self.given.get(line, 0))

    def take_back(self, line: int, amount: int, *, is_closed: bool) -> None:
        """Take back what a worker does not spend of its slice; `is_closed`: it counts from 0 if it gets another.

        The amount is below 0 when the slice that is closed owes something.
        """
        spent, left = self.spent.get(line, 0), self.given[line] - amount
        if not is_closed:
            self.given[line] = max(spent, left)
            return
        self.base += self.spent.pop(line, 0)
        # What it was given meanwhile is on its way, and is of the next slice.
        self.given[line] = left - spent
        if self.given[line] <= 0:
            del self.given[line]

    @property
    def is_closed(self) -> bool:
        """Whether nothing is held and all that was spent is told."""
        is_told = not (self.waiting or self.is_changed or self.past_changed)
        return is_told and not self.given and self.ceiling <= self.total

    def measure(self, now: float) -> None:
        """Take the pace at which it is spent, now and then."""
        if now - self.paced_at >= PACE_S:
            spent = max(0, self.total - self.paced_total)
            self.pace = max(spent / (now - self.paced_at), self.pace / 2)
            self.paced_at, self.paced_total = now, self.total

    def turn(self, window: int) -> None:
        """Go on to another window: what was spent in the one before is still told, what was held of it is void."""
        if self.window:
            self.past[self.window] = {**self.spent, _BASE: self.base}
            self.past_changed.add(self.window)
            for old in sorted(self.past)[:-_PAST_KEPT]:
                del self.past[old]
                self.past_changed.discard(old)
        self.window, self.base, self.paced_total = window, 0, 0
        self.given, self.spent = {}, {}
