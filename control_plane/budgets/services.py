"""What becomes of a budget when the limit of whom it belongs to is set, raised, reset or taken away?

What was said of a limit is kept where it was said, in the API's words; the budget counts, and follows it.  A budget is
never deleted with its owner: gateways still tell what they spent of it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, cast
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.db.models.signals import pre_delete
from django.dispatch import receiver
from django.utils import timezone

from control_plane.budgets import leases
from control_plane.budgets.models import EXHAUSTED, Budget, Holder, Lease
from control_plane.budgets.standing import begin_due_window, begin_window, save_budgets, standing
from control_plane.budgets.usage import counter_json
from control_plane.core import audit, limits
from control_plane.core.outbox import touch
from control_plane.core.principal import Principal
from shared.money import from_dollars
from shared.schema.limits import BudgetRow, BudgetUnit

Json = Mapping[str, Any]
#: A kind, whose it is, and in which workspace.
Key = tuple[str, UUID, UUID | None]

POLICY: Final = "policy"
BATCH: Final = 500
_PERIODS: Final = ("periodic_reset", "periodic_reset_days")
_SAID: Final = ("name", "unit", "limit", "threshold", *_PERIODS)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A budget as it should be; `limits` are in the API's words (`UsageLimits`), None: there is no limit."""

    kind: str
    owner_id: UUID
    workspace_id: UUID | None
    name: str
    limits: Json | None

    @property
    def key(self) -> Key:
        """Which budget it is."""
        return (self.kind, self.owner_id, self.workspace_id)


def stored(number: object, unit: str) -> int | None:
    """Return an amount of the API as it is stored: nano-dollars of cost, else a count; None for none."""
    found = limits.amount(number)
    if found is None:
        return None
    return from_dollars(found) if unit == limits.COST else int(found)


def _next_reset(budget: Budget, said: Json, now: datetime) -> datetime | None:
    """Return when a budget is next set back: as was said, as before while its period stays, or by its new period."""
    period = (said.get("periodic_reset"), said.get("periodic_reset_days"))
    if period == (None, None):
        return None
    at = said.get("next_usage_reset_at")
    if at is not None:
        moment = limits.midnight((at if isinstance(at, datetime) else limits.moment_of(at)).astimezone(UTC))
        # Whoever sends back what they read names a moment that may have passed: nothing is to happen then.
        if moment > now:
            return moment
    if period == (budget.periodic_reset, budget.periodic_reset_days) and budget.next_reset_at is not None:
        return budget.next_reset_at
    weekday = limits.MONDAY if budget.kind == POLICY else limits.SUNDAY
    return limits.next_reset(now, *period, weekday=weekday)


def _follow(budget: Budget, wanted: Wanted, now: datetime) -> None:
    """Bring a locked budget in line with what is wanted of it; saves nothing."""
    begin_due_window(budget, now)
    budget.name = wanted.name[:255]
    said = wanted.limits
    if said is None or limits.usage_faults(said, limits.POLICY_BUDGETS):
        # What could not be kept, from an earlier version, limits nothing.
        budget.limit = budget.threshold = None
        standing(budget)
        return
    unit = said.get("type") or limits.COST
    budget.limit = stored(said["credit_limit"], unit)
    budget.threshold = stored(said.get("alert_threshold"), unit)
    budget.next_reset_at = _next_reset(budget, said, now)
    budget.periodic_reset, budget.periodic_reset_days = said.get("periodic_reset"), said.get("periodic_reset_days")
    if budget.unit != unit:
        budget.unit = unit
        begin_window(budget, now)
    else:
        standing(budget)


def _locked(organisation_id: UUID, wanted: Sequence[Wanted]) -> dict[Key, Budget]:
    rows = Budget.objects.filter(
        organisation_id=organisation_id,
        kind__in={each.kind for each in wanted},
        owner_id__in={each.owner_id for each in wanted},
        value_key="",
    )
    found = rows.order_by("pk").select_for_update(of=("self",))
    return {(row.kind, row.owner_id, row.workspace_id): row for row in found}


def _save(budgets: Iterable[Budget]) -> None:
    rows = list(budgets)
    Budget.objects.bulk_update(rows, _SAID, batch_size=BATCH)
    save_budgets(rows)


@transaction.atomic
def set_budgets(organisation_id: UUID, wanted: Iterable[Wanted]) -> dict[Key, Budget]:
    """Bring budgets of an organisation in line with the limits of those they belong to; return them by key.

    One that is missing is made if there is a limit.  A unit of another kind begins a new window, another limit does
    not.  The limits were checked before (`limits.usage_faults`).
    """
    said = list(wanted)
    found = _locked(organisation_id, said)
    missing = [each for each in said if each.key not in found and each.limits is not None]
    if missing:
        Budget.objects.bulk_create(
            (
                Budget(
                    organisation_id=organisation_id,
                    workspace_id=each.workspace_id,
                    kind=each.kind,
                    owner_id=each.owner_id,
                    unit=(each.limits or {}).get("type") or limits.COST,
                )
                for each in missing
            ),
            ignore_conflicts=True,
        )
        found |= _locked(organisation_id, missing)
    now = timezone.now()
    kept = {each.key: found[each.key] for each in said if each.key in found}
    for each in said:
        if each.key in kept:
            _follow(kept[each.key], each, now)
    if kept:
        _save(kept.values())
    return kept


def set_budget(
    kind: str, owner_id: UUID, *, organisation_id: UUID, workspace_id: UUID | None, name: str, limits: Json | None
) -> Budget | None:
    """Bring the budget of one thing in line with its limit (see `set_budgets`); None when it has none, and had none."""
    wanted = Wanted(kind, owner_id, workspace_id, name, limits)
    return set_budgets(organisation_id, [wanted]).get(wanted.key)


def hold_budgets(organisation_id: UUID, owner_ids: Iterable[UUID]) -> None:
    """Lock all budgets of several things before one after the other is changed, in the order in which reports do."""
    rows = Budget.objects.filter(organisation_id=organisation_id, owner_id__in=list(owner_ids)).order_by("pk")
    list(rows.select_for_update(of=("self",)).values_list("pk", flat=True))


@receiver(pre_delete, sender="orgs.Workspace", dispatch_uid="budgets.workspace_deleted")
def hold_budgets_of_workspace(instance: Any, **_rest: Any) -> None:
    """Lock the budgets that go with a workspace before anything of them is deleted, as reports of gateways do."""
    rows = Budget.objects.filter(workspace=instance).order_by("pk")
    list(rows.select_for_update(of=("self",)).values_list("pk", flat=True))


@transaction.atomic
def clear_budgets(kind: str, owner_id: UUID, *, organisation_id: UUID) -> None:
    """Take the limits of a thing that is deleted: what gateways tell of it later is booked, and limits nothing."""
    rows = Budget.objects.filter(organisation_id=organisation_id, kind=kind, owner_id=owner_id)
    budgets = list(rows.order_by("pk").select_for_update(of=("self",)))
    for budget in budgets:
        budget.limit = budget.threshold = budget.next_reset_at = None
        budget.periodic_reset = budget.periodic_reset_days = None
        standing(budget)
    if budgets:
        _save(budgets)


@transaction.atomic
def set_policy_budgets(base: Wanted, organisation_id: UUID) -> Budget | None:
    """Bring the budget of a policy, and each counter that was made after it, in line with the policy's limit."""
    now = timezone.now()
    counters = Budget.objects.filter(organisation_id=organisation_id, kind=POLICY, owner_id=base.owner_id)
    # All of them at once, in the order in which reports of gateways lock them.
    held = list(counters.order_by("pk").select_for_update(of=("self",)).values_list("pk", flat=True))
    due = list(counters.filter(pk__in=held, next_reset_at__lte=now)) if held else []
    for counter in due:
        begin_due_window(counter, now)
    if due:
        save_budgets(due)
    row = set_budgets(organisation_id, [base]).get(base.key)
    if row is None or not held:
        return row
    copied = {name: getattr(row, name) for name in (*_SAID, "next_reset_at")}
    others = counters.exclude(value_key="")
    others.update(**copied, last_updated_at=now)
    # All whose standing may be another now; of most counters nothing is known but that they are far from the limit.
    concerned = Q(status=EXHAUSTED) | Q(is_threshold_alerts_sent=True) | Q(is_exhausted_alerts_sent=True)
    for most in (row.limit, row.threshold):
        concerned |= Q(spent__gte=most) if most is not None else Q(pk__in=())
    changed = list(others.filter(concerned).order_by("pk"))
    for counter in changed:
        standing(counter)
    if changed:
        save_budgets(changed)
    return row


@transaction.atomic
def reset(actor: Principal, budget: Budget) -> Budget:
    """Set what was used of a budget back to 0, now; what gateways hold of the window before buys nothing any more."""
    budget = Budget.objects.select_for_update(of=("self",)).get(pk=budget.pk)
    before = counter_json(budget)
    begin_window(budget, timezone.now())
    save_budgets([budget])
    audit.record(actor, "reset", budget, before=before, after=counter_json(budget))
    touch(budget.organisation_id, ())
    return budget


def reset_due(now: datetime) -> int:
    """Begin a new window of each budget whose last one is over; return how many.  May be run by several at once."""
    due = Budget.objects.filter(next_reset_at__lte=now).order_by("pk")
    total = 0
    while True:
        with transaction.atomic():
            budgets = list(due.select_for_update(of=("self",), skip_locked=True)[:BATCH])
            total += sum(begin_due_window(budget, now) for budget in budgets)
            if budgets:
                save_budgets(budgets)
        if len(budgets) < BATCH:
            return total


def budget_rows(organisation: Any) -> Mapping[Key, BudgetRow]:
    """Return the budgets of an organisation that limit something, as gateways get them, but those of policies."""
    rows = Budget.objects.filter(organisation=organisation, limit__isnull=False, value_key="").exclude(kind=POLICY)
    listed = rows.values_list("pk", "kind", "owner_id", "workspace_id", "unit")
    return {
        (kind, owner, workspace): BudgetRow(str(pk), kind, cast("BudgetUnit", unit))
        for pk, kind, owner, workspace, unit in listed
    }


def rows_among(found: Mapping[Key, BudgetRow], *keys: Key) -> tuple[BudgetRow, ...]:
    """Return those of the keys' budgets that there are."""
    return tuple(found[key] for key in keys if key in found)


@transaction.atomic
def write_off(actor: Principal, holder: Holder) -> int:
    """Give back what a run of a gateway that is gone holds and did not spend; return of how many budgets.

    Whoever writes off says that the records which are still missing will never come.  `actor` is the system's: a
    gateway may serve several organisations, and it is told in the trail of each.
    """
    held = Lease.objects.filter(holder=holder, is_open=True)
    facts: dict[UUID, list[dict[str, Any]]] = {}
    for lease in held.select_related("budget").order_by("pk"):
        each = {"budget": str(lease.budget_id), "window": lease.window, "given_back": lease.committed - lease.spent}
        facts.setdefault(lease.budget.organisation_id, []).append(each)
    leases.settle([holder])
    for organisation_id, told in facts.items():
        audit.record(replace(actor, organisation_id=organisation_id), "write_off", holder, before={"held": told})
    return sum(map(len, facts.values()))
