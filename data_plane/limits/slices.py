"""What a worker and the agent say to each other of budgets: slices of leases, drawn, spent and handed back."""

from typing import Final, Literal

import msgspec

from shared.token_budget import TokenBudget

#: How keys of policies' counters begin, and of budgets that tokens bring along; all other keys are ids of budgets.
OF_POLICY: Final = "p:"
OF_CLAIM: Final = "t:"
Why = Literal["short", "unreachable", "gone"]


class Draw(msgspec.Struct, frozen=True, array_like=True):
    """Worker → agent: a call needs `need` of a budget.

    `key` is its id, `p:<policy id>/<value key>`, or `t:` and what a token says of it (`shared/token_budget.py`); `call`
    is repeated in the reply.
    """

    key: str
    need: int
    call: int


class Spent(msgspec.Struct, frozen=True, array_like=True):
    """Worker → agent: what this worker has spent in a window, all in all."""

    key: str
    window: int
    total: int


class Returned(msgspec.Struct, frozen=True, array_like=True):
    """Worker → agent: what it does not spend of its slice; `is_closed`: it counts from 0 if it gets another.

    Of one that is closed, `amount` below 0 is what it owes.
    """

    key: str
    window: int
    amount: int
    is_closed: bool = False


class Granted(msgspec.Struct, frozen=True, array_like=True):
    """Agent → worker: a slice of a lease; `budget` is the id by which records name it."""

    key: str
    budget: str
    window: int
    amount: int
    call: int


class Refused(msgspec.Struct, frozen=True, array_like=True):
    """Agent → worker: there is no slice, and why; `limit` and `left` are the budget's."""

    key: str
    why: Why
    call: int
    limit: int = 0
    left: int = 0


Reply = Granted | Refused


def policy_key(policy: str, value_key: str) -> str:
    """Return the key of a policy's counter; what a database cannot hold is replaced, in names that callers choose."""
    stored = value_key.encode("utf-8", "replace").decode().replace("\x00", "\ufffd")
    return f"{OF_POLICY}{policy}/{stored}"


def token_key(budget: TokenBudget) -> str:
    """Return the key of a budget that a token brings along."""
    return f"{OF_CLAIM}{budget.text()}"
