"""Secret references as the Admin API reads and writes them; how one signs in is checked by the services."""

from typing import Any, ClassVar, Final

from rest_framework import serializers

from control_plane.core.fields import MetadataField, SlugField, iso
from control_plane.core.serializers import TenantSerializer
from control_plane.vault.models import SecretReference
from control_plane.vault.sign_in import KINDS, WAYS, shown_config

Json = dict[str, Any]
#: The only state that there is of a reference.
ACTIVE: Final = "ACTIVE"


def _sign_ins() -> list[Json]:
    """Return the JSON Schema of every way to sign in."""
    return [
        {
            "type": "object",
            "properties": {field: {"const": name}, **{each: {"type": "string"} for each in sorted(way.fields)}},
            "required": [field, *way.needed],
            "additionalProperties": False,
        }
        for field, ways in WAYS.values()
        for name, way in ways.items()
    ]


class SignInField(serializers.JSONField):
    """How one signs in to a secret manager: an object whose fields depend on the manager."""

    openapi: ClassVar[Json] = {"oneOf": _sign_ins(), "writeOnly": True}

    def to_internal_value(self, data: Any) -> Json:
        """Return the object; raise ValidationError for anything else."""
        if not isinstance(data, dict):
            raise serializers.ValidationError("must be an object")
        return data


class SecretReferenceSerializer(TenantSerializer):
    """A request to make or change a secret reference."""

    organisation_id = serializers.CharField(required=False, allow_null=True, max_length=255)
    name = serializers.CharField(max_length=255)
    slug = SlugField()
    description = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=1024)
    manager_type = serializers.ChoiceField(choices=KINDS)
    auth_config = SignInField()
    secret_path = serializers.CharField(max_length=1024)
    secret_key = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=255)
    allow_all_workspaces = serializers.BooleanField(required=False)
    allowed_workspaces = serializers.ListField(
        child=serializers.CharField(max_length=255), required=False, allow_empty=False, max_length=1000
    )
    tags = MetadataField(required=False, allow_null=True)


def listed_reference_json(row: SecretReference) -> Json:
    """Return a reference as lists show it."""
    return {
        "id": str(row.pk),
        "name": row.name,
        "slug": row.slug,
        "manager_type": row.manager_type,
        "status": ACTIVE,
        "created_at": iso(row.created_at),
        "last_updated_at": iso(row.last_updated_at),
        "object": "secret-reference",
    }


def reference_json(row: SecretReference) -> Json:
    """Return a reference as the API shows it, the secrets of its sign-in masked."""
    workspaces = [] if row.allow_all_workspaces else row.allowed_workspaces.order_by("pk").values_list("pk", flat=True)
    return {
        **listed_reference_json(row),
        "organisation_id": str(row.organisation_id),
        "description": row.description or None,
        "secret_path": row.secret_path,
        "secret_key": row.secret_key or None,
        "allow_all_workspaces": row.allow_all_workspaces,
        "allowed_workspaces": [str(each) for each in workspaces],
        "tags": row.tags,
        "created_by": row.created_by,
        "auth_config": shown_config(row.manager_type, row.auth_config),
    }
