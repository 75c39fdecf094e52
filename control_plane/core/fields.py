"""Fields that several apps accept: slugs, credentials, limits, and moments in time."""

import re
from datetime import datetime
from typing import Any, ClassVar, Final

from django.utils import timezone
from django.utils.text import slugify
from rest_framework import serializers

from control_plane.core import limits
from shared.redact import Secret

SLUG: Final = re.compile(r"\A[a-zA-Z0-9_-]{1,255}\Z")
MAX_SECRET_CHARS: Final = 32 * 1024


class SlugField(serializers.RegexField):
    """A slug that the caller chose."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("required", False)
        super().__init__(SLUG, max_length=255, **options)
        self.error_messages["invalid"] = "may have letters, digits, '-' and '_' only"


class CredentialField(serializers.Field[Secret, Any, Any, Any]):
    """A credential: becomes a Secret at once, and is never shown again."""

    openapi: ClassVar[dict[str, Any]] = {"type": "string", "format": "password", "minLength": 1}

    def __init__(self, **options: Any) -> None:
        super().__init__(write_only=True, required=False, **options)

    def to_internal_value(self, data: Any) -> Secret:
        """Return the secret; raise ValidationError when it cannot travel in a header."""
        if not isinstance(data, str) or not data.strip():
            raise serializers.ValidationError("must be a text that is not empty")
        if len(data) > MAX_SECRET_CHARS:
            raise serializers.ValidationError(f"is longer than {MAX_SECRET_CHARS} characters")
        if any(ord(char) < 0x20 or ord(char) == 0x7F for char in data.strip()):
            raise serializers.ValidationError("holds a control character")
        return Secret(data.strip())


class UsageLimitsField(serializers.JSONField):
    """A limit of usage: one object; a list of at most one is accepted as some routes have it."""

    openapi: ClassVar[dict[str, Any]] = {
        "type": "object",
        "properties": {
            "type": {"enum": list(limits.BUDGETS), "default": limits.COST},
            "credit_limit": {"type": "number", "minimum": 1},
            "alert_threshold": {"type": ["number", "null"]},
            "periodic_reset": {"enum": [*limits.RESETS, None]},
            "periodic_reset_days": {"type": ["integer", "null"], "minimum": 1, "maximum": limits.MOST_RESET_DAYS},
            "next_usage_reset_at": {"type": ["string", "null"], "format": "date-time"},
        },
        "required": ["credit_limit"],
        "additionalProperties": False,
    }

    def to_internal_value(self, data: Any) -> Any:
        """Return the limit as one object of what was said, None for none; raise ValidationError by field."""
        if isinstance(data, list):
            if len(data) > 1:
                raise serializers.ValidationError("must be one object")
            data = data[0] if data else None
        if data is not None and not isinstance(data, dict):
            raise serializers.ValidationError("must be an object")
        said = {name: value for name, value in (data or {}).items() if value is not None}
        if not said:
            return None
        faults = limits.usage_faults(said)
        if faults:
            raise serializers.ValidationError(faults)
        kept = {"type": limits.COST, **said}
        for name in ("credit_limit", "alert_threshold", "periodic_reset_days"):
            number = limits.amount(kept.get(name))
            if number is not None:
                kept[name] = limits.plain(number)
        if "next_usage_reset_at" in kept:
            kept["next_usage_reset_at"] = iso(limits.moment_of(kept["next_usage_reset_at"]))
        return kept


class RateLimitsField(serializers.JSONField):
    """Limits of rate: a list of objects; one object is accepted as some routes have it."""

    def __init__(self, *, units: tuple[str, ...] = limits.UNITS, **options: Any) -> None:
        super().__init__(**options)
        self._units = units
        one = {
            "type": "object",
            "properties": {
                "type": {"enum": list(limits.RATES)},
                "unit": {"enum": list(units)},
                "value": {"type": "integer", "minimum": 0, "maximum": limits.MOST_RATE},
            },
            "required": list(limits.RATE_FIELDS),
            "additionalProperties": False,
        }
        self.openapi = {"type": "array", "items": one}

    def to_internal_value(self, data: Any) -> list[Any]:
        """Return the limits as a list; raise ValidationError by place and field."""
        given = data if isinstance(data, list) else [data] if data else []
        if not all(isinstance(limit, dict) for limit in given):
            raise serializers.ValidationError("must be a list of objects")
        faults = limits.rates_faults(given, self._units)
        if faults:
            raise serializers.ValidationError(faults)
        return [{**limit, "value": int(limit["value"])} for limit in given]


class MetadataField(serializers.JSONField):
    """Metadata: text to text."""

    openapi: ClassVar[dict[str, Any]] = {"type": "object", "additionalProperties": {"type": "string"}}

    def to_internal_value(self, data: Any) -> dict[str, str]:
        """Return the pairs; raise ValidationError when one is not text or too long."""
        if not isinstance(data, dict):
            raise serializers.ValidationError("must be an object")
        for name, value in data.items():
            if not isinstance(value, str) or len(value) > 1024 or len(name) > 128:
                raise serializers.ValidationError(f"{name[:128]}: must be a text of at most 1024 characters")
        return data


def future(moment: datetime) -> None:
    """Raise ValidationError for a moment of expiry that has passed."""
    if moment <= timezone.now():
        raise serializers.ValidationError("must lie in the future")


def slug_of(name: str, fallback: str) -> str:
    """Return the slug that a name suggests."""
    return slugify(name)[:200] or slugify(fallback) or "item"


def iso(moment: datetime | None) -> str | None:
    """Return a moment as the API writes it."""
    return moment.isoformat().replace("+00:00", "Z") if moment else None
