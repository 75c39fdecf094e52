"""Alert destinations and deliveries in the Admin API."""

from typing import Any, ClassVar

from django.db.models import QuerySet
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from control_plane.alerts import services
from control_plane.alerts.models import STATUSES, Delivery, Destination
from control_plane.alerts.serializers import CHANNEL_NAMES, DestinationSerializer, delivery_json, destination_json
from control_plane.core.audit import CURRENT_BODY, MASK
from control_plane.core.errors import Invalid
from control_plane.core.resources import Json, ReadOnlyViewSet, ResourceViewSet, choice_of, filters_of, resource
from control_plane.core.tenancy import refuse_other_organisation, resolve_home, resolve_workspace
from shared.ids import parse_uuid


@resource("alert-destinations", scope="organisation_settings")
class DestinationViewSet(ResourceViewSet):
    """Where people are told of budgets: webhooks, Slack and e-mail, of the organisation or of one workspace."""

    queryset = Destination.objects.all()
    serializer_class = DestinationSerializer
    slug_field: ClassVar[str | None] = None
    verbs: ClassVar[dict[str, str]] = {"list": "read", "create": "update", "destroy": "update", "test": "update"}
    filters: ClassVar[dict[str, str]] = {"type": "webhook, slack or email", "workspace_id": "UUID or slug"}
    example: ClassVar[Json] = {
        "name": "On call",
        "type": "webhook",
        "url": "https://hooks.example.com/budgets",
        "secret": "example-0123456789abcdef",
        "events": ["threshold", "exhausted"],
    }
    example_change: ClassVar[Json] = {"name": "On call, by day", "events": ["exhausted"], "enabled": False}

    def body(self) -> Json:
        """Return the request's JSON object; its URL, which may be a credential, stays out of the audit trail."""
        given = super().body()
        CURRENT_BODY.set({name: MASK if name == "url" else value for name, value in given.items()})
        return given

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow the list by type."""
        kind = choice_of(filters_of(self.request), "type", CHANNEL_NAMES)
        return queryset.filter(type=kind) if kind else queryset

    def show(self, row: Destination) -> Json:
        """Return an alert destination, without its secret."""
        return destination_json(row)

    def make(self, given: Json) -> Json:
        """Add an alert destination."""
        workspace = resolve_home(self.principal, given.get("workspace_id"), given.get("organisation_id"))
        return destination_json(services.create_destination(self.principal, workspace, given))

    def change(self, row: Destination, given: Json) -> Json:
        """Change an alert destination; its URL is kept when the masked one is sent back."""
        refuse_other_organisation(self.principal, given.get("organisation_id"))
        if given.get("workspace_id"):
            workspace = resolve_workspace(self.principal, given["workspace_id"])
            if workspace.pk != row.workspace_id:
                raise Invalid("workspace_id: cannot be changed")
        return destination_json(services.update_destination(self.principal, row, given))

    def remove(self, row: Destination) -> Json:
        """Delete an alert destination, with the list of what was sent there."""
        services.delete_destination(self.principal, row)
        return {}

    @action(detail=True, methods=["post"])
    def test(self, request: Request, *_args: Any, **_kwargs: Any) -> Response:
        """Send a test message to an alert destination, and answer what came of it."""
        return Response(delivery_json(services.try_destination(self.principal, self.get_object())))


@resource("alert-deliveries", scope="organisation_settings")
class DeliveryViewSet(ReadOnlyViewSet):
    """What was sent about budgets, to whom, and what came of it; the newest first, kept for 90 days."""

    queryset = Delivery.objects.all()
    slug_field: ClassVar[str | None] = None
    verbs: ClassVar[dict[str, str]] = {"list": "read"}
    filters: ClassVar[dict[str, str]] = {
        "destination_id": "Alert destination, by UUID",
        "channel": "webhook, slack or email",
        "status": "pending, sent or failed",
        "workspace_id": "UUID or slug",
    }

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow the list to what the query asks for."""
        query = filters_of(self.request)
        if channel := choice_of(query, "channel", CHANNEL_NAMES):
            queryset = queryset.filter(channel=channel)
        if status := choice_of(query, "status", [name for name, _ in STATUSES]):
            queryset = queryset.filter(status=status)
        if named := query.get("destination_id"):
            queryset = queryset.filter(destination_id=parse_uuid(named))
        return queryset

    def show(self, row: Delivery) -> Json:
        """Return a delivery."""
        return delivery_json(row)
