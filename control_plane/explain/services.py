"""Which budgets are there, and what holds for a call?  Of what a caller may know of."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from django.db.models import Q, QuerySet

from control_plane.budgets.models import Budget, Lease
from control_plane.catalog.models import Integration
from control_plane.core.principal import Principal
from control_plane.core.scopes import WORKSPACE_SERVICE_KEY, scope_prefix
from control_plane.core.tenancy import visible_to
from control_plane.explain.call import AskedCall, read_call
from control_plane.explain.limits import POLICY, Rule, rules_of
from control_plane.explain.price import Price, price_of
from control_plane.explain.standing import Standing, first_to_refuse, standings_of
from control_plane.keys.models import ApiKey
from control_plane.policies.models import UsageLimitPolicy

LIST_SCOPES: Final = frozenset({"policies.list"})
READ_SCOPES: Final = frozenset({"policies.read"})
_API_KEY: Final = "api_key"
_INTEGRATIONS: Final = "organisation_integrations.update"
_OWN_INTEGRATIONS: Final = "workspace_integrations.update"
#: What somebody must be allowed to change to set back what was used of it; any of the scopes.
_RESET: Final[Mapping[str, frozenset[str]]] = {
    "organisation": frozenset({"organisation_settings.update"}),
    "workspace": frozenset({"workspaces.update"}),
    "user": frozenset({"organisation_users.update"}),
    "token": frozenset({"workspaces.update"}),
    "integration": frozenset({_INTEGRATIONS}),
    "integration_workspace": frozenset({_INTEGRATIONS}),
    "virtual_key": frozenset({"virtual_keys.update", "providers.update"}),
    POLICY: frozenset({"policies.update"}),
}
_KEY_UPDATES: Final = frozenset({
    f"{scope_prefix(key_type)}.update" for key_type in ("organisation-service", "workspace-service", "workspace-user")
})  # fmt: skip
RESET_SCOPES: Final = frozenset({_OWN_INTEGRATIONS}).union(_KEY_UPDATES, *_RESET.values())
#: More gateways than are shown of one budget.
MOST_LEASES: Final = 200


@dataclass(frozen=True, slots=True)
class Explanation:
    """What holds for a call: `standings` are those of `rules`, in their order.

    `first` is the place of the limit that refuses first, and why.  Of rules whose place is in `withheld` the caller
    may know that they are there, and whether they refuse, and nothing else.
    """

    call: AskedCall
    rules: tuple[Rule, ...]
    standings: tuple[Standing, ...]
    first: tuple[int, str] | None
    price: Price | None
    withheld: frozenset[int]


def visible_budgets(principal: Principal, scopes: Collection[str] = LIST_SCOPES) -> QuerySet[Budget]:
    """Return the budgets that limit something and that `principal` may know of.

    Whoever sees their own data only, sees the budgets of their own keys.  What a policy with groups says of all of
    them counts nothing, and is no budget.
    """
    grouped = UsageLimitPolicy.objects.filter(organisation_id=principal.organisation_id).exclude(group_by=[])
    rows = visible_to(Budget.objects.filter(limit__isnull=False), principal, scopes)
    rows = rows.exclude(kind=POLICY, value_key="", owner_id__in=grouped.values("pk"))
    if not principal.own_data_in:
        return rows
    own = ApiKey.objects.filter(organisation_id=principal.organisation_id, user=principal.user_id).values("pk")
    of_others = Q(workspace_id__in=principal.own_data_in) & ~Q(kind=_API_KEY, owner_id__in=own)
    return rows.exclude(of_others)


def leases_of(budget: Budget) -> list[Lease]:
    """Return what gateways hold of the current window of a budget, those that hold most first."""
    rows = budget.leases.filter(window=budget.window).select_related("holder")
    return list(rows.order_by("-granted", "pk")[:MOST_LEASES])


def reset_scopes(budget: Budget) -> frozenset[str]:
    """Return the scopes any of which allows to reset a budget: those that allow to change whose it is."""
    if budget.kind in {"integration", "integration_workspace"}:
        of_workspace = Integration.objects.filter(pk=budget.owner_id, workspace__isnull=False).exists()
        return frozenset({_OWN_INTEGRATIONS}) if of_workspace else _RESET[budget.kind]
    if budget.kind != _API_KEY:
        return _RESET[budget.kind]
    key_type = ApiKey.objects.filter(pk=budget.owner_id).values_list("type", flat=True).first()
    return frozenset({f"{scope_prefix(key_type or WORKSPACE_SERVICE_KEY)}.update"})


def _is_seen(principal: Principal, rule: Rule, call: AskedCall) -> bool:
    """Return whether a caller may know how much of a limit was used."""
    key, home = call.api_key, rule.owner.workspace_id
    is_own = key is not None and principal.user_id is not None and key.user_id == principal.user_id
    if rule.owner.level in {_API_KEY, "user"} and is_own:
        return True
    if home is None:
        return principal.workspace_ids is None
    return principal.sees_workspace(home) and home not in principal.own_data_in


def explain(principal: Principal, query: Mapping[str, str]) -> Explanation:
    """Return which limits hold for the call that `query` describes, and which of them refuses first.

    `query` may name `api_key` (id or name), `workspace_id`, `model`, `provider`, `config`, `endpoint`, `metadata` (a
    JSON object) and `at` (ISO 8601, default now).  Raises Invalid for what is not there, or not the caller's.
    """
    principal = principal.narrowed(READ_SCOPES)
    call = read_call(principal, query)
    found = rules_of(call)
    seen = {id(rule) for rule in found if _is_seen(principal, rule, call)}
    # A policy that does not hold, and is not the caller's to know, is nobody's business here.
    rules = tuple(rule for rule in found if rule.why_not is None or id(rule) in seen)
    standings = tuple(standings_of(call, rules))
    withheld = frozenset(place for place, rule in enumerate(rules) if id(rule) not in seen)
    return Explanation(call, rules, standings, first_to_refuse(call, rules, standings), price_of(call), withheld)
