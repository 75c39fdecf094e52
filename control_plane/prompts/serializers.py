"""Labels and collections as the Admin API reads and writes them."""

import re
from typing import Any, Final

from rest_framework import serializers

from control_plane.core.fields import iso
from control_plane.core.serializers import TenantSerializer
from control_plane.prompts.models import Collection, Label

Json = dict[str, Any]

#: `prompt@latest`, `prompt@default` and `prompt@7` mean other things, so no label is called so.
LABEL_NAME: Final = re.compile(r"\A(?!latest\Z)(?!default\Z)(?!\d+\Z)[a-zA-Z0-9_-]*[^@\s]?[a-zA-Z0-9_-]*\Z")
COLOR: Final = re.compile(r"\A#(?:[0-9a-fA-F]{3}){1,2}\Z")


class LabelSerializer(TenantSerializer):
    """A request to make or change a label; `organization_id` is how SDKs spell the organisation."""

    organisation_id = serializers.UUIDField(required=False, allow_null=True)
    organization_id = serializers.UUIDField(required=False, allow_null=True)
    name = serializers.RegexField(
        LABEL_NAME,
        max_length=100,
        error_messages={"invalid": "may have letters, digits, '-' and '_', and is no number, 'latest' or 'default'"},
    )
    description = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=10_000)
    color_code = serializers.RegexField(
        COLOR, required=False, allow_null=True, allow_blank=True, error_messages={"invalid": "must be like #00aaff"}
    )

    def validate(self, attrs: Json) -> Json:
        """Accept both spellings of the organisation."""
        other = attrs.pop("organization_id", None)
        return attrs if other is None else {"organisation_id": other, **attrs}


class CollectionSerializer(TenantSerializer):
    """A request to make or change a collection; a parent is named by slug or UUID, null is the top."""

    name = serializers.CharField(max_length=255)
    parent_collection_id = serializers.CharField(required=False, allow_null=True, max_length=255)


def label_json(row: Label) -> Json:
    """Return a label as the API shows it."""
    return {
        "id": str(row.pk),
        "name": row.name,
        "description": row.description or None,
        "color_code": row.color_code or None,
        "organisation_id": str(row.organisation_id),
        "workspace_id": str(row.workspace_id) if row.workspace_id else None,
        "is_universal": row.workspace_id is None,
        "status": row.status,
        "created_at": iso(row.created_at),
        "last_updated_at": iso(row.last_updated_at),
        "object": "label",
    }


def collection_json(row: Collection) -> Json:
    """Return a collection as the API shows it, without what is in it."""
    return {
        "id": str(row.pk),
        "name": row.name,
        "workspace_id": str(row.workspace_id),
        "slug": row.slug,
        "parent_collection_id": str(row.parent_id) if row.parent_id else None,
        "is_default": row.is_default,
        "status": row.status,
        "created_at": iso(row.created_at),
        "last_updated_at": iso(row.last_updated_at),
        "object": "collection",
    }
