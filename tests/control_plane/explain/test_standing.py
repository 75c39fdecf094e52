"""Where limits stand, now, then and later, and which refuses first."""

from datetime import timedelta

import pytest
from django.utils import timezone

from control_plane.budgets.models import Budget
from control_plane.core.limits import next_reset
from control_plane.explain import standing as module
from control_plane.explain.standing import left_of
from control_plane.explain.windows import hour_at, window_of
from control_plane.logs.models import LogFloor
from shared.money import NANO
from tests.control_plane.explain.explain_kit import (
    HOUR,
    ask,
    counter,
    found,
    key_and_provider,
    make_budget,
    rate_policy,
    ship,
    us,
    usage_policy,
)
from tests.control_plane.factories import make_key, make_tenant

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


@pytest.fixture
def tenant():
    return make_tenant()


@pytest.fixture
def budget(tenant):
    used = {"spent": 4 * NANO, "reserved": NANO}
    return make_budget(tenant, "workspace", tenant.workspace.pk, workspace=tenant.workspace, **used)


def set_rates(row, *rates):
    row.rate_limits = [{"type": kind, "unit": unit, "value": value} for kind, unit, value in rates]
    row.save()


def stands(tenant, level="workspace", what="budget", unit=None, **query):
    return found(ask(tenant, **query), level, what, unit)


def at(moment):
    return moment.isoformat().replace("+00:00", "Z")


def test_a_budget_stands_now_as_it_says_itself(tenant, budget):
    rule, standing = stands(tenant)
    assert (standing.used, standing.reserved, standing.status, standing.reason) == (4 * NANO, NANO, "active", None)
    assert left_of(rule, standing) == 6 * NANO


@pytest.mark.parametrize(("reserved", "reason"), [(6 * NANO, module.ALL_HELD), (6 * NANO - 1, None)])
def test_it_is_said_when_gateways_hold_all_that_is_left(tenant, budget, reserved, reason):
    Budget.objects.update(committed=4 * NANO + reserved)
    _, standing = stands(tenant)
    assert (standing.used, standing.reason) == (4 * NANO, reason)


def test_before_the_next_reset_the_same_window_holds(tenant, budget):
    resets = timezone.now() + 2 * DAY
    Budget.objects.update(next_reset_at=resets, periodic_reset_days=7)
    _, standing = stands(tenant, at=at(timezone.now() + DAY))
    assert (standing.used, standing.resets_at) == (4 * NANO, resets)


def test_of_a_window_that_has_not_begun_nothing_is_known(tenant, budget):
    Budget.objects.update(next_reset_at=timezone.now() + DAY, periodic_reset="monthly")
    moment = timezone.now() + 3 * DAY
    _, standing = stands(tenant, at=at(moment))
    assert (standing.used, standing.status, standing.reason) == (None, None, module.NOT_BEGUN)
    assert standing.resets_at == next_reset(moment, "monthly", None, weekday=6)


@pytest.mark.parametrize(("kind", "weekday"), [("workspace", 6), ("policy", 0)])
def test_a_window_that_is_over_and_not_booked_yet_counts_as_begun(tenant, kind, weekday):
    if kind == "policy":
        policy = usage_policy(tenant, periodic_reset="weekly")
        counter(tenant, policy, "metadata._user:ada", 7)
    else:
        make_budget(tenant, kind, tenant.workspace.pk, workspace=tenant.workspace, spent=5, periodic_reset="weekly")
    Budget.objects.update(next_reset_at=timezone.now() - timedelta(seconds=1), periodic_reset="weekly")
    _, standing = stands(tenant, kind, metadata='{"team": "search", "_user": "ada"}')
    assert (standing.used, standing.reserved, standing.status) == (0, 0, "active")
    assert standing.resets_at.weekday() == weekday


def test_in_the_past_what_came_later_was_not_used_yet(tenant, budget):
    then = timezone.now() - 3 * HOUR
    ship(tenant, {"ts_us": us(then - HOUR), "cost_nano": NANO}, {"ts_us": us(then + HOUR), "cost_nano": 3 * NANO},
         {"cost_nano": NANO // 2})  # fmt: skip
    _, standing = stands(tenant, at=at(then))
    assert (standing.used, standing.reserved, standing.status) == (NANO // 2, None, "active")


def test_a_budget_that_was_raised_since_was_not_exhausted_by_what_holds_now(tenant, budget):
    Budget.objects.update(spent=12 * NANO, committed=12 * NANO, status="exhausted")
    ship(tenant, {"cost_nano": 5 * NANO})
    _, now = stands(tenant)
    _, then = stands(tenant, at=at(timezone.now() - HOUR))
    assert (now.status, then.status, then.used) == ("exhausted", "active", 7 * NANO)


def test_what_was_used_before_a_reset_is_not_known(tenant, budget):
    Budget.objects.update(last_reset_at=timezone.now() - HOUR)
    _, standing = stands(tenant, at=at(timezone.now() - 2 * HOUR))
    assert (standing.used, standing.reason) == (None, module.BEFORE_RESET)


def test_what_was_used_before_records_were_dropped_is_not_known(tenant, budget):
    then = hour_at(timezone.now()) - 2 * HOUR + HOUR / 2
    LogFloor.objects.create(day=(timezone.now() + DAY).date())
    _, standing = stands(tenant, at=at(then))
    assert (standing.used, standing.reason) == (None, module.RECORDS_GONE)
    # Of whole hours the ledger knows for ever.
    _, standing = stands(tenant, at=at(hour_at(then)))
    assert standing.used == 4 * NANO


def test_what_a_policy_had_counted_is_not_known(tenant):
    counter(tenant, usage_policy(tenant), "metadata._user:ada", 70)
    Budget.objects.update(created_at=timezone.now() - DAY)
    asked = {"metadata": '{"team": "search", "_user": "ada"}'}
    assert stands(tenant, "policy", **asked)[1].used == 70
    _, standing = stands(tenant, "policy", at=at(timezone.now() - HOUR), **asked)
    assert (standing.used, standing.reason) == (None, module.NOT_THEN)


def test_a_group_in_which_nobody_was_has_used_nothing(tenant):
    counter(tenant, usage_policy(tenant), "metadata._user:ada", 70)
    _, standing = stands(tenant, "policy", metadata='{"team": "search", "_user": "eve"}')
    assert (standing.used, standing.status) == (0, "active")


@pytest.mark.parametrize("unit", ["rpm", "rph", "rpd", "rpw"])
def test_a_rate_has_used_what_was_recorded_in_its_window(tenant, unit):
    set_rates(tenant.workspace, ("requests", unit, 10), ("tokens", unit, 10_000))
    now = timezone.now()
    start, end = window_of(unit, now)
    ship(tenant, {"ts_us": us(now) - 1}, {"ts_us": us(start)}, {"ts_us": us(start) - 1}, {"ts_us": us(end)})
    rules = {rule.type: standing for rule, standing in zip(*_both(ask(tenant, at=at(now))), strict=True)}
    assert (rules["requests"].used, rules["tokens"].used) == (2, 2 * 1540)
    assert rules["requests"].resets_at == end


def _both(explanation):
    return explanation.rules, explanation.standings


def test_a_rate_in_the_past_counts_up_to_that_moment(tenant):
    set_rates(tenant.workspace, ("requests", "rph", 10), ("requests", "rpm", 10))
    then = hour_at(timezone.now()) - HOUR + timedelta(minutes=10, seconds=30)
    ship(tenant, *({"ts_us": us(then + timedelta(seconds=offset))} for offset in (-20, -40, 1, 60)))
    assert stands(tenant, what="rate", unit="rph", at=at(then))[1].used == 2
    assert stands(tenant, what="rate", unit="rpm", at=at(then))[1].used == 1


def test_a_rate_in_a_window_to_come_is_not_known(tenant):
    set_rates(tenant.workspace, ("requests", "rpm", 10), ("requests", "rpw", 10))
    ship(tenant, {})
    soon, end = timezone.now() + timedelta(seconds=90), window_of("rpw", timezone.now())[1]
    _, minute = stands(tenant, what="rate", unit="rpm", at=at(soon))
    assert (minute.used, minute.reason, minute.resets_at) == (None, module.NOT_BEGUN, window_of("rpm", soon)[1])
    _, week = stands(tenant, what="rate", unit="rpw", at=at(end - timedelta(microseconds=1)))
    assert (week.used, week.resets_at) == (1, end)


def test_each_owners_rate_counts_its_own_records(tenant):
    key, saved = key_and_provider(tenant)
    for row in (tenant.organisation, tenant.workspace, key, saved, saved.integration):
        set_rates(row, ("requests", "rpw", 10))
    account = {"integration": str(saved.integration_id), "virtual_key": "main"}
    ship(tenant, {"api_key": str(key.pk), **account}, {**account}, {"api_key": str(key.pk)}, {})
    explanation = ask(tenant, api_key=str(key.pk), model="@main/gpt-4o")
    used = {rule.owner.level: standing.used for rule, standing in zip(*_both(explanation), strict=True)}
    assert used == {"organisation": 4, "workspace": 4, "api_key": 2, "integration": 2, "virtual_key": 2}


def test_the_rate_of_a_policy_says_when_it_cannot_be_told(tenant):
    rate_policy(tenant, unit="rpd")
    _, standing = stands(tenant, "policy", "rate", metadata='{"team": "search"}')
    assert (standing.used, standing.reason) == (None, module.TOO_MANY)


def test_the_pace_is_that_of_the_last_day(tenant, budget):
    then = hour_at(timezone.now()) - 2 * HOUR
    ship(tenant, {"ts_us": us(then), "cost_nano": 3 * NANO}, {"ts_us": us(then - 25 * HOUR), "cost_nano": 90 * NANO})
    _, standing = stands(tenant)
    assert 3 * NANO / 25 <= standing.pace <= 3 * NANO / 24
    hours = 6 * NANO / standing.pace
    assert abs(standing.exhausted_at - timezone.now() - hours * HOUR) < timedelta(minutes=1)


def test_what_is_reset_before_is_never_used_up(tenant, budget):
    ship(tenant, {"cost_nano": NANO})
    Budget.objects.update(next_reset_at=timezone.now() + HOUR, periodic_reset="weekly")
    assert stands(tenant)[1].exhausted_at is None


def test_what_nobody_uses_is_never_used_up(tenant, budget):
    assert (stands(tenant)[1].pace, stands(tenant)[1].exhausted_at) == (0, None)


def test_what_is_used_up_in_centuries_is_never_used_up(tenant, budget):
    ship(tenant, {"cost_nano": 1000})
    assert stands(tenant)[1].exhausted_at is None


def test_the_pace_of_a_policys_group_is_that_of_its_window(tenant):
    counter(tenant, usage_policy(tenant), "metadata._user:ada", 70)
    Budget.objects.update(last_reset_at=timezone.now() - 10 * HOUR)
    _, standing = stands(tenant, "policy", metadata='{"team": "search", "_user": "ada"}')
    assert abs(standing.pace - 7) < 0.1


def first(tenant, **query):
    explanation = ask(tenant, **query)
    place, why = explanation.first
    rule = explanation.rules[place]
    return rule.owner.level, rule.what, why


def test_what_refuses_already_refuses_first(tenant, budget):
    ship(tenant, {"cost_nano": 5 * NANO})
    make_budget(tenant, "organisation", tenant.organisation.pk, dollars=1000, spent=0, status="exhausted")
    assert first(tenant) == ("organisation", "budget", "it refuses calls at that time")


def test_a_full_rate_refuses_first(tenant, budget):
    set_rates(tenant.workspace, ("requests", "rpw", 1))
    ship(tenant, {"cost_nano": 1})
    assert first(tenant)[:2] == ("workspace", "rate")


def test_then_what_is_used_up_first_at_this_pace(tenant, budget):
    """The organisation has a smaller part left, and is used up later."""
    make_budget(tenant, "organisation", tenant.organisation.pk, dollars=100_000, spent=90_000 * NANO)
    ship(tenant, {"cost_nano": NANO})
    level, what, why = first(tenant)
    assert (level, what, "used up before" in why) == ("workspace", "budget", True)


def test_then_what_has_the_smallest_part_left(tenant, budget):
    make_budget(tenant, "organisation", tenant.organisation.pk, dollars=100, spent=90 * NANO)
    level, _, why = first(tenant)
    assert (level, "smallest part" in why) == ("organisation", True)


def test_what_is_not_known_and_what_does_not_hold_is_never_first(tenant):
    usage_policy(tenant, value="other")
    rate_policy(tenant, unit="rpd")
    assert ask(tenant, metadata='{"team": "search"}').first is None
    assert ask(tenant).first is None


def test_the_work_does_not_grow_with_what_was_recorded(tenant, budget, django_assert_max_num_queries):
    key = make_key(tenant).row
    for row in (tenant.organisation, tenant.workspace, key):
        set_rates(row, ("requests", "rpm", 100), ("tokens", "rpw", 100))
    rate_policy(tenant)
    ship(tenant, *[{"api_key": str(key.pk)}] * 30)
    with django_assert_max_num_queries(24):
        ask(tenant, api_key=str(key.pk), metadata='{"team": "search"}')
