"""Custom providers, integrations and virtual keys as the Admin API reads and writes them."""

from typing import Any, Final

import msgspec
import orjson
from rest_framework import serializers

from control_plane.budgets.usage import limits_json, usage_json
from control_plane.catalog.deployments import DEPLOYMENTS, LEGACY_LIST
from control_plane.catalog.mappings import mappings_json
from control_plane.catalog.models import CustomProvider, Integration, VirtualKey
from control_plane.catalog.said_fields import DeploymentsField, PricingAdjustmentsField, SecretMappingsField
from control_plane.core.audit import names_secret
from control_plane.core.fields import (
    MAX_SECRET_CHARS,
    CredentialField,
    RateLimitsField,
    SlugField,
    UsageLimitsField,
    future,
    iso,
)
from control_plane.core.serializers import TenantSerializer
from shared.catalog.load import operations
from shared.redact import Secret
from shared.schema.rows import AuthRow, EndpointRow, ParameterMap
from shared.schema.target_settings import SECRET_SETTINGS

Json = dict[str, Any]

#: Fields of virtual keys as older clients name them, and what they are called in configurations.
LEGACY_SETTINGS: Final = {
    "apiVersion": "azure_api_version", "resourceName": "azure_resource_name", "deploymentName": "azure_deployment_id",
}  # fmt: skip


def _secret_setting(name: str, value: Any) -> Secret:
    """Return a secret setting: a text, or a JSON object such as a service account."""
    text = orjson.dumps(value).decode() if isinstance(value, dict) else value
    if not isinstance(text, str) or not text.strip() or len(text) > MAX_SECRET_CHARS:
        raise serializers.ValidationError(f"{name}: must be a text of at most {MAX_SECRET_CHARS} characters")
    return Secret(text.strip())


class ConfigurationsField(serializers.JSONField):
    """Further settings of an account: text by name; those that are secret become Secrets at once."""

    def to_internal_value(self, data: Any) -> Json:
        """Return the settings; raise ValidationError for one that is no text, or a credential that nobody knows."""
        if not isinstance(data, dict):
            raise serializers.ValidationError("must be an object")
        settings: Json = {}
        for name, value in data.items():
            if value is None:
                continue
            if name in {DEPLOYMENTS, LEGACY_LIST}:
                settings[DEPLOYMENTS] = DeploymentsField().to_internal_value(value)
                continue
            if name in SECRET_SETTINGS:
                settings[name] = _secret_setting(name, value)
                continue
            if names_secret(name):
                raise serializers.ValidationError(f"{name}: is no credential that a provider has")
            if isinstance(value, bool) or not isinstance(value, str | int | float):
                raise serializers.ValidationError(f"{name}: must be a text")
            settings[name] = str(value)
        return settings


class _LimitedSerializer(TenantSerializer):
    """What all virtual keys have."""

    name = serializers.CharField(max_length=255)
    note = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=10_000)
    slug = SlugField()
    usage_limits = UsageLimitsField(required=False, allow_null=True)
    rate_limits = RateLimitsField(required=False, allow_null=True)
    expires_at = serializers.DateTimeField(required=False, allow_null=True, validators=[future])
    reset_usage = serializers.BooleanField(required=False, allow_null=True)


class VirtualKeySerializer(_LimitedSerializer):
    """A request to make or change a virtual key with a credential of its own."""

    provider = serializers.CharField(max_length=80)
    key = CredentialField()
    custom_host = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=2048)
    model_config = ConfigurationsField(required=False)
    configurations = ConfigurationsField(required=False)
    apiVersion = serializers.CharField(required=False, allow_null=True, max_length=255)  # noqa: N815 -- the contract's name
    resourceName = serializers.CharField(required=False, allow_null=True, max_length=255)  # noqa: N815 -- the contract's name
    deploymentName = serializers.CharField(required=False, allow_null=True, max_length=255)  # noqa: N815 -- the same
    deploymentConfig = DeploymentsField(required=False, allow_null=True)  # noqa: N815 -- the same
    secret_mappings = SecretMappingsField(required=False, allow_null=True)

    def validate(self, attrs: Json) -> Json:
        """Gather the settings of the account, which clients send in three places, under `configurations`."""
        found: Json = {**attrs.pop("model_config", {}), **attrs.pop("configurations", {})}
        for old, new in LEGACY_SETTINGS.items():
            if attrs.get(old):
                found[new] = attrs[old]
            attrs.pop(old, None)
        if attrs.get(LEGACY_LIST):
            found[DEPLOYMENTS] = attrs[LEGACY_LIST]
        attrs.pop(LEGACY_LIST, None)
        if "custom_host" in attrs:
            found["custom_host"] = attrs.pop("custom_host")
        return {**attrs, "configurations": found} if found else attrs


class ProviderSerializer(_LimitedSerializer):
    """A request to make or change a virtual key of an integration that exists."""

    integration_id = serializers.CharField(max_length=255)


class IntegrationSerializer(TenantSerializer):
    """A request to make or change an integration."""

    name = serializers.CharField(max_length=255)
    slug = SlugField()
    ai_provider_id = serializers.CharField(max_length=80)
    key = CredentialField()
    description = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=10_000)
    configurations = ConfigurationsField(required=False)
    secret_mappings = SecretMappingsField(required=False, allow_null=True)
    pricing_adjustments = PricingAdjustmentsField(required=False, allow_null=True)
    usage_limits = UsageLimitsField(required=False, allow_null=True)
    rate_limits = RateLimitsField(required=False, allow_null=True)
    reset_usage = serializers.BooleanField(required=False, allow_null=True)
    create_default_provider = serializers.BooleanField(required=False, default=True)
    default_provider_slug = SlugField()


class _Auth(AuthRow, frozen=True, forbid_unknown_fields=True):
    """As a request writes it: what nobody knows is refused, not ignored."""


class _Parameters(ParameterMap, frozen=True, forbid_unknown_fields=True):
    """As a request writes it."""


class _Endpoint(EndpointRow, frozen=True, forbid_unknown_fields=True):
    """As a request writes it."""

    parameters: _Parameters | None = None


class StructField(serializers.Field[Any, Any, Any, Any]):
    """A JSON value of a type that `shared.schema.rows` has; becomes plain JSON again, without what goes unsaid."""

    def __init__(self, kind: Any, **options: Any) -> None:
        super().__init__(required=False, **options)
        self._kind = kind

    def to_internal_value(self, data: Any) -> Any:
        """Return the value; raise ValidationError with the place of what is wrong."""
        try:
            return msgspec.to_builtins(msgspec.convert(data, self._kind))
        except msgspec.ValidationError as fault:
            raise serializers.ValidationError(str(fault)) from None


class AuthField(StructField):
    """How a custom provider takes its credential; `none`: not at all."""

    def to_internal_value(self, data: Any) -> Any:
        """Return header and prefix, both in full; None for `none`."""
        if data == "none":
            return None
        said = super().to_internal_value(data)
        whole = {"header": said.get("header", "authorization"), "prefix": said.get("prefix", "Bearer ")}
        return {**whole, "header": whole["header"].lower()}


class HeadersField(StructField):
    """Headers that every request to a custom provider has; their names become lower case."""

    def to_internal_value(self, data: Any) -> dict[str, str]:
        """Return the headers; raise ValidationError for one that comes twice, or would hold a credential."""
        said: dict[str, str] = super().to_internal_value(data)
        headers = {name.lower(): value for name, value in said.items()}
        if len(headers) < len(said):
            raise serializers.ValidationError("one of them is there twice")
        for name in headers:
            if names_secret(name):
                raise serializers.ValidationError(f"{name[:128]}: a credential belongs into an integration, not here")
        return headers


class EndpointsField(StructField):
    """The operations of a custom provider: their names, or what is special about each by its name."""

    def to_internal_value(self, data: Any) -> Json:
        """Return what is special by name; raise ValidationError for an operation that there is none of."""
        named = dict.fromkeys(data) if isinstance(data, list) and all(isinstance(name, str) for name in data) else data
        said = super().to_internal_value(named)
        unknown = [name for name in said if name not in operations()]
        if unknown or not said:
            listed = ", ".join(operations())
            wrong = f"{unknown[0][:80]!r} is none" if unknown else "names none"
            raise serializers.ValidationError(f"{wrong}; there are: {listed}")
        return {name: special or {} for name, special in said.items()}


class CustomProviderSerializer(TenantSerializer):
    """A request to make or change a custom provider; what its values mean is checked by the service."""

    slug = serializers.CharField(required=False, allow_null=True, max_length=255)
    name = serializers.CharField(max_length=255)
    base_url = serializers.CharField(max_length=2048, trim_whitespace=False)
    auth = AuthField(_Auth)
    headers = HeadersField(dict[str, str])
    endpoints = EndpointsField(dict[str, _Endpoint | None])
    parameters = StructField(_Parameters)
    streams_usage = serializers.BooleanField(required=False)
    price_source = serializers.RegexField(
        r"\A[a-z0-9][a-z0-9_.-]*\Z", required=False, allow_null=True, allow_blank=True, max_length=80
    )


def custom_provider_json(row: CustomProvider) -> Json:
    """Return a custom provider as the API shows it."""
    return {
        "id": str(row.pk),
        "slug": row.slug,
        "organisation_id": str(row.organisation_id),
        "name": row.name,
        "base_url": row.base_url,
        "auth": row.auth or "none",
        "headers": row.headers,
        "endpoints": row.endpoints,
        "parameters": row.parameters,
        "streams_usage": row.streams_usage,
        "price_source": row.price_source or None,
        "created_at": iso(row.created_at),
        "last_updated_at": iso(row.last_updated_at),
        "object": "custom-provider",
    }


def integration_json(row: Integration) -> Json:
    """Return an integration as the API shows it, its key masked."""
    return {
        "id": str(row.pk),
        "slug": row.slug,
        "organisation_id": str(row.organisation_id),
        "workspace_id": str(row.workspace_id) if row.workspace_id else None,
        "ai_provider_id": row.ai_provider_id,
        "name": row.name,
        "description": row.description or None,
        "status": row.status,
        "type": "workspace" if row.workspace_id else "organisation",
        "configurations": row.configurations,
        "masked_key": row.masked_key,
        "allow_all_models": row.allow_all_models,
        "secret_mappings": mappings_json(row.mappings.all()),
        "pricing_adjustments": row.pricing_adjustments,
        "usage_limits": limits_json(row),
        "rate_limits": row.rate_limits,
        **usage_json(row),
        "created_at": iso(row.created_at),
        "last_updated_at": iso(row.last_updated_at),
        "object": "integration",
    }


def _common_json(row: VirtualKey) -> Json:
    return {
        "id": str(row.pk),
        "slug": row.slug,
        "name": row.name,
        "note": row.note or None,
        "status": row.status,
        "organisation_id": str(row.organisation_id),
        "workspace_id": str(row.workspace_id),
        "integration_id": str(row.integration_id),
        "has_access": row.has_access,
        "usage_limits": limits_json(row),
        **usage_json(row),
        "reset_usage": None,
        "expires_at": iso(row.expires_at),
        "created_at": iso(row.created_at),
        "last_updated_at": iso(row.last_updated_at),
    }


def virtual_key_json(row: VirtualKey) -> Json:
    """Return a virtual key as `/virtual-keys` shows it, its key masked."""
    return {
        **_common_json(row),
        "provider": row.integration.ai_provider_id,
        "key": row.integration.masked_key,
        "model_config": row.integration.configurations,
        "secret_mappings": mappings_json(row.integration.mappings.all()),
        "rate_limits": row.rate_limits or None,
        "object": "virtual-key",
    }


def provider_json(row: VirtualKey) -> Json:
    """Return a virtual key as `/providers/{slug}` shows it."""
    return {
        **_common_json(row),
        "ai_provider_id": row.integration.ai_provider_id,
        "rate_limits": row.rate_limits,
        "object": "provider",
    }


def listed_provider_json(row: VirtualKey) -> Json:
    """Return a virtual key as a list of `/providers` shows it: there SDKs take one rate limit, not a list."""
    return {**provider_json(row), "rate_limits": row.rate_limits[0] if row.rate_limits else None}
