"""Which counter is meant that has no id yet?  Of a policy each tuple of values has one, and of tokens each person.

They are made when a gateway first asks for them.  The row of a policy with the value key "" says what all its counters
are like, and counts itself only for a policy that has no groups.  What a token brings along is counted by workspace,
person and terms: other terms are another counter.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from django.utils import timezone

from control_plane.budgets.models import Budget
from control_plane.core import limits
from control_plane.core.tenancy import workspace_model
from shared.ids import parse_uuid
from shared.token_budget import TokenBudget, token_budget_in
from shared.wire import BudgetAsk

MAX_VALUE_KEY_CHARS: Final = 512
_COPIED: Final = (
    "organisation_id", "workspace_id", "kind", "owner_id", "name", "unit", "limit", "threshold", "periodic_reset",
    "periodic_reset_days", "next_reset_at",
)  # fmt: skip
#: A policy and a value key, or what a token says.
Name = tuple[str, str, str]


def counter_name(ask: BudgetAsk) -> Name:
    """Return what an ask calls a counter whose id is not known over there."""
    return ask.policy, ask.value_key, ask.token


def find_counters(asks: Sequence[BudgetAsk], organisations: frozenset[str]) -> Mapping[Name, UUID]:
    """Return the budget of each name, made where it is missing; without those that there cannot be."""
    # First, because no row is locked for them: whoever waits for another's new row holds nothing that is wanted.
    found = _of_tokens({ask.token for ask in asks if ask.token}, organisations)
    return {**_of_policies([ask for ask in asks if not ask.token], organisations), **found}


def _of_policies(asks: Sequence[BudgetAsk], organisations: frozenset[str]) -> Mapping[Name, UUID]:
    named: dict[Name, UUID] = {}
    for ask in asks:
        policy = parse_uuid(ask.policy)
        # PostgreSQL refuses NUL in text.
        if policy is not None and len(ask.value_key) <= MAX_VALUE_KEY_CHARS and "\x00" not in ask.value_key:
            named[counter_name(ask)] = policy
    if not named:
        return {}
    rows = Budget.objects.filter(kind="policy", owner_id__in=set(named.values()), organisation_id__in=organisations)
    # Without a limit nothing is counted, and nobody needs a counter.
    limited = rows.filter(value_key="", limit__isnull=False)
    bases = {row.owner_id: row for row in limited}
    wanted = {(policy, key) for (_, key, _), policy in named.items() if policy in bases}
    keys = {key for _, key in wanted}
    found = _found(rows, keys)
    missing = [(policy, key) for policy, key in wanted if (policy, key) not in found]
    if missing:
        # Locked, so that a limit which is being changed reaches the new counters too.
        bases = {row.owner_id: row for row in limited.order_by("pk").select_for_update(of=("self",))}
        made = [_counter(bases[policy], key) for policy, key in missing if policy in bases]
        Budget.objects.bulk_create(made, ignore_conflicts=True)
        found = _found(rows, keys)
    return {name: found[policy, name[1]] for name, policy in named.items() if (policy, name[1]) in found}


def _found(rows: Any, keys: Collection[str]) -> dict[tuple[UUID, str], UUID]:
    listed = rows.filter(value_key__in=keys).values_list("owner_id", "value_key", "pk")
    return {(owner, key): pk for owner, key, pk in listed}


def _counter(base: Budget, value_key: str) -> Budget:
    return Budget(value_key=value_key, **{name: getattr(base, name) for name in _COPIED})


def _of_tokens(told: Collection[str], organisations: frozenset[str]) -> Mapping[Name, UUID]:
    # In the order of their texts, so that of two reports which make the same rows neither waits for the other in turn.
    read = [token_budget_in(text) for text in sorted(told)]
    asked = _at_home([each for each in read if each is not None and each.organisation in organisations])
    if not asked:
        return {}
    made = [_token_counter(each, home) for each, home in asked]
    keys = {row.value_key for row in made}
    rows = Budget.objects.filter(kind="token", owner_id__in={row.owner_id for row in made})
    found = _found(rows, keys)
    missing = [row for row in made if (row.owner_id, row.value_key) not in found]
    if missing:
        Budget.objects.bulk_create(missing, ignore_conflicts=True)
        found = _found(rows, keys)
    return {
        ("", "", each.text()): found[row.owner_id, row.value_key]
        for (each, _), row in zip(asked, made, strict=True)
        if (row.owner_id, row.value_key) in found
    }


def _at_home(asked: Sequence[TokenBudget]) -> list[tuple[TokenBudget, UUID]]:
    """Return those whose workspace is one of their organisation, with the workspace's id."""
    homes = {each.workspace: home for each in asked if (home := parse_uuid(each.workspace)) is not None}
    if not homes:
        return []
    rows = workspace_model().objects.filter(pk__in=set(homes.values()))
    known = {(str(organisation), pk) for pk, organisation in rows.values_list("pk", "organisation_id")}
    found = ((each, homes.get(each.workspace)) for each in asked)
    return [(each, home) for each, home in found if home is not None and (each.organisation, home) in known]


def _token_counter(asked: TokenBudget, home: UUID) -> Budget:
    terms = asked.terms
    return Budget(
        organisation_id=UUID(asked.organisation),
        workspace_id=home,
        kind="token",
        owner_id=home,
        value_key=f"{asked.subject}/{terms.text()}",
        name="Token",
        unit=terms.unit,
        limit=terms.limit,
        threshold=terms.threshold,
        periodic_reset=terms.period,
        periodic_reset_days=terms.days,
        next_reset_at=limits.next_reset(timezone.now(), terms.period, terms.days, weekday=limits.SUNDAY),
    )
