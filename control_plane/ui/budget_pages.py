"""How much of each budget is left, and which limit refuses a call first?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST, require_safe

from control_plane.budgets.models import KINDS, STATUSES, Budget
from control_plane.budgets.services import reset
from control_plane.core.errors import Invalid
from control_plane.core.principal import Principal
from control_plane.core.tenancy import visible_to
from control_plane.explain.serializers import explanation_json
from control_plane.explain.services import (
    RESET_SCOPES,
    explain,
    reset_scopes,
    visible_budgets,
)
from control_plane.orgs.models import Workspace
from control_plane.ui.pages import BUDGETS, page, refusal_of, refuse, show
from control_plane.ui.templatetags.figures import amount
from shared.ids import parse_uuid

#: More than people read; the Admin API lists them all.
MOST_SHOWN: Final = 200
LEVELS: Final[Mapping[str, str]] = dict(KINDS)
TYPES: Final[Mapping[str, str]] = {"cost": "Cost", "tokens": "Tokens", "requests": "Requests"}
PERIODS: Final[Mapping[str, str]] = {
    "rps": "each second",
    "rpm": "each minute",
    "rph": "each hour",
    "rpd": "each day",
    "rpw": "each week",
    "weekly": "each week",
    "monthly": "each month",
}
_SIDES: Final = ("input_per_million", "output_per_million")
_ASKED: Final = ("api_key", "workspace_id", "model", "provider", "config", "metadata", "at")


class BudgetFilterForm(forms.Form):
    """Which budgets are shown."""

    kind = forms.ChoiceField(label="Of", choices=[("", "All"), *KINDS], required=False)
    status = forms.ChoiceField(label="Status", choices=[("", "All"), *STATUSES], required=False)


def _text(label: str, help_text: str = "") -> forms.CharField:
    attributes = {"autocomplete": "off", "spellcheck": "false"}
    return forms.CharField(
        label=label, max_length=512, required=False, help_text=help_text, widget=forms.TextInput(attrs=attributes)
    )


class ExplainForm(forms.Form):
    """The call that is asked about."""

    workspace_id = forms.ChoiceField(label="Workspace", required=False)
    api_key = _text("API key", "Its name or id, never its text.")
    model = _text("Model", "As a request names it, such as @team-openai/gpt-4o.")
    provider = _text("Provider", "The slug of a virtual key, unless model or config names it.")
    config = _text("Config", "By slug; else that of the API key.")
    metadata = _text("Metadata", 'A JSON object, such as {"team": "search"}.')
    at = _text("At", "A moment of UTC such as 2030-01-31T12:00:00Z; empty: now.")

    def __init__(self, workspaces: list[Workspace], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["workspace_id"]
        if isinstance(field, forms.ChoiceField):
            listed = [(each.slug, each.name) for each in workspaces]
            field.choices = [("", "That of the API key, or the only one"), *listed]


@dataclass(frozen=True, slots=True)
class ShownBudget:
    """A budget as the list shows it; `share` is what was used of it, from 0 to 1."""

    row: Budget
    title: str
    share: float
    used: str
    reserved: str
    limit: str
    may_reset: bool


def _shown(principal: Principal, row: Budget) -> ShownBudget:
    limit = row.limit or 1
    return ShownBudget(
        row=row,
        title=LEVELS[row.kind],
        share=min(1.0, row.spent / limit),
        used=amount(row.unit, row.spent),
        reserved=amount(row.unit, row.committed - row.spent) if row.committed > row.spent else "",
        limit=amount(row.unit, limit),
        # Which scope is needed exactly is asked when it is done: here that would be a query for each row.
        may_reset=any(principal.allows(scope, row.workspace_id) for scope in RESET_SCOPES),
    )


@require_safe
@page(BUDGETS)
def list_budgets(request: HttpRequest, principal: Principal) -> HttpResponse:
    """Show the budgets that the person may know of, those that are used up most first."""
    given = {name: request.GET.get(name, "") for name in ("kind", "status")}
    form = BudgetFilterForm(given)
    shown = []
    if form.is_valid():
        chosen = {name: value for name, value in form.cleaned_data.items() if value}
        rows = visible_budgets(principal).filter(**chosen).order_by("-status", "-id")[:MOST_SHOWN]
        shown = [_shown(principal, row) for row in rows]
    facts = {"form": form, "budgets": shown, "most_shown": MOST_SHOWN}
    return show(request, principal, "ui/budgets.html", facts, status=400 if form.errors else 200)


@require_POST
@page(BUDGETS)
def reset_budget(request: HttpRequest, principal: Principal, budget_id: str) -> HttpResponse:
    """Set what was used of a budget back to 0."""
    row_id = parse_uuid(budget_id)
    row = visible_budgets(principal).filter(pk=row_id).first() if row_id else None
    if row is None:
        raise Http404
    needed = reset_scopes(row)
    if not any(principal.allows(scope, row.workspace_id) for scope in needed):
        return refuse(request, refusal_of(principal, min(needed), "resetting this budget", row.workspace_id))
    with transaction.atomic():
        reset(principal, row)
    messages.success(request, f"The budget of “{row.name or LEVELS[row.kind]}” begins anew.")
    return redirect("budgets")


def _limit(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return a limit of an explanation with its words and figures as people read them."""
    kind = told["type"]
    unit = told["unit"]
    figures = {name: amount(kind, told[name], is_told=True) for name in ("limit", "used", "reserved", "left")}
    return {
        **told,
        "title": LEVELS[told["level"]],
        "what": "Budget" if told["what"] == "budget" else "Rate",
        "type_title": TYPES[kind],
        "period": PERIODS.get(unit, f"each {unit}") if unit else "in all",
        "is_out": told["status"] == "exhausted",
        "used_share": None if told["left_share"] is None else 1 - told["left_share"],
        "pace": amount(kind, told["pace_per_hour"], is_told=True),
        **{f"{name}_text": text for name, text in figures.items()},
    }


def _price(told: Mapping[str, Any] | None) -> str:
    """Return the sentence about what a call costs, "" when nothing is known of its model."""
    if told is None:
        return ""
    if told["status"] == "free":
        return "Calls of this model are free."
    rule = told["unpriced_rule"]
    if rule is not None and rule["rule"] == "refuse":
        return "This model has no price: under a budget of cost, calls of it are refused."
    known = told if rule is None else {side: rule[f"taken_{side}"] for side in _SIDES}
    taken, given = (amount("cost", known[side], is_told=True) for side in _SIDES)
    prices = f"{taken} for a million tokens in, {given} out"
    if rule is None:
        return f"Calls of this model cost {prices} ({told['price_id']})."
    return f"This model has no price: budgets of cost take {prices}, by the organisation's rule “{rule['rule']}”."


@require_safe
@page(BUDGETS)
def explain_limits(request: HttpRequest, principal: Principal) -> HttpResponse:
    """Ask about a call, and show which limits hold for it and which refuses first."""
    workspaces = list(visible_to(Workspace.objects.all(), principal))
    is_asked = any(request.GET.get(name) for name in _ASKED)
    form = ExplainForm(workspaces, request.GET if is_asked else None)
    facts: dict[str, Any] = {"form": form, "fault": ""}
    if is_asked and form.is_valid():
        try:
            told = explanation_json(
                explain(principal, {name: text for name, text in form.cleaned_data.items() if text})
            )
        except Invalid as refusal:
            facts["fault"] = str(refusal.detail)
        else:
            limits = [_limit(each) for each in told["limits"]]
            first = told["binds_first"]
            facts |= {
                "told": told,
                "applying": [each for each in limits if each["applies"]],
                "others": [each for each in limits if not each["applies"]],
                "first": limits[first["place"]] | {"why": first["why"]} if first else None,
                "price": _price(told["price"]),
            }
    is_wrong = bool(facts["fault"] or form.errors)
    return show(request, principal, "ui/explain.html", facts, status=400 if is_wrong else 200)
