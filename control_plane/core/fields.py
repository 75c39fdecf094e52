"""Fields that several apps accept: slugs, credentials, limits, and moments in time."""

import re
from datetime import datetime
from typing import Any, ClassVar, Final

from django.utils import timezone
from django.utils.text import slugify
from rest_framework import serializers

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
    """Usage limits: one object; a list of at most one is accepted as some routes have it."""

    def to_internal_value(self, data: Any) -> Any:
        """Return the limits as one object, None for none."""
        if isinstance(data, list):
            if len(data) > 1:
                raise serializers.ValidationError("must be one object")
            data = data[0] if data else None
        if data is not None and not isinstance(data, dict):
            raise serializers.ValidationError("must be an object")
        return data or None


class RateLimitsField(serializers.JSONField):
    """Rate limits: a list of objects; one object is accepted as some routes have it."""

    def to_internal_value(self, data: Any) -> list[Any]:
        """Return the limits as a list."""
        limits = data if isinstance(data, list) else [data] if data else []
        if not all(isinstance(limit, dict) for limit in limits):
            raise serializers.ValidationError("must be a list of objects")
        return limits


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
