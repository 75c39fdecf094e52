"""Reports of gateways: what is granted, booked and given back, and that nothing is given twice."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.utils import timezone

from control_plane.budgets import leases
from control_plane.budgets.charges import add_charges, store_charges
from control_plane.budgets.models import ACTIVE, EXHAUSTED, MOST, Budget, BudgetEvent, Charge, Holder, Lease
from control_plane.budgets.services import hold_budgets
from control_plane.orgs.models import Workspace
from shared.errors import BadRequest, Forbidden
from shared.wire import MAX_ASKS, BudgetAsk, UsageReport
from tests.control_plane.factories import make_tenant

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenant():
    return make_tenant()


def budget_of(tenant, limit=1000, **fields):
    usual = {"kind": "api_key", "owner_id": uuid4(), "unit": "tokens", "limit": limit, "name": "Key"}
    return Budget.objects.create(organisation=tenant.organisation, **{**usual, **fields})


class Run:
    """One run of a gateway that serves some tenants."""

    def __init__(self, *tenants, group=None, instance="gw-1"):
        self.group, self.instance, self.boot, self.seq = group or uuid4(), instance, uuid4(), 0
        self.organisations = frozenset(str(tenant.organisation.pk) for tenant in tenants)

    def report(self, *asks, seq=None, **fields):
        self.seq = self.seq + 1 if seq is None else seq
        report = UsageReport(self.instance, self.boot.hex, self.seq, asks, **fields)
        return leases.take_report(self.group, self.organisations, report).answers

    def ask(self, budget, **fields):
        (answer,) = self.report(BudgetAsk(budget=str(budget.pk), **fields))
        return answer


def stands(budget):
    budget.refresh_from_db()
    return budget.spent, budget.committed


def test_a_run_gets_what_it_needs_and_some_more(tenant):
    budget, run = budget_of(tenant), Run(tenant)
    answer = run.ask(budget, want=10, wish=10_000)
    assert (answer.status, answer.window, answer.ceiling, answer.limit, answer.left) == ("ok", 1, 500, 1000, 1000)
    assert stands(budget) == (0, 500)
    assert run.ask(budget, window=1, spent=30, ceiling=500).ceiling == 500
    assert stands(budget) == (30, 500)


def test_what_is_granted_never_exceeds_the_limit_whoever_asks(tenant):
    budget = budget_of(tenant)
    for _ in range(30):
        Run(tenant).ask(budget, want=1, wish=10_000)
    assert stands(budget)[1] <= 1000
    last = Run(tenant).ask(budget, want=900)
    assert (last.status, last.ceiling, last.is_held) == ("short", 0, True)


def test_an_answer_that_was_lost_grants_nothing_twice(tenant):
    budget, run = budget_of(tenant), Run(tenant)
    for _ in range(5):
        assert run.ask(budget, want=100).ceiling == 100
    assert stands(budget) == (0, 100)


def test_reports_that_come_again_or_in_another_order_change_nothing(tenant):
    budget, run = budget_of(tenant), Run(tenant)
    run.ask(budget, want=400)
    run.ask(budget, window=1, spent=300, ceiling=400)
    for seq in (1, 2, 2, 1, 2):
        ask = BudgetAsk(budget=str(budget.pk), window=1, spent=100 * seq, ceiling=1000, want=500)
        assert run.report(ask, seq=seq) is None
    assert stands(budget) == (300, 400)
    assert Lease.objects.get().granted == 400


def test_a_late_report_still_tells_what_was_spent(tenant):
    budget, run = budget_of(tenant), Run(tenant)
    run.ask(budget, want=400)
    run.report(BudgetAsk(budget=str(budget.pk), window=1, spent=250, ceiling=400), seq=1)
    assert stands(budget) == (250, 400)


def test_what_is_handed_back_can_be_granted_to_others(tenant):
    budget, one, other = budget_of(tenant), Run(tenant), Run(tenant)
    one.ask(budget, want=900)
    assert other.ask(budget, want=200).status == "short"
    assert one.ask(budget, window=1, spent=50, ceiling=900).recall is True
    one.ask(budget, window=1, spent=50, ceiling=50)
    assert other.ask(budget, want=200).ceiling == 200
    assert stands(budget) == (50, 250)


def test_a_call_that_cost_more_than_was_granted_is_booked_in_full(tenant):
    budget, run = budget_of(tenant), Run(tenant)
    run.ask(budget, want=900)
    answer = run.ask(budget, window=1, spent=1300, ceiling=900, want=10)
    assert (answer.status, answer.left) == ("short", 0)
    assert stands(budget) == (1300, 1300)


@pytest.mark.parametrize("absurd", [2**63, -5, MOST * 4])
def test_absurd_numbers_break_nothing(tenant, absurd):
    budget, run = budget_of(tenant), Run(tenant)
    run.ask(budget, want=1)
    run.ask(budget, window=1, spent=absurd, ceiling=absurd, want=absurd, wish=absurd)
    spent, committed = stands(budget)
    assert 0 <= spent <= committed <= MOST


def test_a_budget_of_another_tenant_is_like_none(tenant):
    budget, run = budget_of(make_tenant("Other")), Run(tenant)
    assert run.ask(budget, want=10).status == "gone"
    assert stands(budget) == (0, 0)
    answers = run.report(BudgetAsk(budget="no id", want=1), BudgetAsk(policy=str(uuid4()), value_key="a", want=1))
    assert [answer.status for answer in answers] == ["gone", "gone"]


def test_a_limit_that_was_removed_is_gone(tenant):
    budget, run = budget_of(tenant), Run(tenant)
    run.ask(budget, want=10)
    Budget.objects.update(limit=None)
    assert run.ask(budget, window=1, spent=10, ceiling=10, want=10).status == "gone"
    assert stands(budget) == (10, 10)


def test_each_tuple_of_values_of_a_policy_has_a_counter_of_its_own(tenant):
    policy = uuid4()
    base = budget_of(tenant, kind="policy", owner_id=policy, threshold=800, periodic_reset="monthly")
    run, other = Run(tenant), Run(tenant)
    asks = [
        BudgetAsk(policy=str(policy), value_key=f"metadata._user:{name}", want=600) for name in ("ada", "bob", "ada")
    ]
    first, second, _ = run.report(*asks)
    again = other.report(asks[0])[0]
    assert (first.status, second.status, again.status) == ("ok", "ok", "short")
    assert first.budget == again.budget != second.budget
    made = Budget.objects.get(pk=first.budget)
    assert (made.limit, made.threshold, made.periodic_reset, made.value_key) == (
        1000,
        800,
        "monthly",
        "metadata._user:ada",
    )
    assert stands(base) == (0, 0)
    assert run.report(BudgetAsk(policy=str(policy), value_key="a\x00b", want=1))[0].status == "gone"


def test_a_policy_without_a_limit_makes_no_counters(tenant):
    policy = uuid4()
    budget_of(tenant, limit=None, kind="policy", owner_id=policy)
    asks = [BudgetAsk(policy=str(policy), value_key=f"metadata._user:{number}", want=1) for number in range(3)]
    assert [answer.status for answer in Run(tenant).report(*asks)] == ["gone"] * 3
    assert Budget.objects.count() == 1


def test_a_run_belongs_to_one_gateway(tenant):
    run = Run(tenant)
    run.report()
    thief = Run(tenant)
    thief.boot = run.boot
    with pytest.raises(Forbidden, match="another gateway"):
        thief.report()
    with pytest.raises(BadRequest):
        run.report(*[BudgetAsk(budget="b")] * (MAX_ASKS + 1))
    run.boot = type("Boot", (), {"hex": "none"})
    with pytest.raises(BadRequest):
        run.report()


# windows


def test_a_window_begins_at_its_moment_whoever_is_first_to_ask(tenant):
    ended = datetime(2026, 11, 1, tzinfo=UTC)
    budget, run = budget_of(tenant, periodic_reset="monthly", next_reset_at=ended), Run(tenant)
    budget.spent = budget.committed = 900
    budget.save()
    answer = run.ask(budget, want=500)
    assert (answer.status, answer.window) == ("ok", 2)
    budget.refresh_from_db()
    assert (budget.spent, budget.committed, budget.next_reset_at > timezone.now()) == (0, 500, True)
    assert run.ask(budget, window=2, spent=1, ceiling=500).window == 2


def test_what_is_told_of_a_window_that_is_over_is_not_booked_in_the_next(tenant):
    budget, run = budget_of(tenant), Run(tenant)
    run.ask(budget, want=400)
    Budget.objects.update(window=2, spent=0, committed=0)
    answer = run.ask(budget, window=1, spent=400, ceiling=400, want=100)
    assert (answer.window, answer.ceiling, answer.spent) == (2, 100, 0)
    past = BudgetAsk(budget=str(budget.pk), window=1, spent=450, is_past=True)
    now = BudgetAsk(budget=str(budget.pk), window=2, spent=20, ceiling=100)
    assert [each.window for each in run.report(past, now)] == [1, 2]
    assert stands(budget) == (20, 100)
    assert Lease.objects.get(window=1).reported == 450


def test_a_lowered_limit_grants_nothing_more_and_asks_for_what_is_held(tenant):
    budget, run = budget_of(tenant), Run(tenant)
    run.ask(budget, want=800)
    run.ask(budget, window=1, spent=500, ceiling=800)
    Budget.objects.update(limit=300)
    short = run.ask(budget, window=1, spent=500, ceiling=800, want=1)
    assert (short.status, short.ceiling, short.left) == ("short", 800, 0)
    assert run.ask(budget, window=1, spent=600, ceiling=800).recall is True
    run.ask(budget, window=1, spent=600, ceiling=600)
    assert stands(budget) == (600, 600)
    budget.refresh_from_db()
    assert budget.status == EXHAUSTED


# standing


def test_the_threshold_and_the_limit_are_noted_once_each(tenant):
    budget, run = budget_of(tenant, threshold=500), Run(tenant)
    run.ask(budget, want=1000)
    for spent in (499, 500, 700, 999, 1000, 1000):
        run.ask(budget, window=1, spent=spent, ceiling=1000)
    assert sorted(BudgetEvent.objects.values_list("what", "spent", "limit")) == [
        ("exhausted", 1000, 1000), ("threshold", 500, 1000),
    ]  # fmt: skip
    budget.refresh_from_db()
    assert (budget.status, budget.is_threshold_alerts_sent, budget.is_exhausted_alerts_sent) == (EXHAUSTED, True, True)
    Budget.objects.update(limit=2000, threshold=1500)
    run.ask(budget, window=1, spent=1000, ceiling=1000)
    budget.refresh_from_db()
    assert (budget.status, budget.is_threshold_alerts_sent, budget.is_exhausted_alerts_sent) == (ACTIVE, False, False)
    run.ask(budget, window=1, spent=1600, ceiling=1600)
    assert BudgetEvent.objects.filter(what="threshold").count() == 2


def test_a_budget_whose_rest_buys_no_call_is_exhausted_and_one_that_buys_smaller_ones_is_not(tenant):
    budget, run = budget_of(tenant), Run(tenant)
    assert run.ask(budget, want=2000).status == "short"
    budget.refresh_from_db()
    assert budget.status == ACTIVE
    run.ask(budget, want=1000)
    run.ask(budget, window=1, spent=995, ceiling=1000, want=50)
    budget.refresh_from_db()
    assert budget.status == EXHAUSTED


# the end of a run


def test_a_run_that_ends_gives_back_what_it_did_not_spend(tenant):
    budget, run = budget_of(tenant), Run(tenant)
    run.ask(budget, want=900)
    run.report(BudgetAsk(budget=str(budget.pk), window=1, spent=100, ceiling=900), ended=True)
    assert stands(budget) == (100, 100)
    assert Holder.objects.get().is_settled is True


def charged(tenant, budget, run, amount, window=1):
    store_charges([(tenant.organisation.pk, budget.pk, window, run.boot, amount)])


def test_a_run_that_was_killed_holds_what_it_held_until_its_records_are_here(tenant):
    budget, run = budget_of(tenant), Run(tenant)
    run.ask(budget, want=900)
    run.ask(budget, window=1, spent=100, ceiling=900)
    charged(tenant, budget, run, 100)
    charged(tenant, budget, run, 60)
    again = Run(tenant, group=run.group)
    assert again.ask(budget, want=200).status == "short"
    again.report(drained=True)
    assert stands(budget) == (160, 160)
    assert again.ask(budget, want=200).status == "ok"
    # What is told of it again changes nothing.
    again.report(drained=True)
    assert add_charges() == 0
    assert stands(budget)[0] == 160


def test_another_gateway_settles_nobody_but_itself(tenant):
    budget, run = budget_of(tenant), Run(tenant)
    run.ask(budget, want=900)
    Run(tenant, group=run.group, instance="gw-2").report(drained=True)
    Run(tenant).report(drained=True)
    assert stands(budget) == (0, 900)


def test_records_and_reports_of_one_run_are_not_added_up(tenant):
    budget, run = budget_of(tenant), Run(tenant)
    run.ask(budget, want=500)
    run.ask(budget, window=1, spent=120, ceiling=500)
    charged(tenant, budget, run, 80)
    assert add_charges() == 1
    assert stands(budget) == (120, 500)
    charged(tenant, budget, run, 70)
    add_charges()
    assert stands(budget) == (150, 500)


def test_charges_of_what_there_is_not_change_nothing(tenant):
    budget, run, other = budget_of(tenant), Run(tenant), make_tenant("Other")
    run.ask(budget, want=100)
    store_charges([
        (other.organisation.pk, budget.pk, 1, run.boot, 50),
        (tenant.organisation.pk, uuid4(), 1, run.boot, 50),
        (tenant.organisation.pk, budget.pk, 1, uuid4(), 50),
        (tenant.organisation.pk, budget.pk, 7, run.boot, 50),
    ])  # fmt: skip
    assert add_charges() == 4
    assert stands(budget) == (0, 100)
    assert Charge.objects.count() == 0


def test_what_a_gateway_held_that_was_silent_for_a_day_is_given_to_others(tenant):
    budget, run = budget_of(tenant), Run(tenant)
    run.ask(budget, want=900)
    now = timezone.now()
    assert leases.settle_silent(now + timedelta(hours=25)) == 0
    assert leases.settle_silent(now + timedelta(hours=27)) == 1
    assert stands(budget) == (0, 0)
    # Should it come back after all, it is believed: what it says it holds is set aside again.
    assert run.ask(budget, window=1, spent=10, ceiling=40, want=5).status == "ok"
    assert stands(budget) == (10, 45)


def spend_all(tenant, budgets, start):
    """Take part of each budget again and again, and spend all of it, as one gateway does."""
    run, known = Run(tenant), {budget.pk: (0, 0) for budget in budgets}
    start.wait(30)
    try:
        for turn in range(13):
            asks = [
                BudgetAsk(
                    budget=str(pk),
                    window=window,
                    spent=ceiling,
                    ceiling=ceiling,
                    want=60 * (turn < 12),
                    wish=200 * (turn < 12),
                )
                for pk, (window, ceiling) in known.items()
            ]
            answers = run.report(*asks, ended=turn == 12)
            known = {pk: (answer.window, answer.ceiling) for pk, answer in zip(known, answers, strict=True)}
    finally:
        connection.close()


@pytest.mark.django_db(transaction=True)
def test_twenty_gateways_at_once_get_no_more_than_there_is():
    tenant, start = make_tenant(), Barrier(20)
    budgets = [budget_of(tenant, limit=10_000) for _ in range(3)]
    with ThreadPoolExecutor(20) as pool:
        for done in [pool.submit(spend_all, tenant, budgets, start) for _ in range(20)]:
            done.result(120)
    for budget in budgets:
        spent, committed = stands(budget)
        assert 9_900 <= spent == committed <= 10_000
        assert sum(lease.reported for lease in Lease.objects.filter(budget=budget)) == spent


def test_what_records_say_of_a_run_that_ends_counts_at_its_end(tenant):
    budget, run = budget_of(tenant), Run(tenant)
    run.ask(budget, want=900)
    charged(tenant, budget, run, 160)
    run.report(BudgetAsk(budget=str(budget.pk), window=1, spent=100, ceiling=900), ended=True)
    assert stands(budget) == (160, 160)


def test_whoever_opens_its_books_again_goes_on_from_what_its_records_say(tenant):
    budget, run = budget_of(tenant), Run(tenant)
    run.ask(budget, want=400)
    run.ask(budget, window=1, spent=100, ceiling=100)
    charged(tenant, budget, run, 130)
    add_charges()
    again = run.ask(budget, want=50)
    assert (again.spent, again.ceiling) == (130, 180)
    assert stands(budget) == (130, 180)


@pytest.mark.parametrize("seq", [2**63, -(2**63) - 1, 2**80])
def test_a_report_with_a_number_that_no_report_has_is_refused(tenant, seq):
    with pytest.raises(BadRequest):
        Run(tenant).report(seq=seq)


# who waits for whom


def blocked(pid):
    """Wait until a connection waits for a lock."""
    until, is_blocked = time.monotonic() + 20, False
    while not is_blocked and time.monotonic() < until:
        with connection.cursor() as cursor:
            cursor.execute("SELECT cardinality(pg_blocking_pids(%s)) > 0", [pid])
            is_blocked = cursor.fetchone()[0]
        time.sleep(0.01)
    assert is_blocked


class Beside:
    """Something that is done at the same time, on a connection of its own."""

    def __init__(self, pool, work):
        self._pid = pool.submit(self._begin).result(20)
        self._done = pool.submit(self._run, work)

    @staticmethod
    def _begin():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            return cursor.fetchone()[0]

    @staticmethod
    def _run(work):
        try:
            return work()
        finally:
            connection.close()

    def wait_blocked(self):
        blocked(self._pid)

    def result(self):
        return self._done.result(60)


@pytest.fixture
def pool():
    with ThreadPoolExecutor(1) as made:
        yield made


@pytest.mark.django_db(transaction=True)
def test_who_adds_charges_and_who_reports_do_not_wait_for_each_other(pool):
    tenant = make_tenant()
    budget, other, run = budget_of(tenant), budget_of(tenant), Run(tenant)
    run.ask(other, want=10)
    charged(tenant, budget, run, 20)
    with transaction.atomic():
        Budget.objects.select_for_update(of=("self",)).get(pk=budget.pk)
        beside = Beside(pool, lambda: run.ask(budget, want=10))
        beside.wait_blocked()
        add_charges()
    assert beside.result().status == "ok"
    assert stands(budget) == (20, 30)


@pytest.mark.django_db(transaction=True)
def test_who_makes_a_counter_holds_nothing_that_others_lock_before_it_has_its_turn(pool):
    tenant, policy = make_tenant(), uuid4()
    own = budget_of(tenant)
    base = budget_of(tenant, kind="policy", owner_id=policy)
    asks = [BudgetAsk(policy=str(policy), value_key="a:b", want=1), BudgetAsk(budget=str(own.pk), want=1)]
    run = Run(tenant)
    with transaction.atomic():
        Budget.objects.select_for_update(of=("self",)).get(pk=own.pk)
        beside = Beside(pool, lambda: run.report(*asks))
        beside.wait_blocked()
        hold_budgets(tenant.organisation.pk, [own.owner_id, policy])
    assert [answer.status for answer in beside.result()] == ["ok", "ok"]
    assert stands(base) == (0, 0)


@pytest.mark.django_db(transaction=True)
def test_a_workspace_is_deleted_while_gateways_report_of_its_budget(pool):
    tenant = make_tenant()
    workspace = Workspace.objects.create(organisation=tenant.organisation, name="Going", slug="going")
    budget = budget_of(tenant, kind="workspace", owner_id=workspace.pk, workspace=workspace)
    run = Run(tenant)
    run.ask(budget, want=10)
    with transaction.atomic():
        Budget.objects.select_for_update(of=("self",)).get(pk=budget.pk)
        beside = Beside(pool, workspace.delete)
        beside.wait_blocked()
        Lease.objects.filter(budget=budget).update(reported=5)
    beside.result()
    assert run.ask(budget, window=1, spent=5, ceiling=10).status == "gone"


# what is kept


LONG_AGO = timedelta(days=91)


def old_run(tenant, *budgets, ended=True, days=91):
    run = Run(tenant)
    for budget in budgets:
        run.ask(budget, want=10)
    run.report(*[BudgetAsk(budget=str(each.pk), window=1, spent=5, ceiling=10) for each in budgets], ended=ended)
    Holder.objects.filter(pk=run.boot).update(last_at=timezone.now() - timedelta(days=days))
    return run


def test_books_of_windows_that_are_over_are_not_kept_for_ever(tenant):
    lasting, monthly = budget_of(tenant), budget_of(tenant)
    gone, going_on, recent = (
        old_run(tenant, monthly), old_run(tenant, monthly, ended=False), old_run(tenant, monthly, days=89)
    )  # fmt: skip
    both = old_run(tenant, lasting, monthly)
    Budget.objects.filter(pk=monthly.pk).update(window=2, spent=0, committed=0)
    before = stands(lasting)
    assert leases.forget_old(timezone.now()) > 0
    kept = set(Lease.objects.values_list("holder", "budget"))
    assert kept == {
        (going_on.boot, monthly.pk), (recent.boot, monthly.pk), (both.boot, lasting.pk),
    }  # fmt: skip
    assert gone.boot not in set(Holder.objects.values_list("pk", flat=True))
    assert Holder.objects.count() == 3
    assert leases.forget_old(timezone.now()) == 0
    # What a run has spent of a window that goes on is never counted again.
    assert stands(lasting) == before
    assert both.ask(lasting, window=1, spent=5, ceiling=5).window == 1
    assert stands(lasting)[0] == before[0]


def test_counters_that_nobody_used_for_long_are_not_kept_for_ever(tenant):
    policy = uuid4()
    base = budget_of(tenant, kind="policy", owner_id=policy, periodic_reset="monthly")
    run = Run(tenant)
    names = ("used", "unused", "held", "told")
    answers = run.report(*[BudgetAsk(policy=str(policy), value_key=name, want=10) for name in names])
    budgets = dict(zip(names, (Budget.objects.get(pk=answer.budget) for answer in answers), strict=True))
    run.report(*[BudgetAsk(budget=str(each.pk), window=1, spent=5, ceiling=5) for each in budgets.values()], ended=True)
    Holder.objects.update(last_at=timezone.now() - LONG_AGO)
    Budget.objects.update(created_at=timezone.now() - LONG_AGO)
    unused = [budgets[name] for name in ("unused", "held", "told")]
    Budget.objects.filter(pk__in=[each.pk for each in unused]).update(window=2, spent=0, committed=0)
    BudgetEvent.objects.create(
        organisation=tenant.organisation, budget=budgets["told"], window=1, what="threshold", spent=5, limit=10
    )
    holding = Run(tenant)
    holding.ask(budgets["held"], want=10)
    run.boot = uuid4()
    fresh = run.report(BudgetAsk(policy=str(policy), value_key="fresh", want=10), ended=True)[0].budget
    Lease.objects.filter(budget=fresh).delete()
    Budget.objects.filter(pk=fresh).update(committed=0)
    leases.forget_old(timezone.now())
    left = set(Budget.objects.values_list("value_key", flat=True))
    assert left == {"", "used", "held", "told", "fresh"}
    assert stands(budgets["used"])[0] == 5
    assert base.pk in set(Budget.objects.values_list("pk", flat=True))
    # Whoever comes again has a counter again.
    assert holding.report(BudgetAsk(policy=str(policy), value_key="unused", want=10))[0].status == "ok"
