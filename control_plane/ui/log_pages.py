"""Which requests were made, and what came of one of them?"""

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from control_plane.core.errors import Invalid
from control_plane.core.principal import Principal
from control_plane.core.tenancy import visible_to
from control_plane.keys.models import ApiKey
from control_plane.logs.models import LogRow
from control_plane.logs.serializers import decision_json
from control_plane.logs.services import LogPage, LogQuery, attempts_of, bodies_of, find_log, find_logs
from control_plane.orgs.models import Workspace
from control_plane.ui.pages import LOGS, page, show
from control_plane.ui.templatetags.figures import cost

PAGE_SIZE: Final = 50
MAX_BODY_CHARS: Final = 200_000
RANGES: Final = {"1h": timedelta(hours=1), "24h": timedelta(hours=24), "7d": timedelta(days=7)}
_RANGE_TITLES: Final = (("1h", "Last hour"), ("24h", "Last 24 hours"), ("7d", "Last 7 days"))
_OUTCOMES: Final = (("", "All"), ("success", "Success"), ("error", "Error"))
#: Why a record's bodies are not shown, by `body_state`.
REASONS: Final = {
    "none": "This workspace records metrics only.",
    "dropped": "They were not recorded: too large, or the request could not be read.",
    "gateway": "They are kept at the gateway, as this workspace's policy says.",
    "stored": "They have not arrived yet, were given up by the gateway, or are past their retention.",
}

#: What the steps of a decision are called.
STEP_TITLES: Final = {
    "auth": "API key",
    "config": "Config",
    "condition": "Condition",
    "loadbalance": "Load balancing",
    "sticky": "Sticky load balancing",
    "breaker": "Circuit breaker",
    "fallback": "Fallback",
    "retry": "Retry",
    "attempt": "Attempt",
    "refusal": "Refusal",
    "price": "Price",
}


class LogFilterForm(forms.Form):
    """What of the log is shown; an address without parameters means the last day."""

    range = forms.ChoiceField(label="Time", choices=_RANGE_TITLES, required=False)
    workspace = forms.ChoiceField(label="Workspace", required=False)
    status = forms.ChoiceField(label="Status", choices=_OUTCOMES, required=False)

    def __init__(self, workspaces: list[Workspace], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["workspace"]
        if isinstance(field, forms.ChoiceField):
            field.choices = [("", "All"), *((str(each.pk), each.name) for each in workspaces)]


@dataclass(frozen=True, slots=True)
class Body:
    """A body as text, empty when there is none; `is_cut` when there is more of it than a page should hold."""

    title: str
    text: str
    is_cut: bool


@dataclass(frozen=True, slots=True)
class ShownStep:
    """A step of a decision as text; `rejected` are pairs of an alternative and why it was not taken."""

    title: str
    path: str
    chose: str
    why: str
    facts: tuple[tuple[str, str], ...]
    rejected: tuple[tuple[str, str], ...]
    us: int | None


def _query(form: LogFilterForm, cursor: str | None) -> LogQuery:
    chosen = form.cleaned_data
    until = timezone.now()
    return LogQuery(
        since=until - RANGES[chosen["range"] or "24h"],
        until=until,
        workspace_id=UUID(chosen["workspace"]) if chosen["workspace"] else None,
        outcome=chosen["status"] or None,
        size=PAGE_SIZE,
        cursor=cursor,
    )


def _key_names(principal: Principal, rows: list[LogRow]) -> dict[UUID, str]:
    keys = visible_to(ApiKey.objects.all(), principal).filter(pk__in={row.api_key_id for row in rows})
    return dict(keys.values_list("pk", "name"))


@require_safe
@page(LOGS)
def list_logs(request: HttpRequest, principal: Principal) -> HttpResponse:
    """Show the newest records of the person's workspaces."""
    workspaces = list(visible_to(Workspace.objects.all(), principal))
    given = {"range": request.GET.get("range") or "24h", **{n: request.GET.get(n, "") for n in ("workspace", "status")}}
    form = LogFilterForm(workspaces, given)
    found, fault = LogPage([], None), ""
    if form.is_valid():
        try:
            found = find_logs(principal, _query(form, request.GET.get("cursor")))
        except Invalid as refusal:
            fault = str(refusal.detail)
    older = urlencode({**given, "cursor": found.next_cursor}) if found.next_cursor else ""
    names = _key_names(principal, found.rows)
    facts = {
        "form": form,
        "fault": fault,
        "entries": [(row, names.get(row.api_key_id) if row.api_key_id else None) for row in found.rows],
        "older": older,
        "is_continued": "cursor" in request.GET,
        "newest": urlencode(given),
    }
    return show(request, principal, "ui/logs.html", facts, status=400 if fault or form.errors else 200)


def _fact(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_fact(item) for item in value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _shown_step(step: dict[str, Any], row: LogRow, key_name: str | None) -> ShownStep:
    kind, chose, facts = step["step"], step.get("chose", ""), step.get("facts", {})
    if kind == "auth":
        chose = key_name or chose
    elif kind == "price":
        facts = {"cost": cost(row)}
    return ShownStep(
        title=STEP_TITLES.get(kind, kind),
        path=step.get("path", ""),
        chose=chose,
        why=step.get("why", ""),
        facts=tuple((name, _fact(value)) for name, value in facts.items()),
        rejected=tuple((item["what"], item["why"]) for item in step.get("rejected", ())),
        us=step.get("us"),
    )


def _body(title: str, value: Any) -> Body:
    text = "" if value is None else json.dumps(value, indent=2, ensure_ascii=False)
    return Body(title, text[:MAX_BODY_CHARS], is_cut=len(text) > MAX_BODY_CHARS)


@require_safe
@page(LOGS)
def show_log(request: HttpRequest, principal: Principal, log_id: str) -> HttpResponse:
    """Show one record with its decision, attempts, metadata and bodies."""
    row = find_log(principal, log_id)
    if row is None:
        raise Http404
    bodies = bodies_of(row)
    shown = [_body("Request", bodies.request), _body("Response", bodies.response)] if bodies else []
    workspace = visible_to(Workspace.objects.all(), principal).filter(pk=row.workspace_id).first()
    key_name = _key_names(principal, [row]).get(row.api_key_id) if row.api_key_id else None
    decision = decision_json(row)
    facts = {
        "row": row,
        "key_name": key_name,
        "summary": decision["summary"],
        "steps": [_shown_step(step, row, key_name) for step in decision["steps"]] if row.decision else [],
        "workspace": workspace,
        "attempts": attempts_of(row),
        "bodies": shown,
        "reason": REASONS.get(row.body_state, REASONS["stored"]),
        "gateway_address": f"{settings.GATEWAY_URL}/v1/logs/{row.id}" if row.body_state == "gateway" else "",
        "max_chars": MAX_BODY_CHARS,
    }
    return show(request, principal, "ui/log.html", facts)
