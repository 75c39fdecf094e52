"""Policies as the Admin API reads and writes them; what their values mean together is checked by the services."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, ClassVar

from rest_framework import serializers

from control_plane.budgets.models import Budget
from control_plane.budgets.usage import counter_json, last_reset_of, next_reset_of
from control_plane.core import limits
from control_plane.core.fields import iso
from control_plane.core.serializers import TenantSerializer
from control_plane.policies.models import STATUSES, TARGETS, RateLimitPolicy, UsageLimitPolicy

Json = dict[str, Any]


class AmountField(serializers.Field[Decimal, Any, Any, Any]):
    """A JSON number, taken exactly as it was written."""

    openapi: ClassVar[dict[str, Any]] = {"type": "number", "minimum": 0}

    def to_internal_value(self, data: Any) -> Decimal:
        """Return the number; raise ValidationError for anything else."""
        number = limits.amount(data)
        if number is None:
            raise serializers.ValidationError("must be a number")
        return number


def _texts() -> Json:
    return {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}


class ConditionsField(serializers.JSONField):
    """Conditions, all of which must hold: a key and its values, `*` for any, without those that `excludes` names."""

    openapi: ClassVar[dict[str, Any]] = {
        "type": "array",
        "minItems": 1,
        "items": {
            "type": "object",
            "properties": {"key": {"type": "string"}, "value": _texts(), "excludes": _texts()},
            "required": ["key", "value"],
        },
    }


class GroupByField(serializers.JSONField):
    """By what the counter is divided."""

    openapi: ClassVar[dict[str, Any]] = {
        "type": "array",
        "minItems": 1,
        "items": {"type": "object", "properties": {"key": {"type": "string"}}, "required": ["key"]},
    }


class _PolicySerializer(TenantSerializer):
    """What requests about all policies have."""

    organisation_id = serializers.UUIDField(required=False, allow_null=True)
    name = serializers.CharField(required=False, allow_null=True, max_length=255)
    description = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=500)
    conditions = ConditionsField()
    group_by = GroupByField()
    target = serializers.ChoiceField(choices=TARGETS, required=False)
    status = serializers.ChoiceField(choices=STATUSES, required=False)


class UsagePolicySerializer(_PolicySerializer):
    """A request to make or change a policy of usage; cost is in US dollars."""

    type = serializers.ChoiceField(choices=limits.POLICY_BUDGETS)
    credit_limit = AmountField()
    alert_threshold = AmountField(required=False, allow_null=True)
    periodic_reset = serializers.ChoiceField(choices=limits.RESETS, required=False, allow_null=True)
    periodic_reset_days = serializers.IntegerField(
        required=False, allow_null=True, min_value=1, max_value=limits.MOST_RESET_DAYS
    )
    next_usage_reset_at = serializers.DateTimeField(required=False, allow_null=True)
    reset_usage_for_value = serializers.CharField(required=False, allow_null=True, max_length=512)


class RatePolicySerializer(_PolicySerializer):
    """A request to make or change a policy of rate."""

    type = serializers.ChoiceField(choices=limits.RATES)
    unit = serializers.ChoiceField(choices=limits.UNITS)
    value = AmountField()


def _policy_json(row: UsageLimitPolicy | RateLimitPolicy) -> Json:
    return {
        "id": str(row.pk),
        "name": row.name,
        "description": row.description or None,
        "conditions": row.conditions,
        "group_by": row.group_by,
        "type": row.type,
        "target": row.target,
        "status": row.status,
        "workspace_id": str(row.workspace_id) if row.workspace_id else None,
        "organisation_id": str(row.organisation_id),
        "created_at": iso(row.created_at),
        "last_updated_at": iso(row.last_updated_at),
    }


def usage_policy_json(row: UsageLimitPolicy) -> Json:
    """Return a policy of usage as the API shows it, its cost in US dollars."""
    threshold = row.alert_threshold
    return {
        **_policy_json(row),
        "credit_limit": limits.plain(row.counted(row.credit_limit)),
        "alert_threshold": None if threshold is None else limits.plain(row.counted(threshold)),
        "periodic_reset": row.periodic_reset,
        "periodic_reset_days": row.periodic_reset_days,
        "next_usage_reset_at": next_reset_of(row),
        "last_reset_at": last_reset_of(row),
        "object": "policy_usage_limits",
    }


def rate_policy_json(row: RateLimitPolicy) -> Json:
    """Return a policy of rate as the API shows it."""
    return {**_policy_json(row), "unit": row.unit, "value": row.value, "object": "policy_rate_limits"}


def usage_json(counter: Budget) -> Json:
    """Return what one value key has used of its policy, as the API shows it."""
    return {"id": str(counter.pk), "value_key": counter.value_key, **counter_json(counter)}


def usage_map(counters: Iterable[Budget]) -> Json:
    """Return what each value key has used of a policy."""
    return {counter.value_key: counter_json(counter) for counter in counters}
