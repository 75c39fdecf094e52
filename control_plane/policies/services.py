"""Changes of policies, and of what was used of them.

Callers count cost in US dollars, rows in nano-dollars.  What a policy counts, and for whom, stays as it was made: its
counters would mean something else.  A deleted policy is archived, so that what it allowed can still be explained.
"""

from collections.abc import Mapping
from typing import Any, Final, TypeVar

from django.db import transaction
from django.db.models import Q, QuerySet

from control_plane.budgets.models import Budget
from control_plane.budgets.services import POLICY, Wanted, reset, set_policy_budgets, stored
from control_plane.budgets.usage import set_used, with_usage
from control_plane.core import audit, limits
from control_plane.core.errors import Invalid, sentences
from control_plane.core.outbox import touch
from control_plane.core.principal import Principal
from control_plane.orgs.models import Workspace
from control_plane.policies import conditions
from control_plane.policies.models import ACTIVE, ARCHIVED, MCP_TOOLS, Either, RateLimitPolicy, UsageLimitPolicy
from control_plane.policies.serializers import rate_policy_json, usage_policy_json

Json = Mapping[str, Any]
Row = TypeVar("Row", UsageLimitPolicy, RateLimitPolicy)
_FIXED: Final = ("type", "group_by", "target")
_AMOUNTS: Final = ("credit_limit", "alert_threshold")
_PERIODS: Final = ("periodic_reset", "periodic_reset_days")


def _policy_json(row: Either) -> dict[str, Any]:
    return usage_policy_json(row) if isinstance(row, UsageLimitPolicy) else rate_policy_json(row)


def _refuse(faults: Mapping[str, Any]) -> None:
    if faults:
        told = sentences(faults)
        raise Invalid(" ".join(told), errors=told)


def _refuse_other_kind(row: Either, given: Json) -> None:
    changed = [name for name in _FIXED if name in given and given[name] != getattr(row, name)]
    _refuse(dict.fromkeys(changed, "cannot be changed: make another policy"))


def _target_faults(row: Either) -> dict[str, str]:
    if row.target == MCP_TOOLS and row.type != "requests":
        return {"type": "calls of tools can be counted as requests only"}
    return {}


def _assign(row: Either, given: Json) -> None:
    """Put what all policies have into the row.  Raises Invalid for conditions and groups that cannot be kept."""
    for name in ("name", "conditions", "status", *_FIXED):
        if name in given:
            setattr(row, name, given[name])
    if "description" in given:
        row.description = given["description"] or ""
    is_rate = isinstance(row, RateLimitPolicy)
    faults = conditions.faults_of(row.conditions, row.group_by, target=row.target, is_rate=is_rate)
    _refuse({**faults, **_target_faults(row)})


def _assign_limit(row: UsageLimitPolicy, given: Json) -> None:
    """Put the limit into the row.  Raises Invalid for one that cannot be kept with what the row has already."""
    said = {name: given[name] for name in limits.USAGE_FIELDS if name in given}
    if any(said.get(name) is not None for name in _PERIODS):
        # The period that is given takes the place of the other kind.
        said = {**dict.fromkeys(_PERIODS), **said}
    has: dict[str, Any] = {name: getattr(row, name) for name in ("type", *_PERIODS)}
    for name in _AMOUNTS:
        kept = getattr(row, name)
        has[name] = None if kept is None else row.counted(kept)
    faults = limits.usage_faults({**has, **said}, limits.POLICY_BUDGETS)
    _refuse(faults)
    for name in _AMOUNTS:
        if name in said:
            setattr(row, name, stored(said[name], row.type))
    for name in _PERIODS:
        setattr(row, name, said.get(name, getattr(row, name)))


def _keep_budget(row: UsageLimitPolicy, given: Json) -> None:
    """Bring what is counted in line with the policy; an archived one counts nothing."""
    threshold = row.alert_threshold
    said = {
        "type": row.type,
        "credit_limit": row.counted(row.credit_limit),
        "alert_threshold": None if threshold is None else row.counted(threshold),
        **{name: getattr(row, name) for name in _PERIODS},
        "next_usage_reset_at": given.get("next_usage_reset_at"),
    }
    limit = said if row.status == ACTIVE else None
    base = set_policy_budgets(Wanted(POLICY, row.pk, row.workspace_id, str(row), limit), row.organisation_id)
    set_used(row, base)


@transaction.atomic
def create_usage_policy(actor: Principal, workspace: Workspace | None, given: Json) -> UsageLimitPolicy:
    """Make a budget of `conditions`, `group_by`, `type`, `credit_limit` (Decimal: US dollars of cost, else a count).

    May have `name`, `description`, `alert_threshold`, `periodic_reset` or `periodic_reset_days`,
    `next_usage_reset_at`, `target`, `status`.  `workspace` None: for all of them.  Raises Invalid with every fault.
    """
    row = UsageLimitPolicy(organisation_id=actor.organisation_id, workspace=workspace)
    _assign(row, given)
    _assign_limit(row, given)
    row.save()
    _keep_budget(row, given)
    return _made(actor, row)


@transaction.atomic
def create_rate_policy(actor: Principal, workspace: Workspace | None, given: Json) -> RateLimitPolicy:
    """Make a limit of rate of `conditions`, `group_by`, `type`, `unit`, `value`; the rest as for budgets."""
    row = RateLimitPolicy(organisation_id=actor.organisation_id, workspace=workspace)
    _assign(row, given)
    _assign_rate(row, given)
    row.save()
    return _made(actor, row)


def _assign_rate(row: RateLimitPolicy, given: Json) -> None:
    said = {name: given.get(name, getattr(row, name)) for name in limits.RATE_FIELDS}
    _refuse(limits.rate_faults(said, least=1))
    row.unit, row.value = said["unit"], int(said["value"])


def _sections(row: Either) -> tuple[str, ...]:
    """Return what of the bundle a policy is in."""
    return ("rate_policies",) if isinstance(row, RateLimitPolicy) else ("usage_policies",)


def _made(actor: Principal, row: Row) -> Row:
    audit.record(actor, "create", row, after=_policy_json(row))
    touch(row.organisation_id, _sections(row))
    return row


def _changed(actor: Principal, row: Row, before: Json) -> Row:
    audit.record(actor, "update", row, before=before, after=_policy_json(row))
    touch(row.organisation_id, _sections(row))
    return row


@transaction.atomic
def update_usage_policy(actor: Principal, row: UsageLimitPolicy, given: Json) -> UsageLimitPolicy:
    """Change what `given` names of a budget, and set one value key's usage back: `reset_usage_for_value`.

    A limit that is raised makes active again who had exhausted it.  Raises Invalid with every fault, also for a
    change of what is counted, or for a value of which nothing was counted.
    """
    row = _locked(row)
    before = _policy_json(row)
    _refuse_other_kind(row, given)
    _assign(row, given)
    _assign_limit(row, given)
    row.save()
    _keep_budget(row, given)
    row = _changed(actor, row, before)
    named = given.get("reset_usage_for_value")
    if named:
        reset(actor, _counter_of(row, named))
    return row


def _locked(row: UsageLimitPolicy) -> UsageLimitPolicy:
    rows = with_usage(UsageLimitPolicy.objects.all(), POLICY)
    return rows.select_for_update(of=("self",)).get(pk=row.pk)


def counters_of(row: UsageLimitPolicy) -> QuerySet[Budget]:
    """Return what was counted of a policy: by value key, or, for one without groups, as a whole."""
    counters = Budget.objects.filter(organisation_id=row.organisation_id, kind=POLICY, owner_id=row.pk)
    return counters.exclude(value_key="") if row.group_by else counters


def _counter_of(row: UsageLimitPolicy, named: str) -> Budget:
    """Return the counter of a value key; with a single group its value alone names it."""
    condition = Q(value_key=named)
    if len(row.group_by) == 1:
        condition |= Q(value_key=f"{row.group_by[0]['key']}:{named}")
    found = counters_of(row).filter(condition).first()
    if found is None:
        raise Invalid("reset_usage_for_value: nothing was counted for that value")
    return found


@transaction.atomic
def update_rate_policy(actor: Principal, row: RateLimitPolicy, given: Json) -> RateLimitPolicy:
    """Change what `given` names of a limit of rate.  Raises Invalid with every fault."""
    row = RateLimitPolicy.objects.select_for_update().get(pk=row.pk)
    before = _policy_json(row)
    _refuse_other_kind(row, given)
    _assign(row, given)
    _assign_rate(row, given)
    row.save()
    return _changed(actor, row, before)


@transaction.atomic
def archive_policy(actor: Principal, row: Either) -> None:
    """Delete a policy for callers: it holds no longer, and is found only by who asks for archived ones."""
    before = _policy_json(row)
    row.status = ARCHIVED
    row.save()
    if isinstance(row, UsageLimitPolicy):
        _keep_budget(row, {})
    audit.record(actor, "delete", row, before=before)
    touch(row.organisation_id, _sections(row))
