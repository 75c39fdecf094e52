"""Does a policy hold for this call, and whose counter is it?  Facts are by key, each in all the forms that it has.

All conditions must match, one of a condition's values suffices, and none of what it excludes may be there.  A call that
lacks what a condition is about is not meant.  Source: `contract.md` 6.5.
"""

from collections.abc import Mapping
from typing import Final

from shared.schema.rows import ConditionRow, RatePolicyRow

Facts = Mapping[str, tuple[str, ...]]

ANY: Final = "*"
#: What is known only when a provider has been chosen, and may be another for the next attempt.
OF_ROUTE: Final = frozenset({"virtual_key", "provider", "model"})


def _is_one(forms: tuple[str, ...], values: tuple[str, ...]) -> bool:
    for value in values:
        if value == ANY or value in forms:
            return True
        if value.endswith("/*") and any(form.startswith(value[:-1]) for form in forms):
            return True
    return False


def _holds(condition: ConditionRow, facts: Facts) -> bool:
    forms = facts.get(condition.key, ())
    if not forms or not _is_one(forms, condition.values):
        return False
    return not condition.excludes or not _is_one(forms, condition.excludes)


def matches(policy: RatePolicyRow, facts: Facts) -> bool:
    """Return whether a policy holds for a call with these facts."""
    return all(_holds(condition, facts) for condition in policy.conditions)


def value_key(policy: RatePolicyRow, facts: Facts) -> str:
    """Return whose counter a call belongs to, such as `metadata._user:alice`; of several keys, joined by `|`."""
    return "|".join(f"{key}:{(facts.get(key) or ('',))[0]}" for key in policy.group_by)


def is_about_route(policy: RatePolicyRow) -> bool:
    """Return whether another provider may lie outside of the policy, or in another counter of it."""
    named = {condition.key for condition in policy.conditions} | set(policy.group_by)
    return not named.isdisjoint(OF_ROUTE)
