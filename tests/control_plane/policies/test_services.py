"""Policies: what is kept, what cannot be changed, and what becomes of usage."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from control_plane.budgets.models import Budget
from control_plane.budgets.services import reset
from control_plane.budgets.usage import next_reset_of
from control_plane.core.errors import Invalid
from control_plane.core.models import AuditEvent, OutboxEvent
from control_plane.orgs.services import delete_workspace, resources_of
from control_plane.policies.models import RateLimitPolicy, UsageLimitPolicy
from control_plane.policies.services import (
    archive_policy,
    create_rate_policy,
    create_usage_policy,
    update_rate_policy,
    update_usage_policy,
)
from tests.control_plane.factories import make_tenant, make_workspace

pytestmark = pytest.mark.django_db

NANO = 1_000_000_000
BUDGET = {
    "conditions": [{"key": "model", "value": "*"}],
    "group_by": [{"key": "metadata._user"}],
    "type": "cost",
    "credit_limit": Decimal(10),
}
RATE = {**BUDGET, "type": "requests", "unit": "rpm", "value": Decimal(5)}


@pytest.fixture
def tenant():
    return make_tenant()


def budget(tenant, workspace=None, **given):
    return create_usage_policy(tenant.actor, workspace, {**BUDGET, **given})


def use(policy, value_key="metadata._user:alice", used=0, **columns):
    home = {"organisation_id": policy.organisation_id, "workspace_id": policy.workspace_id}
    counted = {"limit": policy.credit_limit, "unit": policy.type, "spent": used, "committed": used}
    named = {"kind": "policy", "owner_id": policy.pk, "value_key": value_key}
    return Budget.objects.create(**home, **named, **counted, **columns)


def counters():
    return Budget.objects.filter(kind="policy").exclude(value_key="")


def next_reset(row):
    told = next_reset_of(row)
    return told and datetime.fromisoformat(told)


def test_cost_is_stored_in_nano_dollars_and_a_count_as_it_is(tenant):
    row = budget(tenant, credit_limit=Decimal("10.000000001"), alert_threshold=Decimal("0.1"))
    assert (row.credit_limit, row.alert_threshold) == (10 * NANO + 1, NANO // 10)
    row = budget(tenant, type="requests", credit_limit=Decimal(3), alert_threshold=Decimal(2))
    assert (row.credit_limit, row.alert_threshold) == (3, 2)


def test_the_most_that_may_be_spent_can_be_stored(tenant):
    assert UsageLimitPolicy.objects.get(pk=budget(tenant, credit_limit=Decimal(10**9)).pk).credit_limit == 10**18


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"credit_limit": Decimal("0.5")}, "credit_limit"), ({"type": "tokens", "credit_limit": Decimal(99)}, "credit_limit"),
        ({"type": "tokens", "credit_limit": Decimal("100.5")}, "credit_limit"), ({"alert_threshold": Decimal(10)}, "alert_threshold"),
        ({"alert_threshold": Decimal(0)}, "alert_threshold"), ({"periodic_reset": "weekly", "periodic_reset_days": 3}, "periodic_reset_days"),
        ({"next_usage_reset_at": datetime(2030, 1, 1, tzinfo=UTC)}, "next_usage_reset_at"),
        ({"conditions": []}, "conditions"), ({"group_by": [{"key": "x"}]}, "group_by.0.key"),
        ({"conditions": [{"key": "endpoint_type", "value": "embed"}]}, "conditions.0.key"),
        ({"target": "mcp_tools", "conditions": [{"key": "mcp_tool", "value": "a"}], "group_by": [{"key": "api_key"}]}, "type"),
    ],
)  # fmt: skip
def test_a_budget_that_cannot_be_kept_is_refused_with_the_path(tenant, change, path):
    with pytest.raises(Invalid) as raised:
        budget(tenant, **change)
    assert raised.value.errors[0].startswith(f"{path}: ")
    assert not UsageLimitPolicy.objects.exists()


@pytest.mark.parametrize(
    ("change", "path"),
    [({"value": Decimal(0)}, "value"), ({"value": Decimal("1.5")}, "value"), ({"unit": "rps"}, "unit"), ({"type": "cost"}, "type"),
     ({"conditions": [{"key": "mcp_tool", "value": "a"}]}, "conditions.0.key")],
)  # fmt: skip
def test_a_rate_that_cannot_be_kept_is_refused_with_the_path(tenant, change, path):
    with pytest.raises(Invalid) as raised:
        create_rate_policy(tenant.actor, None, {**RATE, **change})
    assert raised.value.errors[0].startswith(f"{path}: ")


@pytest.mark.parametrize("name", ["type", "group_by", "target"])
def test_what_is_counted_cannot_be_changed(tenant, name):
    other = {"type": "tokens", "group_by": [{"key": "api_key"}], "target": "mcp_tools"}[name]
    row, rate = budget(tenant), create_rate_policy(tenant.actor, None, RATE)
    with pytest.raises(Invalid, match=f"{name}: cannot be changed"):
        update_usage_policy(tenant.actor, row, {name: other})
    with pytest.raises(Invalid, match=f"{name}: cannot be changed"):
        update_rate_policy(tenant.actor, rate, {name: other})
    assert update_usage_policy(tenant.actor, row, {name: getattr(row, name), "name": "n"}).name == "n"


def test_a_change_is_checked_together_with_what_stays(tenant):
    row = budget(tenant, alert_threshold=Decimal(8))
    with pytest.raises(Invalid, match="alert_threshold"):
        update_usage_policy(tenant.actor, row, {"credit_limit": Decimal(8)})
    row = update_usage_policy(tenant.actor, row, {"credit_limit": Decimal(8), "alert_threshold": None})
    assert (row.credit_limit, row.alert_threshold) == (8 * NANO, None)
    with pytest.raises(Invalid, match=r"conditions\.0\.key"):
        update_usage_policy(tenant.actor, row, {"conditions": [{"key": "x", "value": "y"}]})


def test_a_rate_is_changed(tenant):
    row = update_rate_policy(
        tenant.actor, create_rate_policy(tenant.actor, None, RATE), {"unit": "rpw", "value": Decimal(9)}
    )
    row.refresh_from_db()
    assert (row.unit, row.value, row.type) == ("rpw", 9, "requests")
    with pytest.raises(Invalid):
        update_rate_policy(tenant.actor, row, {"value": Decimal(0)})


def test_the_next_reset_is_told_as_soon_as_there_is_a_period(tenant):
    now = timezone.now()
    weekly = next_reset(budget(tenant, periodic_reset="weekly"))
    assert (weekly.weekday(), weekly.hour, weekly > now) == (0, 0, True)
    assert next_reset(budget(tenant, periodic_reset="monthly")).day == 1
    row = budget(tenant, periodic_reset_days=30, next_usage_reset_at=datetime(2030, 1, 31, 15, tzinfo=UTC))
    assert next_reset(row) == datetime(2030, 1, 31, tzinfo=UTC)
    assert next_reset(budget(tenant)) is None


def test_one_period_takes_the_place_of_the_other(tenant):
    row = budget(tenant, periodic_reset="monthly")
    row = update_usage_policy(tenant.actor, row, {"periodic_reset_days": 7})
    assert (row.periodic_reset, row.periodic_reset_days) == (None, 7)
    at = next_reset(row)
    assert next_reset(update_usage_policy(tenant.actor, row, {"name": "n"})) == at
    row = update_usage_policy(tenant.actor, row, {"periodic_reset": "weekly"})
    assert (row.periodic_reset, row.periodic_reset_days) == ("weekly", None)
    row = update_usage_policy(tenant.actor, row, {"periodic_reset": None})
    assert (row.periodic_reset, next_reset(row)) == (None, None)


def test_usage_is_reset_with_its_marks_and_the_change_is_in_the_trail(tenant):
    policy = budget(tenant)
    row = use(policy, used=12 * NANO, status="exhausted", is_threshold_alerts_sent=True, is_exhausted_alerts_sent=True)
    other = use(policy, "metadata._user:bob", used=5)
    before = OutboxEvent.objects.count()
    reset(tenant.actor, row)
    row.refresh_from_db()
    other.refresh_from_db()
    assert (row.spent, row.status, row.is_threshold_alerts_sent, row.is_exhausted_alerts_sent) == (
        0,
        "active",
        False,
        False,
    )
    assert other.spent == 5
    event = AuditEvent.objects.get(resource_id=str(row.pk))
    assert (event.action, event.before["current_usage"], event.after["current_usage"]) == ("reset", 12, 0)
    assert OutboxEvent.objects.count() == before + 1


@pytest.mark.parametrize("named", ["metadata._user:alice", "alice"])
def test_a_change_may_reset_one_value(tenant, named):
    row = budget(tenant)
    alice, bob = use(row, used=5), use(row, "metadata._user:bob", used=5)
    update_usage_policy(tenant.actor, row, {"reset_usage_for_value": named})
    assert counters().get(pk=alice.pk).spent == 0
    assert counters().get(pk=bob.pk).spent == 5


def test_a_value_of_which_nothing_was_counted_is_refused(tenant):
    row = budget(tenant)
    use(budget(tenant), used=5)
    with pytest.raises(Invalid, match="reset_usage_for_value"):
        update_usage_policy(tenant.actor, row, {"reset_usage_for_value": "alice", "name": "n"})
    assert UsageLimitPolicy.objects.get(pk=row.pk).name is None


def test_with_several_groups_only_the_whole_key_names_a_value(tenant):
    row = budget(tenant, group_by=[{"key": "metadata._user"}, {"key": "model"}])
    use(row, "metadata._user:alice|model:m", used=5)
    with pytest.raises(Invalid):
        update_usage_policy(tenant.actor, row, {"reset_usage_for_value": "alice"})
    update_usage_policy(tenant.actor, row, {"reset_usage_for_value": "metadata._user:alice|model:m"})
    assert counters().get(owner_id=row.pk).spent == 0


def test_a_limit_that_is_raised_makes_active_again_and_one_that_is_lowered_exhausts(tenant):
    row = budget(tenant, alert_threshold=Decimal(8))
    alice = use(row, used=10 * NANO, status="exhausted", is_threshold_alerts_sent=True, is_exhausted_alerts_sent=True)
    bob = use(row, "metadata._user:bob", used=30 * NANO, status="exhausted", is_exhausted_alerts_sent=True)
    update_usage_policy(tenant.actor, row, {"credit_limit": Decimal(20), "alert_threshold": Decimal(15)})
    alice.refresh_from_db()
    bob.refresh_from_db()
    assert (alice.status, alice.is_threshold_alerts_sent, alice.is_exhausted_alerts_sent) == ("active", False, False)
    assert (bob.status, bob.is_exhausted_alerts_sent) == ("exhausted", True)
    update_usage_policy(tenant.actor, row, {"credit_limit": Decimal(9), "alert_threshold": Decimal(8)})
    assert counters().get(pk=alice.pk).status == "exhausted"


def test_an_archived_policy_is_kept_and_goes_with_its_workspace(tenant):
    team = make_workspace(tenant)
    row, rate = budget(tenant, team), create_rate_policy(tenant.actor, team, RATE)
    use(row)
    assert resources_of(team) == {"usage-limit policies": 1, "rate-limit policies": 1}
    archive_policy(tenant.actor, row)
    archive_policy(tenant.actor, rate)
    assert (UsageLimitPolicy.objects.get().status, RateLimitPolicy.objects.get().status) == ("archived", "archived")
    assert resources_of(team) == {}
    delete_workspace(tenant.actor, team)
    assert not UsageLimitPolicy.objects.exists()
    assert not Budget.objects.exists()


@pytest.mark.parametrize(
    "columns",
    [{"credit_limit": 0}, {"alert_threshold": 10 * NANO}, {"periodic_reset": "weekly", "periodic_reset_days": 1}],
)
def test_the_database_refuses_a_budget_that_makes_no_sense(tenant, columns):
    row = budget(tenant)
    with pytest.raises(IntegrityError), transaction.atomic():
        UsageLimitPolicy.objects.filter(pk=row.pk).update(**columns)


def test_a_value_is_counted_once(tenant):
    row = budget(tenant)
    use(row)
    with pytest.raises(IntegrityError), transaction.atomic():
        use(row)
