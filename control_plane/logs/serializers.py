"""Records as the Admin API shows them, and the query of a list as it reads it.

Names and units are the contract's: cost in US cents, times in milliseconds.  What a gateway did not measure or we do
not have is null, never 0; a cost that is not known has `price_status` "unpriced".
"""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from control_plane.core.errors import Invalid
from control_plane.core.fields import iso
from control_plane.core.principal import Principal
from control_plane.core.tenancy import resolve_workspace
from control_plane.logs.models import LogAttempt, LogRow
from control_plane.logs.services import Bodies, LogQuery
from control_plane.orgs.models import Organisation, Workspace
from shared.ids import parse_uuid
from shared.money import cents
from shared.routing.decision import explanation

Json = dict[str, Any]
Query = Mapping[str, str]

DEFAULT_SPAN: Final = timedelta(hours=24)
#: What is said of a record that came without a trace.
NO_DECISION: Final = "The gateway that served this request recorded no decision trace."
_EXPLAINED: Final = (
    "status", "provider", "model_served", "model_requested", "price_status", "price_id", "cost_nano",
)  # fmt: skip
_INDEX: Final = re.compile(r"\[(\d{1,9})\](?!.*\[)")
_PHASES: Final = {
    "request_parsing_time": "parse",
    "pre_processing_time": "prepare",
    "cache_processing_time": "cache",
    "response_parsing_time": "answer",
}
_ABSENT: Final = (
    "prompt_id", "prompt_version_id", "prompt_slug", "config_id", "cache_type", "source", "runtime_version",
    "internal_trace_id", "log_store_file_path_format",
)  # fmt: skip


def names_of(rows: Iterable[LogRow]) -> tuple[dict[Any, str], dict[Any, str]]:
    """Return the names of the rows' organisations and the slugs of their workspaces, by id."""
    listed = list(rows)
    organisations = Organisation.objects.filter(pk__in={row.organisation_id for row in listed})
    workspaces = Workspace.objects.filter(pk__in={row.workspace_id for row in listed})
    return dict(organisations.values_list("pk", "name")), dict(workspaces.values_list("pk", "slug"))


def _last_index(path: str | None) -> int:
    found = _INDEX.search(path or "")
    return int(found[1]) if found else 0


def metrics_json(row: LogRow, names: tuple[Mapping[Any, str], Mapping[Any, str]]) -> Json:
    """Return a record as one flat row; `names` is from `names_of`."""
    organisations, workspaces = names
    phases = row.detailed("phases_us") or {}
    return {
        **dict.fromkeys(_ABSENT),
        "id": str(row.id),
        "organisation_id": str(row.organisation_id),
        "organisation_name": organisations.get(row.organisation_id),
        "workspace_slug": workspaces.get(row.workspace_id),
        "created_at": iso(row.ts),
        "is_success": row.is_success,
        "ai_org": row.provider,
        "ai_model": row.model,
        "req_units": row.tok_in,
        "res_units": row.tok_out,
        "total_units": row.tok_in + row.tok_out,
        "cost": None if row.cost_nano is None else cents(row.cost_nano),
        "cost_currency": "USD",
        "saved": cents(row.saved_nano),
        "price_status": row.price_status,
        "request_url": row.detailed("url"),
        "request_method": row.detailed("method"),
        "response_status_code": row.status,
        "response_time": row.lat_ms,
        "ttft": row.ttft_ms,
        "is_proxy_call": False,
        "cache_status": row.cache_status,
        "stream_mode": int(row.stream),
        "retry_success_count": row.retry_n,
        "fallback_count": row.fallback_n,
        "trace_id": row.trace_id,
        "span_id": row.span_id,
        "span_name": row.detailed("span_name"),
        "parent_span_id": row.parent_span_id,
        "mode": str(row.detailed("mode") or "single").upper(),
        "virtual_key": row.virtual_key,
        "runtime": row.detailed("runtime"),
        "sdk_version": row.detailed("sdk"),
        "config": row.config,
        "config_version_id": row.config_version,
        "last_used_option_index": _last_index(row.target_path),
        "metadata.key": list(row.metadata),
        "metadata.value": list(row.metadata.values()),
        "api_key_id": str(row.api_key_id) if row.api_key_id else None,
        "upstream_response_time": row.upstream_ms,
        "gateway_processing_time": row.gw_us // 1000,
        **{name: phases[phase] // 1000 if phase in phases else None for name, phase in _PHASES.items()},
    }


def log_json(row: LogRow, attempts: Iterable[LogAttempt], bodies: Bodies | None) -> Json:
    """Return a whole record; bodies that are not stored here are null, and `body_state` says why."""
    return {
        "_id": str(row.id),
        "request": {
            "url": row.detailed("url") or "",
            "method": row.detailed("method") or "POST",
            "headers": {},
            "body": bodies.request if bodies else None,
            "portkeyHeaders": {},
        },
        "response": {
            "status": row.status,
            "headers": {},
            "body": bodies.response if bodies else None,
            "responseTime": row.lat_ms,
            "lastUsedOptionJsonPath": row.target_path or "",
        },
        "organisation_id": str(row.organisation_id),
        "created_at": iso(row.ts),
        "metrics": metrics_json(row, names_of([row])),
        "body_state": row.body_state,
        "error_type": row.error_type,
        "attempts": [attempt_json(attempt) for attempt in attempts],
    }


def attempt_json(attempt: LogAttempt) -> Json:
    """Return one upstream call; `start_us` is microseconds after the request's start."""
    names = ("n", "provider", "model", "target_path", "status", "error", "start_us", "dur_ms")
    return {name: getattr(attempt, name) for name in names}


def decision_json(row: LogRow) -> Json:
    """Return why a request was routed as it was: a sentence, and the steps in order.

    Of a record without a trace only who called and what it cost is told, and that there is no more.
    """
    known = {name: getattr(row, name) for name in _EXPLAINED}
    known["api_key"] = str(row.api_key_id) if row.api_key_id else None
    try:
        told = explanation({**known, "decision": row.decision})
        is_traced = bool(row.decision)
    except msgspec.ValidationError:
        # Written by a version whose steps have another form.
        told, is_traced = explanation(known), False
    return {
        "object": "decision",
        "id": str(row.id),
        "trace_id": row.trace_id,
        "status": row.status,
        "summary": told["summary"] if is_traced else NO_DECISION,
        "steps": told["steps"],
    }


def _moment(query: Query, names: tuple[str, str], default: datetime) -> datetime:
    given = next((query[name] for name in names if query.get(name)), None)
    if given is None:
        return default
    try:
        moment = parse_datetime(given)
    except ValueError:
        moment = None
    # Years at the ends of the calendar cannot be reckoned with.
    if moment is None or not 1970 <= moment.year <= 2200:
        raise Invalid(f"{names[0]} must be a moment such as 2030-01-31T12:00:00Z")
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _size(query: Query) -> int:
    given = query.get("page_size") or query.get("pageSize") or "50"
    # Longer numbers are out of range anyway, and Python refuses very long ones.
    return int(given[:9]) if given.isascii() and given.isdecimal() else 0


def query_of(principal: Principal, query: Query) -> LogQuery:
    """Return what the parameters of a list ask for.  Raises Invalid for one that cannot be."""
    if any("\x00" in value for value in query.values()):
        raise Invalid("The query holds a NUL character.")
    until = _moment(query, ("time_of_generation_max", "to"), timezone.now())
    status = query.get("status") or None
    if status not in {None, "success", "error"} and not (status and re.fullmatch("[0-9]{3}", status)):
        raise Invalid("status must be success, error, or a status code")
    key = query.get("api_key_id")
    key_id = parse_uuid(key) if key else None
    if key and key_id is None:
        raise Invalid("api_key_id must be a UUID")
    workspace = query.get("workspace_id")
    return LogQuery(
        since=_moment(query, ("time_of_generation_min", "from"), until - DEFAULT_SPAN),
        until=until,
        workspace_id=resolve_workspace(principal, workspace).pk if workspace else None,
        outcome=status if status in {"success", "error"} else None,
        status=int(status) if status and status.isdecimal() else None,
        model=query.get("model") or None,
        provider=query.get("provider") or None,
        api_key_id=key_id,
        trace_id=query.get("trace_id") or None,
        size=_size(query),
        cursor=query.get("cursor") or None,
    )
