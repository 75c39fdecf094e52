"""API keys in the Admin API; each type has scopes of its own."""

from typing import Any, ClassVar
from uuid import UUID

from django.db.models import Q, QuerySet
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from control_plane.budgets.usage import with_usage
from control_plane.core.errors import Missing
from control_plane.core.fields import iso
from control_plane.core.resources import VERBS, Json, ResourceViewSet, resource
from control_plane.core.scopes import KEY_TYPES, ORGANISATION_KEY, scope_prefix
from control_plane.core.tenancy import resolve_workspace
from control_plane.keys import rotation, services
from control_plane.keys.models import ApiKey
from control_plane.keys.serializers import ApiKeySerializer, LookUpSerializer, RotationSerializer, api_key_json


@resource("api-keys")
class ApiKeyViewSet(ResourceViewSet):
    """API keys of the types that the caller has a scope for."""

    queryset = with_usage(ApiKey.objects.select_related("workspace"), services.BUDGET)
    serializer_class = ApiKeySerializer
    slug_field: ClassVar[str | None] = None
    verbs: ClassVar[dict[str, str]] = {
        "rotate": "rotate",
        "collect": "rotate",
        "create_of_type": "create",
        "look_up": "read",
    }
    refused: ClassVar[frozenset[str]] = frozenset({"create"})
    may_miss: ClassVar[frozenset[str]] = frozenset({"look_up"})
    bodies: ClassVar[dict[str, Any]] = {
        "create_of_type": ApiKeySerializer,
        "rotate": RotationSerializer,
        "look_up": LookUpSerializer,
    }
    create_path: ClassVar[str] = "api-keys/workspace/service"
    example: ClassVar[Json] = {"name": "Search service", "scopes": ["completions.write", "logs.view"]}
    example_change: ClassVar[Json] = {"name": "Search", "scopes": ["completions.write"]}

    def scopes_of(self, action: str) -> frozenset[str]:
        """Return the scopes of all types; `_demand` asks for the right one once the type is known."""
        verb = (VERBS | self.verbs)[action]
        return frozenset(f"{scope_prefix(key_type)}.{verb}" for key_type in KEY_TYPES)

    def _demand(self, key_type: str, workspace_id: UUID | None) -> None:
        needed = f"{scope_prefix(key_type)}.{(VERBS | self.verbs)[self.action]}"
        self.demand(needed, workspace_id)

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Leave out the types that the caller may not list."""
        allowed = Q(pk__in=())
        if self.principal.workspace_ids is None and all(
            self.principal.allows(f"{scope_prefix(name)}.list") for name in KEY_TYPES
        ):
            return queryset
        for name in KEY_TYPES:
            scope = f"{scope_prefix(name)}.list"
            if self.principal.allows(scope):
                within = self.principal.workspaces_with({scope})
                allowed |= Q(type=name) if within is None else Q(type=name, workspace_id__in=within)
        return queryset.filter(allowed)

    def get_object(self) -> ApiKey:
        """Return the key that the path names; raise Denied when the caller lacks the scope of its type."""
        row: ApiKey = super().get_object()
        self._demand(row.type, row.workspace_id)
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
        self._demand(key_type, None)
        return Response(self.make({**self.checked(ApiKeySerializer), "type": key_type}))

    def make(self, given: Json) -> Json:
        """Make a key; its text is in this answer and nowhere else."""
        workspace = None
        if given["type"] != ORGANISATION_KEY:
            workspace = resolve_workspace(self.principal, given.get("workspace_id"))
            self._demand(given["type"], workspace.pk)
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
        return self._shown_once(rotation.rotate_api_key(self.principal, row, given.get("key_transition_period_ms")))

    @action(detail=True, methods=["post"])
    def collect(self, request: Request, *_args: Any, **_kwargs: Any) -> Response:
        """Answer the text that a key got by its rotation policy, once."""
        return self._shown_once(rotation.collect_api_key(self.principal, self.get_object()))

    def _shown_once(self, made: services.NewKey) -> Response:
        answer = {"id": str(made.row.pk), "key": made.shown_once(), "object": "api-key"}
        return Response({**answer, "key_transition_expires_at": iso(made.row.previous_expires_at)})

    @action(detail=False, methods=["post"], url_path="lookup")
    def look_up(self, request: Request, *_args: Any, **_kwargs: Any) -> Response:
        """Answer which key a text is, so that what was found in a leak can be revoked."""
        text = self.checked(LookUpSerializer)["key"]
        found = services.find_by_text(text)
        row = self.get_queryset().filter(pk=found.pk).first() if found else None
        if row is None:
            raise Missing("The text is no API key of this organisation.")
        self._demand(row.type, row.workspace_id)
        return Response({**api_key_json(row), "is_current": services.is_text_of(row, text)})
