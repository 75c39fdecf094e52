"""What does the audit trail answer?  The conditions of `GET /v1/audit-logs`, and its rows in three formats."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from django.db.models import Q, QuerySet
from django.utils.dateparse import parse_datetime

from control_plane.core.errors import Invalid, Missing
from control_plane.core.models import AuditEvent
from control_plane.core.principal import Principal
from control_plane.core.tenancy import resolve_workspace, visible_to
from shared.hosts import parse_address
from shared.ids import parse_uuid

Json = dict[str, Any]
#: Changes alone are recorded, and one that is refused leaves nothing: what is in the trail was answered so.
STATUS: Final = 200
_EXACT: Final = {
    "method": "method", "uri": "uri", "request_id": "request_id", "user_type": "actor_kind",
    "resource_type": "resource_type", "action": "action",
}  # fmt: skip
_NEVER_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def _moment(query: Mapping[str, str], name: str) -> datetime:
    text = query.get(name, "")
    if not text:
        raise Invalid(f"{name} is required")
    try:
        # A plus that was not escaped arrives as a blank.
        found = parse_datetime(text.replace(" ", "+") if "T" in text else text) or parse_datetime(f"{text}T00:00:00")
        if found is not None:
            return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        pass
    raise Invalid(f"{name} must be a time such as 2026-01-31T08:00:00Z")


def _of_organisation(principal: Principal, query: Mapping[str, str]) -> None:
    given = query.get("organisation_id", "")
    if not given:
        raise Invalid("organisation_id is required")
    if parse_uuid(given) != principal.organisation_id:
        raise Missing


def find_events(principal: Principal, query: Mapping[str, str]) -> QuerySet[AuditEvent]:
    """Return the events that a query asks for, the newest first.

    Raises Invalid for a query that cannot be, Missing for another organisation than the caller's.
    """
    _of_organisation(principal, query)
    condition = Q(at__gte=_moment(query, "start_time"), at__lte=_moment(query, "end_time"))
    for name, field in _EXACT.items():
        if query.get(name):
            condition &= Q(**{field: query[name]})
    if user_id := query.get("user_id"):
        condition &= Q(actor_id=user_id)
    if workspace := query.get("workspace_id"):
        condition &= Q(workspace_id=resolve_workspace(principal, workspace).pk)
    if client_ip := query.get("client_ip"):
        address = parse_address(client_ip)
        condition &= Q(client_ip=str(address)) if address and "%" not in client_ip else Q(pk__in=[])
    if (status := query.get("response_status_code")) and status != str(STATUS):
        condition &= Q(pk__in=[])
    if query.get("country"):
        # No address is looked up anywhere, so no event has a country.
        condition &= Q(pk__in=[])
    return visible_to(AuditEvent.objects.all(), principal).filter(condition).order_by("-at", "-id")


def event_json(event: AuditEvent) -> Json:
    """Return an event: the fields of the contract, and what changed with its place in the chain."""
    asked = event.request
    body = asked.get("body")
    return {
        "id": str(event.pk),
        "timestamp": event.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "method": event.method,
        "uri": event.uri,
        "request_id": event.request_id,
        "request_body": "" if body is None else json.dumps(body, ensure_ascii=False),
        "query_params": json.dumps(asked.get("query") or {}, ensure_ascii=False),
        "request_headers": json.dumps(asked.get("headers") or {}, ensure_ascii=False),
        "user_id": event.actor_id,
        "user_name": event.actor_name,
        "user_type": event.actor_kind,
        "organisation_id": str(event.organisation_id),
        "workspace_id": str(event.workspace_id) if event.workspace_id else None,
        "response_status_code": STATUS,
        "resource_type": event.resource_type,
        "resource_id": event.resource_id,
        "action": event.action,
        "client_ip": event.client_ip,
        "country": None,
        "before": event.before,
        "after": event.after,
        "seq": event.seq,
        "previous_hash": event.previous_hash,
        "hash": event.hash,
    }


def json_lines(events: Iterable[AuditEvent]) -> Iterator[bytes]:
    """Yield each event as a line of JSON."""
    for event in events:
        yield json.dumps(event_json(event), ensure_ascii=False).encode() + b"\n"


def _cell(value: Any) -> Any:
    """Return what stands in a table's cell; text that a spreadsheet would take for a formula is quoted."""
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return f"'{value}" if isinstance(value, str) and value.startswith(_NEVER_FORMULA) else value


def csv_lines(events: Iterable[AuditEvent]) -> Iterator[bytes]:
    """Yield a line of names, then each event as a line."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(COLUMNS)
    for event in events:
        row = event_json(event)
        writer.writerow([_cell(row[name]) for name in COLUMNS])
        yield buffer.getvalue().encode()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue().encode()


COLUMNS: Final = (
    "id", "timestamp", "method", "uri", "request_id", "request_body", "query_params", "request_headers", "user_id",
    "user_name", "user_type", "organisation_id", "workspace_id", "response_status_code", "resource_type",
    "resource_id", "action", "client_ip", "country", "before", "after", "seq", "previous_hash", "hash",
)  # fmt: skip
