"""Budgets and explanations as the Admin API writes them: US dollars of cost, else counts."""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from control_plane.budgets.models import Budget, Lease
from control_plane.core.fields import iso
from control_plane.core.limits import COST, plain
from control_plane.explain.limits import BUDGET, RATE, Rule
from control_plane.explain.price import Price
from control_plane.explain.services import Explanation
from control_plane.explain.standing import Standing, left_of
from shared.money import NANO

Json = dict[str, Any]

NOTE_ON_RATES: Final = (
    "Gateways count requests and tokens for limits of rate among themselves; what is told here is as far as their "
    "records have arrived."
)


def amount(kind: str, stored: int | None) -> int | float | None:
    """Return a stored amount as callers count it, None for none."""
    if stored is None:
        return None
    return plain(Decimal(stored) / NANO) if kind == COST else stored


def _second(moment: datetime | None) -> str | None:
    return iso(moment.replace(microsecond=0)) if moment else None


def budget_json(budget: Budget) -> Json:
    """Return a budget and how much of it was used; `reserved` is the part of `remaining` that gateways set aside."""
    limit = budget.limit or 0
    return {
        "id": str(budget.pk),
        "object": "budget",
        "kind": budget.kind,
        "owner_id": str(budget.owner_id),
        "workspace_id": str(budget.workspace_id) if budget.workspace_id else None,
        "name": budget.name,
        "value_key": budget.value_key or None,
        "type": budget.unit,
        "credit_limit": amount(budget.unit, limit),
        "current_usage": amount(budget.unit, budget.spent),
        "reserved": amount(budget.unit, budget.committed - budget.spent),
        "remaining": amount(budget.unit, max(0, limit - budget.spent)),
        "alert_threshold": amount(budget.unit, budget.threshold),
        "status": budget.status,
        "window": budget.window,
        "periodic_reset": budget.periodic_reset,
        "periodic_reset_days": budget.periodic_reset_days,
        "next_usage_reset_at": iso(budget.next_reset_at),
        "last_reset_at": iso(budget.last_reset_at),
        "is_threshold_alerts_sent": budget.is_threshold_alerts_sent,
        "is_exhausted_alerts_sent": budget.is_exhausted_alerts_sent,
        "created_at": iso(budget.created_at),
        "last_updated_at": iso(budget.last_updated_at),
    }


def leases_json(budget: Budget, leases: Iterable[Lease], *, names: bool) -> list[Json]:
    """Return what each gateway holds of a budget; without `names`, which gateway it is stays untold."""
    return [
        {
            "instance": lease.holder.instance if names else None,
            "run": str(lease.holder_id) if names else None,
            "granted": amount(budget.unit, lease.granted),
            "spent": amount(budget.unit, lease.spent),
            "held": amount(budget.unit, lease.committed - lease.spent),
            "is_open": lease.is_open,
            "last_heard_at": iso(lease.holder.last_at),
        }
        for lease in leases
    ]


def _share(rule: Rule, standing: Standing) -> float | None:
    left = left_of(rule, standing)
    return None if left is None else round(left / rule.value, 4)


def _period(rule: Rule) -> str | None:
    """Return from when to when a limit counts: a unit of rate, or the time between two resets; None: for ever."""
    if rule.what == RATE:
        return rule.unit
    budget = rule.budget
    if budget is None:
        return None
    return budget.periodic_reset or (f"{budget.periodic_reset_days} days" if budget.periodic_reset_days else None)


def _named(rule: Rule, *, withheld: bool) -> Json:
    budget = rule.budget if rule.what == BUDGET and rule.is_begun else None
    return {
        "what": rule.what,
        "level": rule.owner.level,
        "id": None if withheld else str(rule.owner.id),
        "name": None if withheld else rule.owner.name,
        "value_key": None if withheld else rule.value_key or None,
        "budget_id": str(budget.pk) if budget is not None and not withheld else None,
        "type": rule.type,
        "unit": _period(rule),
    }


def _pace(rule: Rule, standing: Standing) -> float | int | None:
    if standing.pace is None:
        return None
    told = standing.pace / NANO if rule.type == COST else standing.pace
    return round(told, 6)


def limit_json(rule: Rule, standing: Standing, *, withheld: bool) -> Json:
    """Return a limit and where it stands; of one that is withheld, whether it refuses and nothing else."""
    told = {**_named(rule, withheld=withheld), "applies": rule.why_not is None, "why": rule.why_not}
    figures: Json = {
        "limit": amount(rule.type, rule.value),
        "used": amount(rule.type, standing.used),
        "reserved": amount(rule.type, standing.reserved),
        "left": amount(rule.type, left_of(rule, standing)),
        "left_share": _share(rule, standing),
        "resets_at": iso(standing.resets_at),
        "pace_per_hour": _pace(rule, standing),
        "exhausted_at": _second(standing.exhausted_at),
    }
    if withheld:
        figures = dict.fromkeys(figures)
    reason = "it is not yours to see" if withheld else standing.reason
    return {**told, **figures, "status": standing.status, "withheld": withheld, "reason": reason}


def price_json(price: Price | None) -> Json | None:
    """Return what a call costs, in US dollars per million tokens; None when nothing says which model it is for."""
    if price is None:
        return None
    told: Json = {
        "status": price.status,
        "price_id": price.price_id,
        "input_per_million": amount(COST, price.input_nano),
        "output_per_million": amount(COST, price.output_nano),
        "unpriced_rule": None,
    }
    if price.rule is not None:
        told["unpriced_rule"] = {
            "rule": price.rule.rule,
            "input_per_million": amount(COST, price.rule.input),
            "output_per_million": amount(COST, price.rule.output),
            "taken_input_per_million": amount(COST, price.taken_input),
            "taken_output_per_million": amount(COST, price.taken_output),
        }
    return told


def _call_json(explanation: Explanation) -> Json:
    call = explanation.call
    key, saved = call.api_key, call.virtual_key
    return {
        "organisation_id": str(call.organisation.pk),
        "workspace_id": str(call.workspace.pk),
        "workspace": call.workspace.slug,
        "api_key": {"id": str(key.pk), "name": key.name} if key is not None else None,
        "provider": call.provider or None,
        "virtual_key": saved.slug if saved is not None else None,
        "model": call.model or None,
        "config": call.config or None,
        "endpoint": call.operation,
        "metadata": dict(call.metadata),
    }


def explanation_json(explanation: Explanation) -> Json:
    """Return which limits hold for a call, how much of each is left, and which refuses first."""
    limits = [
        limit_json(rule, standing, withheld=place in explanation.withheld)
        for place, (rule, standing) in enumerate(zip(explanation.rules, explanation.standings, strict=True))
    ]
    first = None
    if explanation.first is not None:
        place, why = explanation.first
        rule = explanation.rules[place]
        first = {**_named(rule, withheld=place in explanation.withheld), "place": place, "why": why}
    has_rates = any(rule.what == RATE for rule in explanation.rules)
    return {
        "object": "limits_explanation",
        "at": iso(explanation.call.at),
        "call": _call_json(explanation),
        "binds_first": first,
        "refused_by": explanation.call.refusals,
        "limits": limits,
        "price": price_json(explanation.price),
        "notes": [*explanation.call.notes, *([NOTE_ON_RATES] if has_rates else [])],
    }
