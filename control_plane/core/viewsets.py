"""The audit trail in the Admin API."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar, Final

from django.http import HttpResponseBase, StreamingHttpResponse
from rest_framework.request import Request
from rest_framework.response import Response

from control_plane.core.audit_log import csv_lines, event_json, find_events, json_lines
from control_plane.core.errors import Invalid
from control_plane.core.models import AuditEvent
from control_plane.core.resources import Json, ReadOnlyViewSet, filters_of, resource

Lines = Callable[[Iterable[AuditEvent]], Iterator[bytes]]
_FORMATS: Final[dict[str, tuple[str, Lines]]] = {
    "jsonl": ("application/x-ndjson", json_lines),
    "csv": ("text/csv", csv_lines),
}
_ACCEPTED: Final = {"application/x-ndjson": "jsonl", "application/jsonl": "jsonl", "text/csv": "csv"}
_CHUNK: Final = 500


@resource("audit-logs")
class AuditLogViewSet(ReadOnlyViewSet):
    """Changes, by whom and from where; those who reach single workspaces see none."""

    queryset = AuditEvent.objects.all()
    slug_field: ClassVar[str | None] = None
    list_shape: ClassVar[str] = "Records"
    may_miss: ClassVar[frozenset[str]] = frozenset({"list"})
    required_filters: ClassVar[frozenset[str]] = frozenset({"start_time", "end_time", "organisation_id"})
    filters: ClassVar[dict[str, str]] = {
        "start_time": "Earliest time, as ISO 8601",
        "end_time": "Latest time, as ISO 8601",
        "organisation_id": "The caller's organisation",
        "method": "POST, PUT or DELETE",
        "uri": "Path of the call",
        "request_id": "Id of the call",
        "user_id": "Who: id of an API key or of a person",
        "user_type": "api_key, user or system",
        "workspace_id": "Workspace, by UUID or slug",
        "response_status_code": "Status of the answer",
        "resource_type": "What was changed, such as config",
        "action": "What was done, such as create",
        "client_ip": "From where",
        "country": "Never known; matches nothing",
        "format": "jsonl or csv: all that match, streamed",
    }

    def scopes_of(self, action: str) -> frozenset[str]:
        """Return the one scope of the trail."""
        return frozenset({"audit_logs.list"})

    def show(self, row: AuditEvent) -> Json:
        """Return an event."""
        return event_json(row)

    def list(self, request: Request, *_args: Any, **_kwargs: Any) -> HttpResponseBase:  # type: ignore[override]
        """Answer one page of events, the newest first, or stream all of them as an export."""
        query = filters_of(request)
        events = find_events(self.principal, query)
        wanted = self._format(query)
        if wanted is not None:
            return _export(events, wanted)
        page = self.paginate_queryset(events)
        total = getattr(self.paginator, "total", 0)
        return Response(
            {"records": [self.show(row) for row in page or ()], "total": total, "object": "analytics-graph"}
        )

    def _format(self, query: dict[str, str]) -> str | None:
        given = query.get("format", "")
        if given in _FORMATS:
            return given
        if given not in {"", "json"}:
            raise Invalid("format must be json, jsonl or csv")
        first = self.request.headers.get("accept", "").split(",")[0].split(";")[0]
        return None if given else _ACCEPTED.get(first.strip().lower())


def _export(events: Any, wanted: str) -> StreamingHttpResponse:
    media_type, lines = _FORMATS[wanted]
    answer = StreamingHttpResponse(
        lines(events.iterator(chunk_size=_CHUNK)), content_type=f"{media_type}; charset=utf-8"
    )
    answer.headers["Content-Disposition"] = f'attachment; filename="audit-logs.{wanted}"'
    return answer
