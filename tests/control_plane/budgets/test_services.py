"""What becomes of a budget when its limit is set, raised, reset or taken away."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from threading import Barrier, Thread

import pytest
from django.db import connection
from django.utils import timezone

from control_plane.budgets.models import KINDS, Budget, BudgetEvent
from control_plane.budgets.services import (
    BATCH,
    Wanted,
    budget_rows,
    clear_budgets,
    reset,
    reset_due,
    rows_among,
    set_budget,
    set_budgets,
    set_policy_budgets,
    write_off,
)
from control_plane.core.models import AuditEvent, OutboxEvent
from shared.ids import uuid7
from shared.money import NANO
from shared.schema.limits import BudgetRow
from tests.control_plane.budgets.budget_kit import hold, make_holder, spend
from tests.control_plane.factories import make_tenant

pytestmark = pytest.mark.django_db
every_kind = pytest.mark.parametrize("kind", [name for name, _ in KINDS])
OWNER = uuid7()


@pytest.fixture
def tenant():
    return make_tenant()


def say(tenant, limit, kind="api_key", owner_id=OWNER, name="n"):
    row = set_budget(kind, owner_id, organisation_id=tenant.organisation.pk, workspace_id=None, name=name, limits=limit)
    return row and Budget.objects.get(pk=row.pk)


def dollars(amount, **more):
    return {"type": "cost", "credit_limit": amount, **more}


def tokens(amount, **more):
    return {"type": "tokens", "credit_limit": amount, **more}


@every_kind
def test_a_limit_makes_a_budget_in_the_unit_that_is_counted(tenant, kind):
    row = say(tenant, dollars(2.5, alert_threshold=1), kind, name="Checkout")
    assert (row.kind, row.owner_id, row.name, row.value_key, row.unit) == (kind, OWNER, "Checkout", "", "cost")
    assert (row.limit, row.threshold, row.window, row.spent, row.next_reset_at) == (5 * NANO // 2, NANO, 1, 0, None)
    row = say(tenant, tokens(1000, alert_threshold=900), kind, uuid7())
    assert (row.unit, row.limit, row.threshold, row.window) == ("tokens", 1000, 900, 1)


@every_kind
def test_raising_and_lowering_a_limit_changes_where_it_stands_and_not_what_was_spent(tenant, kind):
    say(tenant, dollars(10), kind)
    spend(10 * NANO, kind)
    raised = say(tenant, dollars(20), kind)
    assert (raised.status, raised.spent, raised.window, raised.is_exhausted_alerts_sent) == (
        "active",
        10 * NANO,
        1,
        False,
    )
    lowered = say(tenant, dollars(5), kind)
    assert (lowered.status, lowered.spent, lowered.window) == ("exhausted", 10 * NANO, 1)
    assert list(BudgetEvent.objects.values_list("what", "number", "limit")) == [
        ("exhausted", 1, 10 * NANO), ("exhausted", 2, 5 * NANO),
    ]  # fmt: skip


@every_kind
def test_another_unit_begins_a_window_of_its_own(tenant, kind):
    say(tenant, dollars(10), kind)
    spend(10 * NANO, kind)
    row = say(tenant, tokens(1000), kind)
    assert (row.unit, row.limit, row.window, row.spent, row.committed, row.status) == (
        "tokens",
        1000,
        2,
        0,
        0,
        "active",
    )


def test_saying_the_same_again_changes_nothing(tenant):
    limit = dollars(10, periodic_reset="weekly", alert_threshold=8)
    first = say(tenant, limit)
    spend(9 * NANO, "api_key")
    again = say(tenant, limit)
    told = ("window", "next_reset_at", "limit", "threshold", "unit")
    assert [getattr(again, name) for name in told] == [getattr(first, name) for name in told]
    assert (again.spent, BudgetEvent.objects.count(), Budget.objects.count()) == (9 * NANO, 1, 1)


def test_without_a_limit_there_is_no_budget_and_one_that_there_was_limits_nothing(tenant):
    assert say(tenant, None) is None
    assert not Budget.objects.exists()
    say(tenant, dollars(10, alert_threshold=5))
    spend(10 * NANO, "api_key")
    row = say(tenant, None)
    assert (row.limit, row.threshold, row.status, row.spent) == (None, None, "active", 10 * NANO)
    assert budget_rows(tenant.organisation) == {}
    assert say(tenant, dollars(10)).status == "exhausted"


@pytest.mark.parametrize("limit", [{}, {"credit_limit": "10"}, {"type": "cost"}, {"credit_limit": 10, "unit": "x"}])
def test_a_limit_that_an_earlier_version_let_through_limits_nothing(tenant, limit):
    assert say(tenant, limit).limit is None


@pytest.mark.parametrize(("kind", "weekday"), [("api_key", 6), ("policy", 0)])
def test_weeks_begin_on_sunday_and_those_of_policies_on_monday(tenant, kind, weekday):
    at = say(tenant, dollars(10, periodic_reset="weekly"), kind).next_reset_at
    assert (at.weekday(), at.hour, timezone.now() < at <= timezone.now() + timedelta(days=7)) == (weekday, 0, True)


@every_kind
def test_another_period_sets_the_next_reset_and_none_takes_it_away(tenant, kind):
    assert say(tenant, dollars(10, periodic_reset="monthly"), kind).next_reset_at.day == 1
    midnight = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    row = say(tenant, dollars(10, periodic_reset_days=10), kind)
    assert (row.periodic_reset, row.periodic_reset_days, row.window) == (None, 10, 1)
    assert row.next_reset_at == midnight + timedelta(days=10)
    row = say(tenant, dollars(10), kind)
    assert (row.periodic_reset_days, row.next_reset_at) == (None, None)


def test_a_moment_that_is_named_is_taken_as_its_midnight_and_one_that_has_passed_changes_nothing(tenant):
    limit = dollars(10, periodic_reset_days=30)
    said = say(tenant, {**limit, "next_usage_reset_at": "2099-01-31T15:00:00+05:00"}).next_reset_at
    assert said == datetime(2099, 1, 31, tzinfo=UTC)
    spend(NANO, "api_key")
    for stale in ("2020-01-01T00:00:00Z", timezone.now() - timedelta(days=1)):
        row = say(tenant, {**limit, "next_usage_reset_at": stale})
        assert (row.next_reset_at, row.spent, row.window) == (said, NANO, 1)


def test_a_limit_that_is_set_when_a_window_is_over_begins_the_next_one_first(tenant):
    say(tenant, dollars(10, periodic_reset="weekly"))
    spend(10 * NANO, "api_key")
    Budget.objects.update(next_reset_at=timezone.now() - timedelta(seconds=1))
    row = say(tenant, dollars(20, periodic_reset="weekly"))
    assert (row.spent, row.window, row.next_reset_at > timezone.now()) == (0, 2, True)


def test_what_is_deleted_limits_nothing_and_is_reset_no_more(tenant):
    other = make_tenant()
    for each in (tenant, other):
        say(each, dollars(10, periodic_reset="weekly"))
    clear_budgets("api_key", OWNER, organisation_id=tenant.organisation.pk)
    gone, kept = (Budget.objects.get(organisation=each.organisation) for each in (tenant, other))
    assert (gone.limit, gone.next_reset_at, gone.periodic_reset) == (None, None, None)
    assert (kept.limit, kept.periodic_reset) == (10 * NANO, "weekly")


def test_one_person_has_a_budget_in_each_organisation_and_neither_touches_the_other(tenant):
    other = make_tenant()
    say(tenant, dollars(10), "user")
    say(other, tokens(500), "user")
    spend(NANO, "user", organisation=tenant.organisation)
    say(other, None, "user")
    row = Budget.objects.get(organisation=tenant.organisation)
    assert (row.limit, row.spent) == (10 * NANO, NANO)
    assert set(budget_rows(tenant.organisation)) == {("user", OWNER, None)}
    assert budget_rows(other.organisation) == {}


def test_many_are_set_in_as_many_queries_as_one(tenant, django_assert_num_queries):
    def wanted(count):
        return [Wanted("api_key", uuid7(), None, "n", dollars(5)) for _ in range(count)]

    few, many = wanted(1), wanted(40)
    for each in (few, many):
        with django_assert_num_queries(7):
            assert len(set_budgets(tenant.organisation.pk, each)) == len(each)


def test_a_reset_begins_a_window_and_is_told_in_the_trail(tenant):
    row = say(tenant, dollars(10, alert_threshold=5, periodic_reset="monthly"))
    spend(10 * NANO, "api_key")
    before = OutboxEvent.objects.count()
    again = reset(tenant.actor, row)
    kept = Budget.objects.get()
    assert (kept.spent, kept.committed, kept.window, kept.status) == (0, 0, 2, "active")
    assert (kept.is_threshold_alerts_sent, kept.is_exhausted_alerts_sent) == (False, False)
    assert (again.window, kept.last_reset_at is not None, kept.next_reset_at) == (2, True, row.next_reset_at)
    event = AuditEvent.objects.get(resource_id=str(row.pk))
    assert (event.action, event.before["current_usage"], event.before["status"]) == ("reset", 10, "exhausted")
    assert (event.after["current_usage"], event.after["status"]) == (0, "active")
    assert OutboxEvent.objects.count() == before + 1


def test_a_month_ends_at_its_first_midnight_and_not_before(tenant):
    limit = dollars(10, periodic_reset="monthly", next_usage_reset_at="2099-02-01T00:00:00Z")
    say(tenant, limit)
    spend(7 * NANO, "api_key")
    first = datetime(2099, 2, 1, tzinfo=UTC)
    assert reset_due(first - timedelta(microseconds=1)) == 0
    assert Budget.objects.get().spent == 7 * NANO
    assert reset_due(first) == 1
    row = Budget.objects.get()
    assert (row.spent, row.window, row.last_reset_at, row.next_reset_at) == (
        0,
        2,
        first,
        datetime(2099, 3, 1, tzinfo=UTC),
    )
    assert reset_due(first) == 0
    assert Budget.objects.get().window == 2


def test_more_windows_than_one_batch_end_at_once(tenant, monkeypatch):
    monkeypatch.setattr("control_plane.budgets.services.BATCH", 3)
    at = "2099-02-01T00:00:00Z"
    for _ in range(7):
        say(tenant, dollars(10, periodic_reset="monthly", next_usage_reset_at=at), owner_id=uuid7())
    assert BATCH > 3
    assert reset_due(datetime(2099, 2, 1, tzinfo=UTC)) == 7
    assert set(Budget.objects.values_list("window", flat=True)) == {2}


@pytest.mark.django_db(transaction=True)
def test_two_who_end_windows_at_once_end_each_only_once():
    tenant = make_tenant()
    for _ in range(20):
        say(tenant, dollars(10, periodic_reset="monthly", next_usage_reset_at="2099-02-01T00:00:00Z"), owner_id=uuid7())
    start, done = Barrier(2), []

    def end():
        start.wait(10)
        try:
            done.append(reset_due(datetime(2099, 2, 1, tzinfo=UTC)))
        finally:
            connection.close()

    threads = [Thread(target=end) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (len(done), sum(done)) == (2, 20)
    assert set(Budget.objects.values_list("window", flat=True)) == {2}


def policy(limit, owner_id=OWNER):
    return Wanted("policy", owner_id, None, "p", limit)


def counter(tenant, base, value_key, spent):
    copied = {name: getattr(base, name) for name in ("limit", "threshold", "unit", "periodic_reset", "next_reset_at")}
    return Budget.objects.create(
        organisation=tenant.organisation, kind="policy", owner_id=base.owner_id, value_key=value_key, spent=spent,
        committed=spent, **copied,
    )  # fmt: skip


def test_the_counters_of_a_policy_follow_its_limit(tenant):
    base = set_policy_budgets(policy(dollars(Decimal(10))), tenant.organisation.pk)
    alice, bob = (counter(tenant, base, f"metadata._user:{name}", spent * NANO) for name, spent in (("a", 3), ("b", 8)))
    apart = set_policy_budgets(policy(dollars(Decimal(10)), uuid7()), tenant.organisation.pk)
    lower = dollars(Decimal(6), alert_threshold=Decimal(2), periodic_reset="weekly")
    base = set_policy_budgets(policy(lower), tenant.organisation.pk)
    for row in (alice, bob, apart):
        row.refresh_from_db()
    assert [(row.limit, row.status, row.is_threshold_alerts_sent) for row in (alice, bob)] == [
        (6 * NANO, "active", True), (6 * NANO, "exhausted", True),
    ]  # fmt: skip
    assert base.next_reset_at == alice.next_reset_at == bob.next_reset_at
    assert (alice.periodic_reset, apart.limit, base.spent) == ("weekly", 10 * NANO, 0)
    set_policy_budgets(policy(dollars(Decimal(9))), tenant.organisation.pk)
    bob.refresh_from_db()
    assert (bob.status, bob.is_exhausted_alerts_sent, bob.spent) == ("active", False, 8 * NANO)
    set_policy_budgets(policy(None), tenant.organisation.pk)
    bob.refresh_from_db()
    assert (bob.limit, bob.status) == (None, "active")


def test_a_counter_whose_window_is_over_is_reset_before_it_follows(tenant):
    base = set_policy_budgets(policy(dollars(Decimal(10), periodic_reset="weekly")), tenant.organisation.pk)
    row = counter(tenant, base, "model:m", 9 * NANO)
    Budget.objects.update(next_reset_at=timezone.now() - timedelta(seconds=1))
    base = set_policy_budgets(policy(dollars(Decimal(20), periodic_reset="weekly")), tenant.organisation.pk)
    row.refresh_from_db()
    assert (row.spent, row.window, row.limit, row.next_reset_at) == (0, 2, 20 * NANO, base.next_reset_at)


def test_gateways_get_the_budgets_that_limit_something_but_not_those_of_policies(tenant, django_assert_num_queries):
    other, mine = make_tenant(), say(tenant, tokens(500))
    say(other, dollars(10))
    say(tenant, dollars(10), "policy")
    say(tenant, None, "user")
    with django_assert_num_queries(1):
        found = budget_rows(tenant.organisation)
    row = BudgetRow(str(mine.pk), "api_key", "tokens")
    assert found == {("api_key", OWNER, None): row}
    assert rows_among(found, ("user", OWNER, None), ("api_key", OWNER, None)) == (row,)


def test_what_a_lost_gateway_held_is_given_back_and_told_in_the_trail_of_each_organisation(tenant):
    other, holder = make_tenant(), make_holder()
    mine, theirs = say(tenant, dollars(10)), say(other, tokens(500))
    hold(holder, mine, 4 * NANO, spent=NANO)
    hold(holder, theirs, 100)
    assert write_off(tenant.actor, holder) == 2
    mine.refresh_from_db()
    theirs.refresh_from_db()
    assert [(row.spent, row.committed) for row in (mine, theirs)] == [(NANO, NANO), (0, 0)]
    holder.refresh_from_db()
    assert (holder.is_open, holder.is_settled) == (False, True)
    told = {event.organisation_id: event for event in AuditEvent.objects.filter(action="write_off")}
    assert {each: [held["given_back"] for held in event.before["held"]] for each, event in told.items()} == {
        tenant.organisation.pk: [3 * NANO], other.organisation.pk: [100],
    }  # fmt: skip
