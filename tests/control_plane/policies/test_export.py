"""Policies as gateways get them."""

import pytest

from control_plane.core.models import OutboxEvent
from control_plane.policies.export import export, export_budgets
from shared.schema.limits import ConditionRow, UsagePolicyRow
from tests.control_plane.factories import Api, make_tenant

pytestmark = pytest.mark.django_db
GIVEN = {
    "name": "Search", "type": "requests", "unit": "rpm", "value": 7, "group_by": [{"key": "metadata._user"}],
    "conditions": [{"key": "metadata.team", "value": "search"}, {"key": "model", "value": ["a", "b"], "excludes": "c"}],
}  # fmt: skip


def test_active_policies_of_rate_reach_gateways_and_archived_ones_do_not():
    tenant = make_tenant()
    api = Api(tenant.admin_key)
    made = api.post("policies/rate-limits", {**GIVEN, "workspace_id": tenant.workspace.slug}).json()
    assert OutboxEvent.objects.latest("pk").sections == ["rate_policies"]
    ((section, row_id, row),) = export(tenant.organisation)
    assert (section, row_id, row.org, row.ws) == (
        "rate_policies",
        made["id"],
        str(tenant.organisation.pk),
        str(tenant.workspace.pk),
    )
    assert row.conditions == (ConditionRow("metadata.team", ("search",)), ConditionRow("model", ("a", "b"), ("c",)))
    assert (row.group_by, row.type, row.unit, row.value) == (("metadata._user",), "requests", "rpm", 7)
    api.delete(f"policies/rate-limits/{made['id']}")
    assert list(export(tenant.organisation)) == []
    assert list(export(make_tenant("Other").organisation)) == []


def test_policies_about_tools_reach_no_gateway():
    tenant = make_tenant()
    api = Api(tenant.admin_key)
    tools = {
        **GIVEN,
        "target": "mcp_tools",
        "conditions": [{"key": "mcp_tool", "value": "*"}],
        "group_by": [{"key": "mcp_tool"}],
    }
    assert api.post("policies/rate-limits", tools).status_code == 200
    del tools["unit"], tools["value"]
    assert api.post("policies/usage-limits", {**tools, "credit_limit": 5}).status_code == 200
    assert list(export(tenant.organisation)) == list(export_budgets(tenant.organisation)) == []


def test_active_policies_of_usage_reach_gateways_and_archived_ones_do_not():
    tenant = make_tenant()
    api = Api(tenant.admin_key)
    given = {"name": "Each", "type": "cost", "credit_limit": 5, "group_by": [{"key": "api_key"}]}
    made = api.post("policies/usage-limits", {**given, "conditions": GIVEN["conditions"]}).json()
    assert OutboxEvent.objects.latest("pk").sections == ["usage_policies"]
    conditions = (ConditionRow("metadata.team", ("search",)), ConditionRow("model", ("a", "b"), ("c",)))
    org = str(tenant.organisation.pk)
    row = UsagePolicyRow(made["id"], org, None, "Each", conditions, group_by=("api_key",), type="cost")
    assert list(export_budgets(tenant.organisation)) == [("usage_policies", made["id"], row)]
    assert list(export_budgets(make_tenant("Other").organisation)) == []
    api.delete(f"policies/usage-limits/{made['id']}")
    assert list(export_budgets(tenant.organisation)) == []
