"""Alert destinations and deliveries as the Admin API reads and writes them."""

from typing import Any

from rest_framework import serializers

from control_plane.alerts.models import CHANNELS, EMAIL, EVENT_NAMES, MAX_ADDRESS_CHARS, Delivery, Destination
from control_plane.core.fields import CredentialField, iso
from control_plane.core.serializers import TenantSerializer

Json = dict[str, Any]
CHANNEL_NAMES = tuple(name for name, _ in CHANNELS)


class DestinationSerializer(TenantSerializer):
    """A request to make or change an alert destination."""

    organisation_id = serializers.CharField(required=False, allow_null=True, max_length=255)
    name = serializers.CharField(max_length=255)
    type = serializers.ChoiceField(choices=CHANNEL_NAMES)
    url = serializers.CharField(required=False, allow_null=True, max_length=MAX_ADDRESS_CHARS)
    address = serializers.EmailField(required=False, allow_null=True, max_length=254)
    secret = CredentialField()
    events = serializers.ListField(
        child=serializers.ChoiceField(choices=EVENT_NAMES), required=False, allow_empty=False, max_length=10
    )
    enabled = serializers.BooleanField(required=False)


def destination_json(row: Destination) -> Json:
    """Return a destination as the API shows it, without its secret, and of its URL the host only."""
    return {
        "id": str(row.pk),
        "name": row.name,
        "type": row.type,
        "url": None if row.type == EMAIL else row.address,
        "address": row.address if row.type == EMAIL else None,
        "is_signed": row.is_signed,
        "events": row.events,
        "enabled": row.is_enabled,
        "organisation_id": str(row.organisation_id),
        "workspace_id": str(row.workspace_id) if row.workspace_id else None,
        "created_at": iso(row.created_at),
        "last_updated_at": iso(row.last_updated_at),
        "object": "alert-destination",
    }


def delivery_json(row: Delivery) -> Json:
    """Return a delivery as the API shows it."""
    return {
        "id": str(row.pk),
        "destination_id": str(row.destination_id) if row.destination_id else None,
        "channel": row.channel,
        "address": row.address,
        "event": row.message["type"],
        "message": row.message,
        "status": row.status,
        "attempts": row.attempts,
        "fault": row.fault or None,
        "next_attempt_at": iso(row.next_attempt_at),
        "sent_at": iso(row.sent_at),
        "created_at": iso(row.created_at),
        "object": "alert-delivery",
    }
