"""Budgets in the Admin API, and the explanation of what holds for a call."""

from typing import Any, ClassVar

from django.db.models import Q, QuerySet
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from control_plane.budgets.models import KINDS, STATUSES, Budget
from control_plane.budgets.services import reset
from control_plane.core.errors import Invalid
from control_plane.core.permissions import refusal
from control_plane.core.resources import Json, ReadOnlyViewSet, ScopedViewSet, choice_of, filters_of, resource
from control_plane.core.tenancy import of_workspace, resolve_workspace
from control_plane.explain import services
from control_plane.explain.serializers import budget_json, explanation_json, leases_json
from shared.ids import parse_uuid

KIND_NAMES = tuple(name for name, _ in KINDS)
STATUS_NAMES = tuple(name for name, _ in STATUSES)


@resource("budgets", scope="policies")
class BudgetViewSet(ReadOnlyViewSet):
    """Budgets of every kind, and how much of each was used."""

    queryset = Budget.objects.all()
    slug_field: ClassVar[str | None] = None
    filters: ClassVar[dict[str, str]] = {
        "kind": f"Whose they are: {', '.join(KIND_NAMES)}",
        "status": "active or exhausted",
        "owner_id": "UUID of whose they are",
        "search": "Part of the name or of the value key",
    }

    def scopes_of(self, action: str) -> frozenset[str]:
        """Return the scopes any of which allows `action`; to reset a budget is to change whose it is."""
        return services.RESET_SCOPES if action == "reset" else super().scopes_of(action)

    def get_queryset(self) -> QuerySet[Any]:
        """Return the budgets that the caller may know of, narrowed to the workspace that the query names."""
        scopes = self.scopes_of(self.action) if self.action else services.LIST_SCOPES
        rows = services.visible_budgets(self.principal, scopes)
        given = self.request.query_params.get("workspace_id")
        return of_workspace(rows, resolve_workspace(self.principal, given)) if given else rows

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow the list by what the query names."""
        query = filters_of(self.request)
        if kind := choice_of(query, "kind", KIND_NAMES):
            queryset = queryset.filter(kind=kind)
        if status := choice_of(query, "status", STATUS_NAMES):
            queryset = queryset.filter(status=status)
        if owner := query.get("owner_id"):
            owner_id = parse_uuid(owner)
            if owner_id is None:
                raise Invalid("owner_id must be a UUID")
            queryset = queryset.filter(owner_id=owner_id)
        if search := query.get("search"):
            queryset = queryset.filter(Q(name__icontains=search) | Q(value_key__icontains=search))
        return queryset

    def show_in_list(self, row: Budget) -> Json:
        """Return a budget."""
        return budget_json(row)

    def show(self, row: Budget) -> Json:
        """Return a budget, and what gateways hold of it."""
        names = self.principal.allows("deployments.list")
        return {**budget_json(row), "leases": leases_json(row, services.leases_of(row), names=names)}

    @action(detail=True, methods=["put"])
    def reset(self, request: Request, *_args: Any, **_kwargs: Any) -> Response:
        """Set what was used of a budget back to 0."""
        row = self.get_object()
        needed = services.reset_scopes(row)
        if not any(self.principal.allows(scope, row.workspace_id) for scope in needed):
            raise refusal(self.principal, needed, row.workspace_id)
        return Response(budget_json(reset(self.principal, row)))


@resource("limits/explain", scope="policies")
class LimitsViewSet(ScopedViewSet):
    """The limits that hold for a call, how much of each is left, and which refuses first."""

    is_single: ClassVar[bool] = True
    list_shape: ClassVar[str] = "Single"
    verbs: ClassVar[dict[str, str]] = {"list": "read"}
    filters: ClassVar[dict[str, str]] = {
        "api_key": "API key, by its id or its name; by default the caller, if it is a workspace's key",
        "workspace_id": "Workspace, by UUID or slug; by default that of the API key",
        "model": "Model as a request would name it, such as @slug/model",
        "provider": "Virtual key, by slug, or a provider's id",
        "config": "Config, by slug; by default that of the API key",
        "endpoint": "What is called, such as chat or embed; by default chat",
        "metadata": "Metadata of the call, a JSON object",
        "at": "When, as ISO 8601; by default now",
    }

    def list(self, request: Request, *_args: Any, **_kwargs: Any) -> Response:
        """Answer which limits hold."""
        query = {name: str(value) for name, value in request.query_params.items() if value}
        return Response(explanation_json(services.explain(self.principal, query)))
