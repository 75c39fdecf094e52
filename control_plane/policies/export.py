"""What gateways need to know of policies; those about tools are for calls that gateways do not serve yet."""

from collections.abc import Iterator
from typing import Any

import msgspec

from control_plane.orgs.models import Organisation
from control_plane.policies.models import ACTIVE, LLM, Either, RateLimitPolicy, UsageLimitPolicy
from shared.schema.limits import ConditionRow, RatePolicyRow, UsagePolicyRow


def _texts(value: str | list[str] | None) -> tuple[str, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)


def _of_both(policy: Either) -> dict[str, Any]:
    return {
        "id": str(policy.pk),
        "org": str(policy.organisation_id),
        "ws": str(policy.workspace_id) if policy.workspace_id else None,
        "name": policy.name or "",
        "conditions": tuple(
            ConditionRow(each["key"], _texts(each["value"]), _texts(each.get("excludes"))) for each in policy.conditions
        ),
        "group_by": tuple(each["key"] for each in policy.group_by),
        "type": policy.type,
    }


def row_of(policy: RateLimitPolicy) -> RatePolicyRow:
    """Return a policy of rate as gateways get it."""
    return RatePolicyRow(**_of_both(policy), unit=policy.unit, value=policy.value)


def export(organisation: Organisation) -> Iterator[tuple[str, str, msgspec.Struct]]:
    """Yield (section, row id, row) for each active policy of rate."""
    rows = RateLimitPolicy.objects.filter(organisation=organisation, status=ACTIVE, target=LLM)
    for policy in rows.iterator():
        yield "rate_policies", str(policy.pk), row_of(policy)


def export_budgets(organisation: Organisation) -> Iterator[tuple[str, str, msgspec.Struct]]:
    """Yield (section, row id, row) for each active policy of usage."""
    rows = UsageLimitPolicy.objects.filter(organisation=organisation, status=ACTIVE, target=LLM)
    for policy in rows.iterator():
        yield "usage_policies", str(policy.pk), UsagePolicyRow(**_of_both(policy))
