"""How does a gateway get the right to spend?  Reports of gateways: what they spent, and what they need.

One report is one transaction.  Budgets are locked in the order of their ids, here and wherever else several are, so
that reports wait for each other and never for ever.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db import transaction
from django.db.models import Case, Count, Exists, F, OuterRef, Q, QuerySet, Sum, When
from django.db.models.functions import Greatest
from django.utils import timezone

from control_plane.budgets.charges import add_charges
from control_plane.budgets.counters import Name, counter_name, find_counters
from control_plane.budgets.models import MOST, Budget, BudgetEvent, Holder, Lease
from control_plane.budgets.standing import begin_due_window, bounded, save_budgets, shift, standing
from shared.errors import BadRequest, Forbidden
from shared.ids import parse_uuid
from shared.wire import MAX_ASKS, BudgetAnswer, BudgetAsk, UsageAnswer, UsageReport

#: How long others are asked for what they hold and do not spend, after a call was refused for want of it.
SCARCE: Final = timedelta(seconds=10)
#: A gateway that was silent for so long spends nothing any more (see `data_plane/limits/lease.py`), so that what it
#: held can be given to others although nobody knows what became of it.
SILENCE: Final = timedelta(hours=26)
#: Books of windows that are over, and counters that nobody used, are kept for so long, and so many are deleted at once.
KEPT: Final = timedelta(days=90)
FORGET_BATCH: Final = 5000
_GONE: Final = BudgetAnswer(status="gone")
#: A token says its limit itself: where it cannot be counted there is nothing of it, rather than no limit.
_NOTHING: Final = BudgetAnswer(status="short")


@dataclass(frozen=True, slots=True)
class _Others:
    """What others hold of the current window of a budget: how many they are, and how much they have not spent."""

    count: int = 0
    unspent: int = 0


def take_report(group_id: UUID, organisations: frozenset[str], report: UsageReport) -> UsageAnswer:
    """Book what one run of a gateway has spent, and grant what it wants as far as budgets reach.

    `organisations` are the ids that the group serves; budgets of others are answered like missing ones.  Raises
    BadRequest for a report that cannot be one, Forbidden for the run of another group.
    """
    boot = parse_uuid(report.boot)
    is_named = boot is not None and 0 < len(report.instance) <= 64 and 0 <= report.seq < MOST
    if boot is None or not is_named or len(report.asks) > MAX_ASKS:
        raise BadRequest("The usage report names no run of a gateway, or asks for too much at once.")
    now = timezone.now()
    with transaction.atomic():
        # Apart: who makes counters holds rows of policies, which others lock in another order together with the rest.
        counters = find_counters([ask for ask in report.asks if not ask.budget], organisations)
    with transaction.atomic():
        holder = _locked_holder(boot, group_id, report.instance, now)
        is_new = report.seq > holder.seq
        if is_new:
            holder.seq, holder.last_at = report.seq, now
            # Whoever was given up and comes back is believed: what it says that it holds is set aside again.
            holder.is_open, holder.is_settled = True, False
        budgets = _locked_budgets(report.asks, counters, organisations)
        answers = _book(holder, report.asks, budgets, now=now, is_new=is_new)
        holder.save()
    if is_new and report.ended:
        settle([holder])
    if is_new and report.drained:
        settle_earlier(group_id, report.instance, before=holder)
    return UsageAnswer(tuple(answers) if is_new else None)


def _locked_holder(boot: UUID, group_id: UUID, instance: str, now: datetime) -> Holder:
    Holder.objects.bulk_create(
        [Holder(id=boot, group_id=group_id, instance=instance, last_at=now)], ignore_conflicts=True
    )
    # Leases may be made of it meanwhile, by whoever holds the budgets that this waits for.
    holder = Holder.objects.select_for_update(no_key=True).get(pk=boot)
    if holder.group_id != group_id or holder.instance != instance:
        raise Forbidden("This run belongs to another gateway.")
    return holder


def _locked_budgets(
    asks: Sequence[BudgetAsk], counters: Mapping[Name, UUID], organisations: frozenset[str]
) -> list[Budget | None]:
    """Return the budget of each ask, locked; None for one that there is not, or that is another organisation's."""
    ids = [parse_uuid(ask.budget) if ask.budget else counters.get(counter_name(ask)) for ask in asks]
    wanted = {each for each in ids if each is not None}
    rows = Budget.objects.filter(pk__in=wanted, organisation_id__in=organisations).order_by("pk")
    found = {row.pk: row for row in rows.select_for_update(of=("self",))}
    return [found.get(each) if each is not None else None for each in ids]


def _book(
    holder: Holder, asks: Sequence[BudgetAsk], budgets: Sequence[Budget | None], *, now: datetime, is_new: bool
) -> list[BudgetAnswer]:
    known = [budget for budget in budgets if budget is not None]
    for budget in {each.pk: each for each in known}.values():
        begin_due_window(budget, now)
    leases = {(lease.budget_id, lease.window): lease for lease in Lease.objects.filter(holder=holder, budget__in=known)}
    others = _others(holder, known) if any(ask.want or ask.wish for ask in asks) else {}
    answers = []
    for ask, found in zip(asks, budgets, strict=True):
        if found is None:
            answers.append(_NOTHING if ask.token else _GONE)
            continue
        books = _Books(holder, found, leases)
        books.told(ask, is_new=is_new)
        if ask.is_past:
            answers.append(BudgetAnswer(budget=str(found.pk), window=ask.window))
            continue
        answers.append(_granted(books, ask, others.get(found.pk, _Others()), now) if is_new else _GONE)
    _save(known, leases.values())
    return answers


def _others(holder: Holder, budgets: Iterable[Budget]) -> Mapping[UUID, _Others]:
    """Return what the other runs hold of each budget, in one query."""
    windows = [When(pk=budget.pk, then=budget.window) for budget in {each.pk: each for each in budgets}.values()]
    if not windows:
        return {}
    spent = Greatest(F("leases__reported"), F("leases__recorded"))
    theirs = Q(leases__is_open=True, leases__granted__gt=spent, leases__window=F("now")) & ~Q(leases__holder=holder)
    rows = (
        Budget.objects.filter(pk__in=[budget.pk for budget in budgets])
        .annotate(now=Case(*windows))
        .annotate(holders=Count("leases", filter=theirs), unspent=Sum(F("leases__granted") - spent, filter=theirs))
        .values_list("pk", "holders", "unspent")
    )
    return {pk: _Others(count, int(unspent or 0)) for pk, count, unspent in rows}


class _Books:
    """The accounts of one run for one budget."""

    def __init__(self, holder: Holder, budget: Budget, leases: dict[tuple[UUID, int], Lease]) -> None:
        self.holder = holder
        self.budget = budget
        self._leases = leases

    def lease(self, window: int) -> Lease:
        """Return the lease of a window, made when it is missing."""
        key = (self.budget.pk, window)
        if key not in self._leases:
            self._leases[key] = Lease(budget=self.budget, window=window, holder=self.holder)
        return self._leases[key]

    def told(self, ask: BudgetAsk, *, is_new: bool) -> None:
        """Book what the gateway says of a window: spent only ever grows; how far it may spend is what it says last."""
        if not 0 < ask.window <= self.budget.window:
            return
        lease = self.lease(ask.window)
        before = (lease.spent, lease.committed)
        lease.reported = max(lease.reported, bounded(ask.spent))
        if is_new:
            lease.is_open = True
            # What the gateway does not know that it was granted, it never got: the answer was lost.
            lease.granted = max(bounded(ask.ceiling), bounded(ask.spent))
        if ask.window == self.budget.window:
            shift(self.budget, lease, before)

    def grant(self, amount: int) -> Lease:
        """Set `amount` more aside for the gateway."""
        lease = self.lease(self.budget.window)
        before = (lease.spent, lease.committed)
        lease.granted = bounded(max(lease.granted, lease.spent) + amount)
        shift(self.budget, lease, before)
        return lease


def _granted(books: _Books, ask: BudgetAsk, others: _Others, now: datetime) -> BudgetAnswer:
    budget = books.budget
    if budget.limit is None:
        standing(budget)
        return _GONE
    if ask.window != budget.window:
        # Of this window nothing is known over there, whatever was granted in an answer that was lost.
        books.told(BudgetAsk(window=budget.window), is_new=True)
    want, wish = bounded(ask.want), bounded(ask.wish)
    free = max(0, budget.limit - budget.committed)
    is_short = want > free
    amount = 0
    if not is_short:
        # Halving what is free keeps some for whoever comes next; near the end everyone gets just what is needed.
        amount = max(want, min(wish, free // (2 * (others.count + 1))))
    lease = books.grant(amount)
    standing(budget, refused=is_short)
    if is_short:
        budget.scarce_until = now + SCARCE
    is_scarce = budget.committed > budget.limit or (budget.scarce_until is not None and budget.scarce_until > now)
    return BudgetAnswer(
        status="short" if is_short else "ok",
        budget=str(budget.pk),
        window=budget.window,
        spent=lease.spent,
        ceiling=lease.granted,
        limit=budget.limit,
        left=max(0, budget.limit - budget.spent),
        is_held=others.unspent > 0,
        recall=is_scarce and not want and lease.granted > lease.spent,
    )


def _save(budgets: Iterable[Budget], leases: Iterable[Lease]) -> None:
    save_budgets(budgets)
    Lease.objects.bulk_create(
        list(leases),
        update_conflicts=True,
        unique_fields=("budget", "window", "holder"),
        update_fields=("granted", "reported", "recorded", "is_open"),
    )


def _end(holders: Iterable[Any]) -> None:
    """Give back what runs hold and will spend no more."""
    ids = list(holders)
    open_leases = Lease.objects.filter(holder__in=ids, is_open=True)
    rows = Budget.objects.filter(pk__in=open_leases.values("budget")).order_by("pk")
    budgets = {row.pk: row for row in rows.select_for_update(of=("self",))}
    leases = list(open_leases.order_by("pk"))
    for lease in leases:
        budget = budgets.get(lease.budget_id)
        before = (lease.spent, lease.committed)
        lease.is_open = False
        if budget is not None and lease.window == budget.window:
            shift(budget, lease, before)
            standing(budget)
    save_budgets(budgets.values())
    Lease.objects.bulk_update(leases, ["is_open"])


def settle(holders: Sequence[Holder]) -> None:
    """Give back what runs of gateways hold beyond what they spent, by their reports and their records."""
    if not holders:
        return
    add_charges()
    with transaction.atomic():
        ids = [holder.pk for holder in holders]
        unsettled = Holder.objects.filter(pk__in=ids, is_settled=False).order_by("pk")
        locked = list(unsettled.select_for_update(no_key=True))
        _end([holder.pk for holder in locked])
        Holder.objects.filter(pk__in=[holder.pk for holder in locked]).update(is_open=False, is_settled=True)


def settle_earlier(group_id: UUID, instance: str, *, before: Holder) -> None:
    """Settle the earlier runs of an instance, all of whose records are here."""
    earlier = Holder.objects.filter(
        group_id=group_id, instance=instance, is_settled=False, started_at__lt=before.started_at
    )
    settle(list(earlier.exclude(pk=before.pk)))


def settle_silent(now: datetime) -> int:
    """Settle the runs of gateways that were silent for too long to spend anything; return how many there were."""
    silent = list(Holder.objects.filter(is_settled=False, last_at__lt=now - SILENCE)[:1000])
    settle(silent)
    return len(silent)


def forget_old(now: datetime) -> int:
    """Delete what nobody needs any more: old books of windows that are over, runs and counters that have none left.

    Return how many rows; a bounded number at a time.  What was spent of a window that goes on stays known, so that
    records which come late are not counted again.
    """
    before = now - KEPT
    runs = Holder.objects.filter(is_settled=True, last_at__lt=before)
    over = Lease.objects.filter(holder__in=runs, window__lt=F("budget__window"))
    total = _delete_some(over)
    total += _delete_some(runs.exclude(Exists(Lease.objects.filter(holder=OuterRef("pk")))))
    counters = Budget.objects.filter(kind__in=("policy", "token"), spent=0, committed=0, created_at__lt=before)
    unused = counters.exclude(value_key="").exclude(
        Exists(Lease.objects.filter(budget=OuterRef("pk"))) | Exists(BudgetEvent.objects.filter(budget=OuterRef("pk")))
    )
    with transaction.atomic():
        locked = unused.order_by("pk").select_for_update(of=("self",), skip_locked=True)[:FORGET_BATCH]
        return total + _delete_some(Budget.objects.filter(pk__in=[row.pk for row in locked]))


def _delete_some(rows: QuerySet[Any]) -> int:
    ids = list(rows.order_by("pk").values_list("pk", flat=True)[:FORGET_BATCH])
    deleted: int
    deleted, _ = rows.model._default_manager.filter(pk__in=ids).delete()  # noqa: SLF001 -- Django's documented API
    return deleted
