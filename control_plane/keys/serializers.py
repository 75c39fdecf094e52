"""API keys as the Admin API reads and writes them."""

from typing import Any, Final

from rest_framework import serializers

from control_plane.core.fields import MetadataField, RateLimitsField, UsageLimitsField, future, iso
from control_plane.core.serializers import TenantSerializer
from control_plane.keys.models import ApiKey

Json = dict[str, Any]

LEAST_TRANSITION_MS: Final = 1_800_000
MOST_TRANSITION_MS: Final = 365 * 24 * 3600 * 1000
MAX_SCOPES: Final = 300


class KeyDefaultsSerializer(serializers.Serializer[Any]):
    """What requests with a key carry unless they say otherwise."""

    metadata = MetadataField(required=False)
    config_id = serializers.CharField(required=False, allow_null=True, max_length=255)
    allow_config_override = serializers.BooleanField(required=False)


class RotationPolicySerializer(serializers.Serializer[Any]):
    """When a key is to be rotated; stored for the person who does it."""

    rotation_period = serializers.ChoiceField(choices=("weekly", "monthly"), required=False, allow_null=True)
    rotation_period_days = serializers.IntegerField(required=False, allow_null=True, min_value=1, max_value=365)
    key_transition_period_ms = serializers.IntegerField(
        required=False, min_value=LEAST_TRANSITION_MS, max_value=MOST_TRANSITION_MS
    )


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
    rate_limits = RateLimitsField(required=False, allow_null=True)
    alert_emails = serializers.ListField(child=serializers.EmailField(), required=False, max_length=20)
    expires_at = serializers.DateTimeField(required=False, allow_null=True, validators=[future])
    rotation_policy = RotationPolicySerializer(required=False, allow_null=True)


class RotationSerializer(serializers.Serializer[Any]):
    """A request to rotate a key."""

    key_transition_period_ms = serializers.IntegerField(
        default=LEAST_TRANSITION_MS, min_value=LEAST_TRANSITION_MS, max_value=MOST_TRANSITION_MS
    )


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
        "usage_limits": row.usage_limits or {},
        "rate_limits": row.rate_limits,
        "reset_usage": 0,
        "alert_emails": row.alert_emails,
        "rotation_policy": row.rotation_policy,
        "expires_at": iso(row.expires_at),
        "last_used_at": iso(row.last_used_at),
        "key_transition_expires_at": iso(row.previous_expires_at),
        "created_at": iso(row.created_at),
        "last_updated_at": iso(row.last_updated_at),
        "object": "api-key",
    }
