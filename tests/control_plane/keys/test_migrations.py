"""What becomes of limits that were said before usage was counted."""

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from control_plane.budgets.models import Budget
from control_plane.catalog.access import set_access
from control_plane.catalog.services import create_integration
from control_plane.keys.models import ApiKey
from control_plane.orgs.services import update_workspace
from control_plane.policies.services import create_usage_policy
from tests.control_plane.factories import make_key, make_tenant, make_virtual_key, make_workspace

COST = {"type": "cost", "credit_limit": 2.5, "alert_threshold": 2, "periodic_reset": "weekly"}
TOKENS = {"type": "tokens", "credit_limit": 500}
POLICY = {
    "conditions": [{"key": "model", "value": "*"}], "group_by": [{"key": "api_key"}], "type": "requests",
    "credit_limit": 9, "periodic_reset": "monthly",
}  # fmt: skip
FACTS = (
    "organisation_id", "workspace_id", "kind", "owner_id", "name", "value_key", "unit", "limit", "threshold",
    "periodic_reset", "periodic_reset_days", "next_reset_at", "window", "spent",
)  # fmt: skip


def facts():
    return set(Budget.objects.exclude(limit=None).values_list(*FACTS))


@pytest.mark.django_db(transaction=True)
def test_limits_from_before_are_counted_as_those_that_are_said_now():
    leaves = MigrationExecutor(connection).loader.graph.leaf_nodes()
    tenant = make_tenant()
    update_workspace(tenant.actor, make_workspace(tenant), {"usage_limits": COST})
    make_key(tenant, usage_limits=COST)
    make_virtual_key(tenant, usage_limits=TOKENS)
    account = create_integration(tenant.actor, {"name": "a", "ai_provider_id": "openai"})
    entry = {"id": str(tenant.workspace.pk), "enabled": True, "usage_limits": TOKENS}
    everywhere = {"enabled": True, "usage_limits": COST}
    set_access(tenant.actor, account, {"workspaces": [entry], "global_workspace_access": everywhere})
    create_usage_policy(tenant.actor, None, POLICY)
    before = facts()
    unusable = make_key(tenant).row
    ApiKey.objects.filter(pk=unusable.pk).update(usage_limits={"credit_limit": "much"})
    try:
        MigrationExecutor(connection).migrate([("policies", "0001_initial"), ("keys", "0002_rotation_and_bounds")])
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM budgets_budget")
            cursor.execute("UPDATE policies_usagelimitpolicy SET next_usage_reset_at = '2099-01-01T00:00:00Z'")
    finally:
        MigrationExecutor(connection).migrate(leaves)
    of_policy = Budget.objects.get(kind="policy")
    assert of_policy.next_reset_at.isoformat() == "2099-01-01T00:00:00+00:00"
    place = FACTS.index("kind")
    assert len(before) == 6
    assert {row for row in facts() if row[place] != "policy"} == {row for row in before if row[place] != "policy"}
    assert not Budget.objects.filter(owner_id=unusable.pk).exists()
