"""Fields that requests about integrations and virtual keys share: deployments, secret mappings, prices, hosts."""

import math
from typing import Any, ClassVar, Final

from rest_framework import serializers

from control_plane.catalog.deployments import checked_deployments
from control_plane.catalog.mappings import FIELDS, FORMATS
from control_plane.catalog.own_prices import UNITS
from control_plane.core.audit import names_secret
from control_plane.core.fields import iso
from shared.schema.custom_provider import header_faults

Json = dict[str, Any]

_MAX_CHARS: Final = 255
#: The kinds of tokens that have a price of their own.
TOKEN_KINDS: Final = (
    "request_token", "response_token", "cache_write_input_token", "cache_read_input_token", "request_audio_token",
    "response_audio_token", "cache_read_audio_input_token", "request_image_token", "response_image_token",
    "request_text_token", "cache_read_image_input_token", "cache_read_text_input_token", "reasoning_token",
    "prediction_accepted_token", "prediction_rejected_token",
)  # fmt: skip


class DeploymentsField(serializers.JSONField):
    """The deployments of an Azure account."""

    openapi: ClassVar[Json] = {
        "type": "array",
        "minItems": 1,
        "items": {
            "type": "object",
            "properties": {
                "deploymentName": {"type": "string"},
                "apiVersion": {"type": "string"},
                "azure_deployment_name": {"type": "string"},
                "azure_api_version": {"type": "string", "maxLength": 30},
                "azure_model_slug": {"type": "string"},
                "alias": {"type": "string"},
                "is_default": {"type": "boolean"},
            },
            "additionalProperties": False,
        },
    }

    def to_internal_value(self, data: Any) -> list[Json]:
        """Return the list as it is stored; raise ValidationError with the place of what is wrong."""
        try:
            return checked_deployments(data)
        except ValueError as fault:
            raise serializers.ValidationError(str(fault)) from None


class SecretMappingsField(serializers.JSONField):
    """Fields of an account that a secret manager has; what they name is checked by the service."""

    openapi: ClassVar[Json] = {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "target_field": {"type": "string"},
                "secret_reference_id": {"type": "string"},
                "secret_key": {"type": ["string", "null"]},
                "value_format": {"enum": [*FORMATS, None]},
            },
            "required": ["target_field", "secret_reference_id"],
            "additionalProperties": False,
        },
    }

    def to_internal_value(self, data: Any) -> list[Json]:
        """Return the mappings; raise ValidationError with the place of what is wrong."""
        if not isinstance(data, list) or not all(isinstance(entry, dict) for entry in data):
            raise serializers.ValidationError("must be a list of objects")
        for place, entry in enumerate(data):
            fault = self._fault(entry)
            if fault is not None:
                raise serializers.ValidationError(f"{place}.{fault}")
        return data

    def _fault(self, entry: Json) -> str | None:
        unknown = sorted(set(entry) - FIELDS)
        if unknown:
            return f"{unknown[0][:64]}: is no field of a mapping"
        for name in ("target_field", "secret_reference_id"):
            if not entry.get(name):
                return f"{name}: is required"
        for name in sorted(FIELDS):
            value = entry.get(name)
            if value is not None and (not isinstance(value, str) or len(value) > _MAX_CHARS or "\x00" in value):
                return f"{name}: must be a text of at most {_MAX_CHARS} characters"
        if entry.get("value_format") not in {None, *FORMATS}:
            return f"value_format: must be one of: {', '.join(FORMATS)}"
        return None


#: US cents per token: dearer than anything, and still a number that costs can be computed with.
_DEAREST: Final = 100
#: The same for what list prices are multiplied by.
_HIGHEST: Final = 1000


def _is_amount(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, int | float) and math.isfinite(value) and value >= 0


def _is_factor(value: Any) -> bool:
    return _is_amount(value) and value <= _HIGHEST


def _is_price(told: Any) -> bool:
    return isinstance(told, dict) and set(told) == {"price"} and _is_amount(told["price"]) and told["price"] <= _DEAREST


class PricingConfigField(serializers.JSONField):
    """Prices of one model that are the integration's own, in US cents per token or unit, from a moment on."""

    _price: ClassVar[Json] = {
        "type": "object",
        "properties": {"price": {"type": "number", "minimum": 0, "maximum": _DEAREST}},
        "required": ["price"],
    }
    openapi: ClassVar[Json] = {
        "type": "object",
        "properties": {
            "type": {"const": "static"},
            "pay_as_you_go": {
                "type": "object",
                "properties": {
                    **dict.fromkeys(TOKEN_KINDS, _price),
                    "additional_units": {
                        "type": "object",
                        "properties": dict.fromkeys(UNITS, _price),
                        "additionalProperties": False,
                    },
                },
                "additionalProperties": False,
            },
            "valid_from": {"type": ["string", "null"], "format": "date-time"},
        },
        "additionalProperties": False,
    }

    def to_internal_value(self, data: Any) -> Json:
        """Return the prices; raise ValidationError with the place of what is wrong."""
        if not isinstance(data, dict) or set(data) - {"type", "pay_as_you_go", "valid_from"}:
            raise serializers.ValidationError("must be an object of type, pay_as_you_go and valid_from")
        if data.get("type", "static") != "static":
            raise serializers.ValidationError({"type": ["must be static"]})
        prices = data.get("pay_as_you_go")
        if not isinstance(prices, dict) or not prices:
            raise serializers.ValidationError({"pay_as_you_go": ["must be an object of prices"]})
        fault = self._fault(prices)
        if fault is not None:
            raise serializers.ValidationError({"pay_as_you_go": [fault]})
        checked: Json = {"type": "static", "pay_as_you_go": prices}
        if data.get("valid_from") is not None:
            moment = serializers.DateTimeField().to_internal_value(data["valid_from"])
            checked["valid_from"] = iso(moment)
        return checked

    def _fault(self, prices: Json) -> str | None:
        units = prices.get("additional_units", {})
        if not isinstance(units, dict):
            return "additional_units: must be an object of prices"
        tokens = {kind: price for kind, price in prices.items() if kind != "additional_units"}
        for given, known, what in ((tokens, TOKEN_KINDS, "token"), (units, UNITS, "unit")):
            for kind, price in given.items():
                if kind not in known:
                    return f"{kind[:64]}: is no kind of {what}"
                if not _is_price(price):
                    return f"{kind}: must be {{price}}, from 0 to {_DEAREST} US cents"
        return None


class PricingAdjustmentsField(serializers.JSONField):
    """What list prices are multiplied by: for all kinds of tokens, and for single ones."""

    openapi: ClassVar[Json] = {
        "type": "object",
        "properties": {
            "multiplier": {
                "type": "object",
                "properties": {
                    kind: {"type": ["number", "null"], "minimum": 0, "maximum": _HIGHEST}
                    for kind in ("default", *TOKEN_KINDS)
                }
                | {kind: {"type": "object"} for kind in ("image", "additional_units")},
                "additionalProperties": False,
            }
        },
        "additionalProperties": False,
    }

    def to_internal_value(self, data: Any) -> Json:
        """Return the multipliers; raise ValidationError with the place of what is wrong."""
        given = data.get("multiplier") if isinstance(data, dict) else None
        if not isinstance(data, dict) or set(data) - {"multiplier"} or not isinstance(given, dict | None):
            raise serializers.ValidationError("must be an object of multiplier")
        for kind, value in (given or {}).items():
            fault = self._fault(kind, value)
            if fault is not None:
                raise serializers.ValidationError({"multiplier": [f"{kind[:64]}: {fault}"]})
        return {"multiplier": {kind: value for kind, value in (given or {}).items() if value is not None}}

    def _fault(self, kind: str, value: Any) -> str | None:
        if kind in {"image", "additional_units"}:
            parts = value.values() if isinstance(value, dict) else [None]
            fits = value is None or all(map(_is_factor, parts))
            return None if fits else f"must be an object of numbers from 0 to {_HIGHEST}"
        if kind not in {"default", *TOKEN_KINDS}:
            return "is no kind of token"
        return None if value is None or _is_factor(value) else f"must be a number from 0 to {_HIGHEST}"


class ModelConfigurationsField(serializers.JSONField):
    """Where one model is, and headers that its requests have."""

    openapi: ClassVar[Json] = {
        "type": "object",
        "properties": {
            "custom_host": {"type": ["string", "null"]},
            "custom_headers": {"type": ["object", "null"], "additionalProperties": {"type": "string"}},
        },
        "additionalProperties": False,
    }

    def to_internal_value(self, data: Any) -> Json:
        """Return the settings, headers in lower case; raise ValidationError for one that would hold a credential."""
        if not isinstance(data, dict) or set(data) - {"custom_host", "custom_headers"}:
            raise serializers.ValidationError("must be an object of custom_host and custom_headers")
        host = data.get("custom_host")
        if host is not None and not isinstance(host, str):
            raise serializers.ValidationError({"custom_host": ["must be a text"]})
        headers = data.get("custom_headers")
        headers = {} if headers is None else self._headers(headers)
        return {"custom_host": host, "custom_headers": headers}

    def _headers(self, data: Any) -> dict[str, str]:
        texts = [*data, *data.values()] if isinstance(data, dict) else [None]
        if not all(isinstance(text, str) for text in texts):
            raise serializers.ValidationError({"custom_headers": ["must be an object of texts"]})
        headers = {name.lower(): value for name, value in data.items()}
        faults = list(header_faults(headers))
        faults += [f"headers.{name[:128]}: a credential belongs into the key" for name in headers if names_secret(name)]
        if len(headers) < len(data):
            faults.append("headers: one of them is there twice")
        if faults:
            raise serializers.ValidationError({"custom_headers": faults})
        return headers
