"""What a call needs of budgets, and what is set aside for it."""

from typing import NamedTuple

from shared.schema.limits import BudgetUnit


class Want(NamedTuple):
    """What a call needs of one budget; `kind` says whose it is.

    `of_caller`: it holds whichever provider answers, so no other target helps.
    """

    key: str
    unit: BudgetUnit
    need: int
    kind: str
    of_caller: bool


class Slice:
    """What this worker holds of a window of a budget: `left` may be below 0 when calls cost more than was set aside."""

    __slots__ = ("budget", "held", "key", "left", "spent", "window")

    def __init__(self, key: str, budget: str, window: int) -> None:
        self.key = key
        self.budget = budget
        self.window = window
        self.left = 0
        self.spent = 0
        self.held = 0


class Held(NamedTuple):
    """What was set aside for a call in one slice."""

    slice: Slice
    want: Want
