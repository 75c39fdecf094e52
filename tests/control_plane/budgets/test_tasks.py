"""Background work on budgets."""

from datetime import timedelta

import pytest
from django.utils import timezone

from control_plane.budgets.charges import store_charges
from control_plane.budgets.leases import KEPT, SILENCE
from control_plane.budgets.models import Budget, Charge
from control_plane.budgets.tasks import BEAT_SCHEDULE, add_charges, forget_old, reset_due, settle_silent
from tests.control_plane.budgets.budget_kit import hold, make_holder, spend
from tests.control_plane.factories import make_key, make_tenant

LIMIT = {"type": "tokens", "credit_limit": 1000, "periodic_reset": "weekly"}


@pytest.fixture
def budget(db):
    make_key(make_tenant(), usage_limits=LIMIT)
    return Budget.objects.get()


def test_windows_that_are_over_end(budget):
    spend(5, "api_key")
    assert reset_due() == 0
    Budget.objects.update(next_reset_at=timezone.now() - timedelta(seconds=1))
    assert (reset_due(), reset_due()) == (1, 0)
    assert Budget.objects.get().spent == 0


def test_what_records_took_is_booked(budget):
    holder = make_holder()
    store_charges([(budget.organisation_id, budget.pk, budget.window, holder.pk, 7)])
    assert (add_charges(), add_charges()) == (1, 0)
    assert (Budget.objects.get().spent, Charge.objects.count()) == (7, 0)


def test_what_a_silent_gateway_holds_is_given_back_and_of_others_it_is_not(budget):
    hold(make_holder(), budget, 100)
    assert settle_silent() == 0
    budget.refresh_from_db()
    hold(make_holder(silent_for=SILENCE + timedelta(minutes=1)), budget, 200)
    assert settle_silent() == 1
    assert Budget.objects.get().committed == 100


def test_what_nobody_needs_any_more_is_forgotten(budget):
    make_holder(silent_for=KEPT + timedelta(days=1))
    assert (settle_silent(), forget_old(), forget_old()) == (1, 1, 0)


def test_beat_names_the_tasks_as_they_are_registered():
    tasks = (reset_due, add_charges, settle_silent, forget_old)
    assert {entry["task"] for entry in BEAT_SCHEDULE.values()} == {task.name for task in tasks}
