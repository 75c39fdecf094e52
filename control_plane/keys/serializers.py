"""API keys as the Admin API reads and writes them."""

from ipaddress import ip_network
from typing import Any, Final

from rest_framework import serializers

from control_plane.budgets.usage import limits_json, usage_json
from control_plane.core.fields import CredentialField, MetadataField, RateLimitsField, UsageLimitsField, future, iso
from control_plane.core.limits import KEY_UNITS
from control_plane.core.serializers import TenantSerializer
from control_plane.keys.models import ApiKey
from control_plane.keys.schedule import LEAST_TRANSITION_MS, MOST_TRANSITION_MS, shortest_period_ms, transition_ms

Json = dict[str, Any]

MAX_SCOPES: Final = 300
MAX_LISTED: Final = 200


class KeyDefaultsSerializer(serializers.Serializer[Any]):
    """What requests with a key carry unless they say otherwise."""

    metadata = MetadataField(required=False)
    config_id = serializers.CharField(required=False, allow_null=True, max_length=255)
    allow_config_override = serializers.BooleanField(required=False)


class RotationPolicySerializer(serializers.Serializer[Any]):
    """When a key rotates by itself."""

    rotation_period = serializers.ChoiceField(choices=("weekly", "monthly"), required=False, allow_null=True)
    rotation_period_days = serializers.IntegerField(required=False, allow_null=True, min_value=1, max_value=365)
    next_rotation_at = serializers.DateTimeField(required=False, allow_null=True, validators=[future])
    key_transition_period_ms = serializers.IntegerField(
        required=False, min_value=LEAST_TRANSITION_MS, max_value=MOST_TRANSITION_MS
    )

    def validate(self, attrs: Json) -> Json:
        """Return the policy without what goes unsaid; raise ValidationError for one that contradicts itself."""
        policy = {name: value for name, value in attrs.items() if value is not None}
        if "rotation_period" in policy and "rotation_period_days" in policy:
            raise serializers.ValidationError("give rotation_period or rotation_period_days, not both")
        period = shortest_period_ms(policy)
        if policy and period is None:
            raise serializers.ValidationError("needs rotation_period or rotation_period_days")
        if period is not None and transition_ms(policy) >= period:
            raise serializers.ValidationError("key_transition_period_ms must be shorter than the period")
        return policy


class NetworkField(serializers.CharField):
    """An IP address or a network such as `10.0.0.0/8`; becomes a network's usual form."""

    def to_internal_value(self, data: Any) -> str:
        """Return the network; raise ValidationError for a text that is none."""
        text: str = super().to_internal_value(data)
        try:
            return str(ip_network(text, strict=False))
        except ValueError:
            raise serializers.ValidationError("must be an IP address or a network such as 10.0.0.0/8") from None


class ApiKeySerializer(TenantSerializer):
    """A request to make or change an API key; type and owner are fixed when it is made."""

    name = serializers.CharField(max_length=255)
    description = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=10_000)
    user_id = serializers.UUIDField(required=False, allow_null=True)
    scopes = serializers.ListField(
        child=serializers.CharField(max_length=80), required=False, allow_null=True, max_length=MAX_SCOPES
    )
    defaults = KeyDefaultsSerializer(required=False, allow_null=True)
    usage_limits = UsageLimitsField(required=False, allow_null=True)
    rate_limits = RateLimitsField(units=KEY_UNITS, required=False, allow_null=True)
    reset_usage = serializers.BooleanField(required=False, allow_null=True)
    alert_emails = serializers.ListField(child=serializers.EmailField(), required=False, max_length=20)
    expires_at = serializers.DateTimeField(required=False, allow_null=True, validators=[future])
    rotation_policy = RotationPolicySerializer(required=False, allow_null=True)
    allowed_ips = serializers.ListField(
        child=NetworkField(max_length=64), required=False, allow_null=True, max_length=MAX_LISTED
    )
    allowed_models = serializers.ListField(
        child=serializers.RegexField(r"\A[^\s]+\Z", max_length=512),
        required=False,
        allow_null=True,
        max_length=MAX_LISTED,
    )


class RotationSerializer(serializers.Serializer[Any]):
    """A request to rotate a key."""

    key_transition_period_ms = serializers.IntegerField(
        required=False, min_value=LEAST_TRANSITION_MS, max_value=MOST_TRANSITION_MS
    )


class LookUpSerializer(serializers.Serializer[Any]):
    """A key as somebody found it."""

    key = CredentialField()

    def validate(self, attrs: Json) -> Json:
        """Refuse a body without the key."""
        if "key" not in attrs:
            raise serializers.ValidationError({"key": ["This field is required."]})
        return attrs


def _policy_json(row: ApiKey) -> Json | None:
    if row.rotation_policy is None:
        return None
    return {**row.rotation_policy, "next_rotation_at": iso(row.rotate_at)}


def api_key_json(row: ApiKey) -> Json:
    """Return an API key as the API shows it, masked; SDKs need an object, a list and a number for its limits."""
    return {
        "id": str(row.pk),
        "key": row.masked,
        "name": row.name,
        "description": row.description or None,
        "type": row.type,
        "organisation_id": str(row.organisation_id),
        "workspace_id": str(row.workspace_id) if row.workspace_id else None,
        "user_id": str(row.user_id) if row.user_id else None,
        "status": row.status,
        "creation_mode": row.creation_mode,
        "scopes": row.scopes,
        "defaults": row.defaults,
        "usage_limits": limits_json(row) or {},
        **usage_json(row),
        "rate_limits": row.rate_limits,
        "reset_usage": 0,
        "alert_emails": row.alert_emails,
        "rotation_policy": _policy_json(row),
        "allowed_ips": row.allowed_ips,
        "allowed_models": row.allowed_models,
        "expires_at": iso(row.expires_at),
        "last_used_at": iso(row.last_used_at),
        "secret_waits": bool(row.ciphertext),
        "key_transition_expires_at": iso(row.previous_expires_at),
        "created_at": iso(row.created_at),
        "last_updated_at": iso(row.last_updated_at),
        "object": "api-key",
    }
