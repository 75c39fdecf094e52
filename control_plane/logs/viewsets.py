"""Records in the Admin API: one by its id, and lists bounded in time."""

from typing import Any, ClassVar

from django.db.models import QuerySet
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from control_plane.core.errors import Missing
from control_plane.core.resources import ScopedViewSet, resource
from control_plane.logs import services
from control_plane.logs.models import LogRow
from control_plane.logs.serializers import decision_json, log_json, metrics_json, names_of, query_of


@resource("logs")
class LogViewSet(ScopedViewSet):
    """Records of the caller's workspaces; whoever may make requests with a key may read what came of them."""

    queryset = LogRow.objects.all()
    filters: ClassVar[dict[str, str]] = {
        "time_of_generation_min": "Earliest time, as ISO 8601",
        "time_of_generation_max": "Latest time, as ISO 8601",
        "workspace_id": "Workspace, by UUID or slug",
        "status": "success, error, or a status code",
        "model": "Model of the request",
        "provider": "Provider that answered",
        "api_key_id": "API key that was used",
        "trace_id": "Trace that the request belongs to",
        "page_size": "Rows of a page",
        "cursor": "next_cursor of an earlier answer",
    }

    def scopes_of(self, action: str) -> frozenset[str]:
        """Return the scopes any of which allows `action`."""
        if action == "list":
            return services.LIST_SCOPES
        return services.VIEW_SCOPES

    def get_queryset(self) -> QuerySet[Any]:
        """Return the rows that the caller may know of."""
        return services.visible_logs(self.principal, services.LIST_SCOPES)

    def list(self, request: Request, *_args: Any, **_kwargs: Any) -> Response:
        """Answer one page of records, the newest first."""
        page = services.find_logs(self.principal, query_of(self.principal, request.query_params))
        names = names_of(page.rows)
        listed = [metrics_json(row, names) for row in page.rows]
        return Response({"object": "list", "data": listed, "next_cursor": page.next_cursor})

    def retrieve(self, request: Request, *_args: Any, **_kwargs: Any) -> Response:
        """Answer one record with its bodies and attempts."""
        row = self._named()
        return Response(log_json(row, services.attempts_of(row), services.bodies_of(row)))

    @action(detail=True, methods=["get"])
    def explain(self, request: Request, *_args: Any, **_kwargs: Any) -> Response:
        """Answer why a request was routed as it was."""
        return Response(decision_json(self._named()))

    def _named(self) -> LogRow:
        row = services.find_log(self.principal, str(self.kwargs["pk"]))
        if row is None:
            raise Missing
        return row
