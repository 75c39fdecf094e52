"""What every serializer of the Admin API shares.

Serializers read requests; what is answered is written by plain functions beside them, so that the audit trail, the
API and the pages show a row alike.  A PUT names only what changes.
"""

from typing import Any

from rest_framework import serializers


class TenantSerializer(serializers.Serializer[Any]):
    """A request about a row of a tenant; `workspace_id` is a UUID or slug and resolved by the viewset."""

    workspace_id = serializers.CharField(required=False, allow_null=True, max_length=255)
