"""Policies as gateways get them."""

import pytest

from control_plane.core.models import OutboxEvent
from control_plane.policies.export import export
from shared.schema.rows import ConditionRow
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


def test_policies_about_tools_and_budgets_reach_no_gateway():
    tenant = make_tenant()
    api = Api(tenant.admin_key)
    tools = {
        **GIVEN,
        "target": "mcp_tools",
        "conditions": [{"key": "mcp_tool", "value": "*"}],
        "group_by": [{"key": "mcp_tool"}],
    }
    assert api.post("policies/rate-limits", tools).status_code == 200
    assert list(export(tenant.organisation)) == []
