"""Which limits hold for a call?  Every budget and every limit of rate of its owners, and those that policies set.

Policies are matched by the functions that gateways match them by.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar
from uuid import UUID

from django.db.models import Q

from control_plane.budgets.models import Budget
from control_plane.catalog.models import Integration, IntegrationAccess
from control_plane.core.limits import rate_rows
from control_plane.explain.call import AskedCall
from control_plane.keys.models import ApiKey
from control_plane.policies.export import export, export_budgets
from shared.policies import Facts, value_key, why_not
from shared.schema.limits import RatePolicyRow, UsagePolicyRow

BUDGET: Final = "budget"
RATE: Final = "rate"
POLICY: Final = "policy"
Policy = TypeVar("Policy", RatePolicyRow, UsagePolicyRow)


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Whose limit it is; `level` is one of the kinds of budgets.

    `workspace_id` None: the organisation's as a whole.  `records` and `totals` say which records and which totals are
    about it; None: neither can tell.
    """

    level: str
    id: UUID
    name: str
    workspace_id: UUID | None
    records: Q | None = None
    totals: Q | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One limit: `value` nano-dollars, tokens or requests, from one reset to the next, or in each `unit` of rate.

    `budget` is what counts a budget, None for one that nobody has spent from yet; of a group of a policy that nobody
    was in yet it is the policy's own (`is_begun` False).  `why_not`: why it does not hold for the call; None: it does.
    """

    what: Literal["budget", "rate"]
    owner: Owner
    type: str
    value: int
    unit: str = ""
    budget: Budget | None = None
    is_begun: bool = True
    policy: RatePolicyRow | UsagePolicyRow | None = None
    value_key: str = ""
    why_not: str | None = None


def _of_caller(call: AskedCall) -> Iterable[Owner]:
    organisation, workspace, key = call.organisation, call.workspace, call.api_key
    yield Owner(
        level="organisation", id=organisation.pk, name=organisation.name, workspace_id=None, records=Q(), totals=Q()
    )
    of_workspace = Q(workspace_id=workspace.pk)
    yield Owner(
        level="workspace", id=workspace.pk, name=workspace.name, workspace_id=workspace.pk, records=of_workspace,
        totals=of_workspace,
    )  # fmt: skip
    if key is not None and key.user is not None:
        own = ApiKey.objects.filter(organisation_id=organisation.pk, user=key.user).values("pk")
        of_user = Q(api_key_id__in=own)
        yield Owner(
            level="user", id=key.user.pk, name=key.user.email, workspace_id=None, records=of_user, totals=of_user
        )
    if key is not None:
        of_key = Q(api_key_id=key.pk)
        yield Owner(
            level="api_key", id=key.pk, name=key.name, workspace_id=key.workspace_id, records=of_key, totals=of_key
        )


def _of_account(call: AskedCall) -> Iterable[Owner]:
    saved = call.virtual_key
    if saved is None:
        return
    integration, workspace = saved.integration, Q(workspace_id=call.workspace.pk)
    account = str(integration.pk)
    records, totals = Q(detail__integration=account), Q(integration=account)
    yield Owner(
        level="integration", id=integration.pk, name=integration.name, workspace_id=integration.workspace_id,
        records=records, totals=totals,
    )  # fmt: skip
    yield Owner(
        level="integration_workspace", id=integration.pk, name=integration.name, workspace_id=call.workspace.pk,
        records=records & workspace, totals=totals & workspace,
    )  # fmt: skip
    # Records name it by its slug, which one workspace has once.
    of_saved = Q(virtual_key=saved.slug) & workspace
    yield Owner(
        level="virtual_key", id=saved.pk, name=saved.slug, workspace_id=call.workspace.pk, records=of_saved,
        totals=of_saved,
    )  # fmt: skip


def _account_rates(integration: Integration, call: AskedCall) -> list[Any]:
    said = IntegrationAccess.objects.filter(integration=integration, workspace=call.workspace).first()
    rates: list[Any] = integration.global_rate_limits if said is None else said.rate_limits
    return rates


def _rates(call: AskedCall) -> Mapping[str, Any]:
    key, saved = call.api_key, call.virtual_key
    found: dict[str, Any] = {
        "organisation": call.organisation.rate_limits,
        "workspace": call.workspace.rate_limits,
    }
    if key is not None:
        found["api_key"] = key.rate_limits
    if saved is not None:
        found |= {
            "integration": saved.integration.rate_limits,
            "integration_workspace": _account_rates(saved.integration, call),
            "virtual_key": saved.rate_limits,
        }
    return found


def _policies(call: AskedCall, kind: type[Policy]) -> list[Policy]:
    """Return the policies of one kind that gateways have for calls of the workspace: its own, and those of all."""
    found = export(call.organisation) if kind is RatePolicyRow else export_budgets(call.organisation)
    home = {None, str(call.workspace.pk)}
    return sorted((row for *_, row in found if isinstance(row, kind) and row.ws in home), key=lambda row: row.id)


def _owner_of(row: RatePolicyRow | UsagePolicyRow) -> Owner:
    return Owner(level=POLICY, id=UUID(row.id), name=row.name, workspace_id=UUID(row.ws) if row.ws else None)


def _rate_policies(call: AskedCall, facts: Facts) -> Iterable[Rule]:
    for row in _policies(call, RatePolicyRow):
        unmet = why_not(row, facts)
        yield Rule(
            what=RATE, owner=_owner_of(row), type=row.type, value=row.value, unit=row.unit, policy=row,
            value_key="" if unmet else value_key(row, facts), why_not=unmet,
        )  # fmt: skip


def _budget_rule(owner: Owner, budget: Budget | None) -> Iterable[Rule]:
    if budget is not None and budget.limit is not None:
        yield Rule(what=BUDGET, owner=owner, type=budget.unit, value=budget.limit, budget=budget)


def _policy_rule(row: UsagePolicyRow, facts: Facts, counters: Mapping[tuple[str, str], Budget]) -> Iterable[Rule]:
    unmet = why_not(row, facts)
    key = "" if unmet else value_key(row, facts)
    counter = None if unmet else counters.get((row.id, key))
    budget = counter or counters.get((row.id, ""))
    if budget is not None and budget.limit is not None:
        yield Rule(
            what=BUDGET, owner=_owner_of(row), type=budget.unit, value=budget.limit, budget=budget,
            is_begun=counter is not None, policy=row, value_key=key, why_not=unmet,
        )  # fmt: skip


def _budgets(call: AskedCall, owners: list[Owner], facts: Facts) -> Iterable[Rule]:
    policies = _policies(call, UsagePolicyRow)
    keys = {"", *(value_key(row, facts) for row in policies)}
    wanted = Q(kind=POLICY, owner_id__in=[row.id for row in policies], value_key__in=keys)
    for owner in owners:
        in_workspace = Q(workspace_id=call.workspace.pk) if owner.level == "integration_workspace" else Q()
        wanted |= Q(kind=owner.level, owner_id=owner.id) & in_workspace
    rows = list(Budget.objects.filter(wanted, organisation_id=call.organisation.pk))
    counters = {(str(row.owner_id), row.value_key): row for row in rows if row.kind == POLICY}
    of_owner = {(row.kind, row.owner_id): row for row in rows if row.kind != POLICY}
    for owner in owners:
        yield from _budget_rule(owner, of_owner.get((owner.level, owner.id)))
    for row in policies:
        yield from _policy_rule(row, facts, counters)


def rules_of(call: AskedCall) -> list[Rule]:
    """Return every limit of the call's owners, and every policy of its workspace, those that do not hold last."""
    facts = call.facts
    owners = [*_of_caller(call), *_of_account(call)]
    rates = _rates(call)
    of_owners = [
        Rule(what=RATE, owner=owner, type=rate.type, value=rate.value, unit=rate.unit)
        for owner in owners
        for rate in rate_rows(rates.get(owner.level))
        if rate.value > 0
    ]
    found = [*_budgets(call, owners, facts), *of_owners, *_rate_policies(call, facts)]
    return sorted(found, key=lambda rule: rule.why_not is not None)
