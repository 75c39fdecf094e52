"""API keys in the Admin API; each type has scopes of its own."""

from typing import Any, ClassVar

from django.db.models import QuerySet
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from control_plane.core.errors import Denied, Missing
from control_plane.core.fields import iso
from control_plane.core.resources import VERBS, Json, ResourceViewSet, resource
from control_plane.core.scopes import KEY_TYPES, ORGANISATION_KEY, scope_prefix
from control_plane.core.tenancy import resolve_workspace
from control_plane.keys import services
from control_plane.keys.models import ApiKey
from control_plane.keys.serializers import ApiKeySerializer, RotationSerializer, api_key_json


@resource("api-keys")
class ApiKeyViewSet(ResourceViewSet):
    """API keys of the types that the caller has a scope for."""

    queryset = ApiKey.objects.select_related("workspace")
    serializer_class = ApiKeySerializer
    slug_field: ClassVar[str | None] = None
    verbs: ClassVar[dict[str, str]] = {"rotate": "rotate", "create_of_type": "create"}
    refused: ClassVar[frozenset[str]] = frozenset({"create"})
    bodies: ClassVar[dict[str, Any]] = {"create_of_type": ApiKeySerializer, "rotate": RotationSerializer}
    create_path: ClassVar[str] = "api-keys/workspace/service"
    example: ClassVar[Json] = {"name": "Search service", "scopes": ["completions.write", "logs.view"]}
    example_change: ClassVar[Json] = {"name": "Search", "scopes": ["completions.write"]}

    def scopes_of(self, action: str) -> frozenset[str]:
        """Return the scopes of all types; `_demand` asks for the right one once the type is known."""
        verb = (VERBS | self.verbs)[action]
        return frozenset(f"{scope_prefix(key_type)}.{verb}" for key_type in KEY_TYPES)

    def _demand(self, key_type: str) -> None:
        needed = f"{scope_prefix(key_type)}.{(VERBS | self.verbs)[self.action]}"
        if not self.principal.allows(needed):
            raise Denied(f"This API key lacks the scope {needed}.")

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Leave out the types that the caller may not list."""
        allowed = [name for name in KEY_TYPES if self.principal.allows(f"{scope_prefix(name)}.list")]
        return queryset.filter(type__in=allowed)

    def get_object(self) -> ApiKey:
        """Return the key that the path names; raise Denied when the caller lacks the scope of its type."""
        row: ApiKey = super().get_object()
        self._demand(row.type)
        return row

    def show(self, row: ApiKey) -> Json:
        """Return a key, masked."""
        return api_key_json(row)

    def create(self, request: Request, *_args: Any, **_kwargs: Any) -> Response:
        """Refuse: a key is made under the path of its type."""
        raise Missing("Keys are made by POST /v1/api-keys/{organisation|workspace}/{service|user}.")

    @action(detail=False, methods=["post"], url_path="(?P<owner>[^/]+)/(?P<use>service|user)")
    def create_of_type(self, request: Request, *_args: Any, **_kwargs: Any) -> Response:
        """Make a key of the type that the path names."""
        key_type = f"{self.kwargs['owner']}-{self.kwargs['use']}"
        if key_type not in KEY_TYPES:
            raise Missing("There is no such type of API key.")
        self._demand(key_type)
        return Response(self.make({**self.checked(ApiKeySerializer), "type": key_type}))

    def make(self, given: Json) -> Json:
        """Make a key; its text is in this answer and nowhere else."""
        workspace = None
        if given["type"] != ORGANISATION_KEY:
            workspace = resolve_workspace(self.principal, given.get("workspace_id"))
        made = services.create_api_key(self.principal, given["type"], given, workspace=workspace)
        return {"id": str(made.row.pk), "key": made.shown_once(), "object": "api-key"}

    def change(self, row: ApiKey, given: Json) -> Json:
        """Change a key."""
        return api_key_json(services.update_api_key(self.principal, row, given))

    def remove(self, row: ApiKey) -> Json:
        """Delete a key."""
        services.delete_api_key(self.principal, row)
        return {}

    @action(detail=True, methods=["post"])
    def rotate(self, request: Request, *_args: Any, **_kwargs: Any) -> Response:
        """Give a key a new text; the old one stays valid for a while."""
        row = self.get_object()
        given = self.checked(RotationSerializer)
        made = services.rotate_api_key(self.principal, row, given["key_transition_period_ms"])
        answer = {"id": str(made.row.pk), "key": made.shown_once(), "object": "api-key"}
        return Response({**answer, "key_transition_expires_at": iso(made.row.previous_expires_at)})
