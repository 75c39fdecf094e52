"""What a bundle says of limits: rates and budgets, and the policies that set them for whoever matches.

Fields may be added with a default, as in `rows.py`.
"""

from typing import Literal

import msgspec


class RateRow(msgspec.Struct, frozen=True, array_like=True):
    """A limit of rate: `value` requests or tokens in each window; 0 is none."""

    type: Literal["requests", "tokens"]
    unit: str
    value: int


BudgetUnit = Literal["cost", "tokens", "requests"]


class BudgetRow(msgspec.Struct, frozen=True, array_like=True):
    """A budget from which calls are paid: its id, whose it is, and what it counts (nano-dollars, tokens, requests).

    How much there is of it is not said here: gateways get parts of it to spend (`UsageReport` in `shared/wire.py`).
    """

    id: str
    kind: str
    unit: BudgetUnit


class ConditionRow(msgspec.Struct, frozen=True, array_like=True):
    """What a call must be for a policy to hold: one of `values` (`*`: any), and none of `excludes`."""

    key: str
    values: tuple[str, ...]
    excludes: tuple[str, ...] = ()


class RatePolicyRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """A limit of rate for the calls that match, counted for each tuple of `group_by` values (`shared/policies.py`).

    `ws` None: in all workspaces of the organisation.
    """

    id: str
    org: str
    ws: str | None
    name: str
    conditions: tuple[ConditionRow, ...]
    group_by: tuple[str, ...]
    type: Literal["requests", "tokens"]
    unit: str
    value: int


class UsagePolicyRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """A budget for the calls that match, one for each tuple of `group_by` values; the rest as in `RatePolicyRow`."""

    id: str
    org: str
    ws: str | None
    name: str
    conditions: tuple[ConditionRow, ...]
    group_by: tuple[str, ...]
    type: BudgetUnit


class UnpricedRule(msgspec.Struct, frozen=True, array_like=True):
    """What a call takes from a budget of cost when nobody knows its price.

    `dearest`: what the dearest known model of its provider would cost, and by `input` and `output` (nano-dollars per
    million tokens) when none is known; `fixed`: by these; `refuse`: there is no such call.
    """

    rule: Literal["dearest", "fixed", "refuse"] = "dearest"
    input: int = 15_000_000_000
    output: int = 75_000_000_000
