"""Models and workspaces of an integration as the Admin API reads them."""

from typing import Any, Final

from rest_framework import serializers

from control_plane.catalog.said_fields import ModelConfigurationsField, PricingConfigField
from control_plane.core.fields import CredentialField, RateLimitsField, SlugField, UsageLimitsField

Json = dict[str, Any]
_MOST: Final = 1000


class OneRateLimitField(RateLimitsField):
    """A limit of rate: a list of at most one, or the one."""

    def to_internal_value(self, data: Any) -> list[Any]:
        """Return the limit in a list; raise ValidationError for more than one."""
        limits = super().to_internal_value(data)
        if len(limits) > 1:
            raise serializers.ValidationError("must be a list of at most one")
        return limits


def _unlike(entries: list[Json], field: str) -> None:
    if None in entries:  # a list that may be null lets its entries be
        raise serializers.ValidationError("must be objects")
    if len(entries) > _MOST:
        raise serializers.ValidationError(f"are more than {_MOST}")
    named = [entry[field] for entry in entries]
    if len(set(named)) < len(named):
        raise serializers.ValidationError(f"one {field} is there twice")


class ModelSerializer(serializers.Serializer[Any]):
    """One model, and what is said of it."""

    slug = serializers.RegexField(r"\A[!-~]+\Z", max_length=255)
    enabled = serializers.BooleanField()
    is_custom = serializers.BooleanField(required=False, allow_null=True)
    is_finetune = serializers.BooleanField(required=False, allow_null=True)
    base_model_slug = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=255)
    configurations = ModelConfigurationsField(required=False, allow_null=True)
    pricing_config = PricingConfigField(required=False, allow_null=True)


class ModelsSerializer(serializers.Serializer[Any]):
    """A request to say which models may be used; `key` is given again when one of them has a new host."""

    models = ModelSerializer(many=True, required=False, allow_null=True)
    allow_all_models = serializers.BooleanField(required=False)
    key = CredentialField()

    def validate_models(self, models: list[Json] | None) -> list[Json] | None:
        """Raise ValidationError for a model that is there twice."""
        _unlike(models or [], "slug")
        return models


class _LimitsSerializer(serializers.Serializer[Any]):
    """Whether there is access, and how much."""

    enabled = serializers.BooleanField()
    usage_limits = UsageLimitsField(required=False, allow_null=True)
    rate_limits = OneRateLimitField(required=False, allow_null=True)


class WorkspaceSerializer(_LimitsSerializer):
    """One workspace, and what is said of it."""

    id = serializers.CharField(max_length=255)
    reset_usage = serializers.BooleanField(required=False, allow_null=True)
    create_default_provider = serializers.BooleanField(required=False)
    default_provider_slug = SlugField()


class WorkspacesSerializer(serializers.Serializer[Any]):
    """A request to say which workspaces may use an integration."""

    workspaces = WorkspaceSerializer(many=True, required=False, allow_null=True)
    global_workspace_access = _LimitsSerializer(required=False, allow_null=True)
    override_existing_workspace_access = serializers.BooleanField(required=False)
    override_existing_workspaces_access = serializers.BooleanField(required=False)
    create_default_provider = serializers.BooleanField(required=False)
    default_provider_slug = SlugField()

    def validate_workspaces(self, workspaces: list[Json] | None) -> list[Json] | None:
        """Raise ValidationError for a workspace that is there twice."""
        _unlike(workspaces or [], "id")
        return workspaces

    def validate(self, attrs: Json) -> Json:
        """Take the SDK's spelling of a field for the contract's."""
        sent = attrs.pop("override_existing_workspaces_access", None)
        return attrs if sent is None else {"override_existing_workspace_access": sent, **attrs}
