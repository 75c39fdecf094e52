"""Everybody concerned is told of an event, nobody twice."""

import threading

import pytest
from django.db import DatabaseError, connection, transaction

from control_plane.alerts import dispatch as dispatching
from control_plane.alerts.dispatch import MOST_PEOPLE, dispatch
from control_plane.alerts.models import Delivery
from control_plane.alerts.services import update_destination
from control_plane.budgets.models import BudgetEvent
from control_plane.core.models import AuditEvent
from control_plane.orgs.services import add_workspace_user
from shared.ids import uuid7
from shared.money import NANO
from tests.control_plane.alerts.alert_kit import make_budget, make_destination, spend
from tests.control_plane.factories import make_key, make_member, make_tenant, make_workspace

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenant():
    return make_tenant()


def told():
    """(channel, target) of every delivery."""
    return sorted(Delivery.objects.values_list("channel", "target"))


def trail(tenant):
    return list(AuditEvent.objects.filter(organisation_id=tenant.organisation.pk, resource_type="budget"))


def test_the_threshold_and_the_end_are_told_once_each_and_stand_in_the_trail(tenant):
    make_member(tenant, "owner", "owner@example.com")
    budget = make_budget(tenant)
    spend(budget, 79 * NANO)
    assert dispatch() == 0
    spend(budget, 80 * NANO)
    spend(budget, 90 * NANO)
    assert [dispatch(), dispatch()] == [1, 0]
    spend(budget, 101 * NANO)
    assert [dispatch(), dispatch()] == [1, 0]
    found = [(row.target, row.message["type"]) for row in Delivery.objects.order_by("pk")]
    assert found == [("owner@example.com", "budget.threshold"), ("owner@example.com", "budget.exhausted")]
    first, second = sorted(trail(tenant), key=lambda row: row.after["spent"])
    assert (first.action, first.actor_kind, first.resource_id) == ("reach_threshold", "system", str(budget.pk))
    assert (first.after["spent"], first.after["limit"], first.after["told"]) == (80, 100, 1)
    assert (second.action, second.after["kind"], second.after["spent"]) == ("exhaust", "workspace", 101)


def test_a_raise_that_is_used_up_too_is_told_again(tenant):
    make_destination(tenant)
    budget = make_budget(tenant, threshold=None)
    spend(budget, 100 * NANO)
    dispatch()
    budget.limit = 200 * NANO
    spend(budget, 120 * NANO)
    spend(budget, 200 * NANO)
    assert dispatch() == 1
    assert Delivery.objects.count() == 2


def test_a_keys_alerts_go_to_the_addresses_that_it_names_and_to_nobody_else(tenant):
    make_member(tenant, "owner", "owner@example.com")
    key = make_key(tenant, alert_emails=["Team@example.com", "team@example.com", "b@example.com"]).row
    spend(make_budget(tenant, "api_key", owner_id=key.pk, workspace=tenant.workspace), 100 * NANO)
    assert dispatch() == 2
    assert set(told()) == {("email", "team@example.com"), ("email", "b@example.com")}
    assert Delivery.objects.count() == 4


def test_a_key_that_names_no_addresses_is_told_of_to_owners_and_admins(tenant):
    make_member(tenant, "owner", "owner@example.com")
    make_member(tenant, "member", "member@example.com")
    spend(make_budget(tenant, "api_key", owner_id=make_key(tenant).row.pk, threshold=None), 100 * NANO)
    dispatch()
    assert told() == [("email", "owner@example.com")]


def test_the_addresses_of_another_organisations_key_are_not_used(tenant):
    key = make_key(make_tenant("Other"), alert_emails=["stranger@example.com"]).row
    spend(make_budget(tenant, "api_key", owner_id=key.pk, threshold=None), 100 * NANO)
    dispatch()
    assert told() == []


def test_owners_admins_and_the_workspaces_admins_are_told_if_they_are_active(tenant):
    other = make_workspace(tenant, "Other")
    make_member(make_tenant("Elsewhere"), "owner", "elsewhere@example.com")
    gone = make_member(tenant, "owner", "gone@example.com")
    gone.is_active = False
    gone.save()
    for address, role, workspace_role, home in (
        ("owner@example.com", "owner", None, None),
        ("admin@example.com", "admin", "admin", tenant.workspace),
        ("lead@example.com", "member", "admin", tenant.workspace),
        ("worker@example.com", "member", "member", tenant.workspace),
        ("neighbour@example.com", "member", "admin", other),
    ):
        user = make_member(tenant, role, address)
        if home:
            add_workspace_user(tenant.actor, home, user.pk, workspace_role)
    spend(make_budget(tenant, workspace=tenant.workspace, threshold=None), 100 * NANO)
    dispatch()
    assert told() == [("email", f"{name}@example.com") for name in ("admin", "lead", "owner")]


def test_a_policy_is_told_of_where_somebody_asked_for_it_and_in_the_trail_only(tenant):
    make_member(tenant, "owner", "owner@example.com")
    row = make_destination(tenant)
    spend(make_budget(tenant, "policy", value_key="metadata._user:alice", threshold=None), 100 * NANO)
    dispatch()
    assert told() == [("webhook", str(row.pk))]
    assert trail(tenant)[0].after["counter"] == "metadata._user:alice"


def test_destinations_are_told_of_what_they_asked_for_of_their_own_workspace_or_of_all(tenant):
    other = make_workspace(tenant, "Other")
    everything = make_destination(tenant)
    own = make_destination(tenant, tenant.workspace, type="slack")
    make_destination(tenant, other)
    make_destination(tenant, events=["threshold"])
    make_destination(tenant, enabled=False)
    make_destination(make_tenant("Other"))
    spend(make_budget(tenant, workspace=tenant.workspace, threshold=None), 100 * NANO)
    dispatch()
    assert told() == sorted([("webhook", str(everything.pk)), ("slack", str(own.pk))])


def test_what_belongs_to_no_workspace_is_told_to_no_workspace(tenant):
    make_destination(tenant, tenant.workspace)
    spend(make_budget(tenant, "organisation", threshold=None), 100 * NANO)
    dispatch()
    assert told() == []


def test_an_address_that_is_also_a_destination_gets_one_message(tenant):
    make_member(tenant, "owner", "owner@example.com")
    row = make_destination(tenant, type="email", address="Owner@example.com")
    make_destination(tenant, type="email", address="owner@example.com")
    spend(make_budget(tenant, threshold=None), 100 * NANO)
    dispatch()
    assert told() == [("email", "owner@example.com")]
    assert Delivery.objects.get().destination_id == row.pk


def test_so_many_people_are_told_and_no_more(tenant):
    addresses = [f"p{n}@example.com" for n in range(MOST_PEOPLE + 5)]
    key = make_key(tenant).row
    type(key).objects.filter(pk=key.pk).update(alert_emails=addresses)
    spend(make_budget(tenant, "api_key", owner_id=key.pk, threshold=None), 100 * NANO)
    dispatch()
    assert Delivery.objects.count() == MOST_PEOPLE


def test_an_event_without_anybody_to_tell_stands_in_the_trail(tenant):
    spend(make_budget(tenant, threshold=None), 100 * NANO)
    assert dispatch() == 1
    assert [row.after["told"] for row in trail(tenant)] == [0]


def test_an_event_that_cannot_be_stored_is_kept_and_keeps_no_other_waiting(tenant, monkeypatch):
    make_destination(tenant)
    (bad,) = spend(make_budget(tenant, threshold=None), 100 * NANO)
    (good,) = spend(make_budget(tenant, threshold=None), 100 * NANO)
    record = dispatching.audit.record

    def fail_for_one(actor, action, row, **facts):
        if row.pk == bad.budget_id:
            raise DatabaseError
        return record(actor, action, row, **facts)

    with monkeypatch.context() as patch:
        patch.setattr(dispatching.audit, "record", fail_for_one)
        assert dispatch() == 1
    assert list(Delivery.objects.values_list("event_id", flat=True)) == [good.pk]
    assert dispatch() == 1
    assert Delivery.objects.filter(event=bad).count() == 1


def test_a_destination_made_later_is_not_told_of_what_was(tenant):
    spend(make_budget(tenant, threshold=None), 100 * NANO)
    dispatch()
    make_destination(tenant)
    assert dispatch() == 0
    assert told() == []


def test_an_enabled_again_destination_is_told_of_what_comes(tenant):
    row = make_destination(tenant, enabled=False)
    update_destination(tenant.actor, row, {"enabled": True})
    spend(make_budget(tenant, threshold=None), 100 * NANO)
    dispatch()
    assert told() == [("webhook", str(row.pk))]


def in_threads(work, count):
    """Do the same in several threads at once; return what each returned."""
    found, start = [], threading.Barrier(count)

    def run():
        start.wait()
        try:
            found.append(work())
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == count
    return found


@pytest.mark.django_db(transaction=True)
def test_several_at_once_tell_each_event_once():
    tenant = make_tenant()
    make_destination(tenant)
    for _ in range(6):
        spend(make_budget(tenant, owner_id=uuid7()), 100 * NANO)
    assert sum(in_threads(dispatch, 4)) == 12
    assert Delivery.objects.count() == 12
    assert len(trail(tenant)) == 12
    assert not BudgetEvent.objects.filter(is_dispatched=False).exists()


@pytest.mark.django_db(transaction=True)
def test_an_event_that_another_is_at_is_left_to_it():
    tenant = make_tenant()
    make_destination(tenant)
    spend(make_budget(tenant, threshold=None), 100 * NANO)
    with transaction.atomic():
        BudgetEvent.objects.select_for_update().get()
        assert in_threads(dispatch, 1) == [0]
    assert dispatch() == 1
