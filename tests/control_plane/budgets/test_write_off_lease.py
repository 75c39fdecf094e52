"""`write_off_lease`."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from control_plane.budgets.models import Budget
from control_plane.core.models import AuditEvent
from shared.ids import uuid7
from tests.control_plane.budgets.budget_kit import hold, make_holder
from tests.control_plane.factories import make_key, make_tenant

pytestmark = pytest.mark.django_db


def write_off(holder_id):
    told = StringIO()
    call_command("write_off_lease", str(holder_id), stdout=told)
    return told.getvalue()


@pytest.fixture
def budget():
    make_key(make_tenant(), usage_limits={"type": "tokens", "credit_limit": 1000})
    return Budget.objects.get()


def test_a_gateway_that_is_gone_gives_back_what_it_held(budget):
    holder = make_holder(silent_for=timedelta(hours=1))
    hold(holder, budget, 600)
    assert write_off(holder.pk) == "gw-1: what it held of 1 budgets was given back.\n"
    assert Budget.objects.get().committed == 0
    event = AuditEvent.objects.get(action="write_off")
    assert (event.organisation_id, event.resource_id, event.actor_kind) == (
        budget.organisation_id,
        str(holder.pk),
        "system",
    )
    with pytest.raises(CommandError, match="no run"):
        write_off(holder.pk)


def test_a_gateway_that_may_be_spending_keeps_what_it_holds(budget):
    holder = make_holder()
    hold(holder, budget, 600)
    with pytest.raises(CommandError, match="stop it first"):
        write_off(holder.pk)
    assert Budget.objects.get().committed == 600


def test_a_run_that_nobody_knows_is_refused():
    with pytest.raises(CommandError, match="no run"):
        write_off(uuid7())
