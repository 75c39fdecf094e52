"""When is a key to be rotated, and how long is its old text good then?"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

LEAST_TRANSITION_MS: Final = 1_800_000
MOST_TRANSITION_MS: Final = 365 * 24 * 3600 * 1000
DAY_MS: Final = 24 * 3600 * 1000


def next_rotation(policy: Mapping[str, Any] | None, now: datetime) -> datetime | None:
    """Return when a policy wants the next rotation after `now`, in UTC; None when it wants none.

    Weekly is Monday, monthly the first, both at midnight; so many days are counted from midnight of today.
    """
    if not policy:
        return None
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if policy.get("rotation_period") == "weekly":
        return midnight + timedelta(days=7 - midnight.weekday())
    if policy.get("rotation_period") == "monthly":
        return (midnight.replace(day=1) + timedelta(days=32)).replace(day=1)
    days = policy.get("rotation_period_days")
    return midnight + timedelta(days=days) if days else None


def transition_ms(policy: Mapping[str, Any] | None) -> int:
    """Return how long the old text stays valid by a policy, in milliseconds."""
    return int((policy or {}).get("key_transition_period_ms") or LEAST_TRANSITION_MS)


def shortest_period_ms(policy: Mapping[str, Any]) -> int | None:
    """Return the least time between two rotations by a policy, in milliseconds; None when it wants none."""
    days = {"weekly": 7, "monthly": 28}.get(policy.get("rotation_period") or "") or policy.get("rotation_period_days")
    return int(days) * DAY_MS if days else None
