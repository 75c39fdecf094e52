"""What gateways learn of organisations."""

import pytest

from control_plane.orgs.export import export
from control_plane.orgs.services import create_workspace
from shared.schema.rows import OrgRow, WorkspaceRow
from tests.control_plane.factories import make_tenant


@pytest.mark.django_db
def test_an_organisation_is_exported_with_all_its_workspaces():
    tenant = make_tenant(block_inline=True)
    make_tenant("Other")
    team = create_workspace(
        tenant.actor, "Team", payload_policy="gateway", defaults={"metadata": {"team": "a"}}, description="d"
    )
    org = str(tenant.organisation.pk)
    home = tenant.workspace
    assert list(export(tenant.organisation)) == [
        ("orgs", org, OrgRow(org, tenant.organisation.name, block_inline=True)),
        ("workspaces", str(home.pk), WorkspaceRow(str(home.pk), org, home.slug, home.name)),
        (
            "workspaces",
            str(team.pk),
            WorkspaceRow(str(team.pk), org, team.slug, "Team", payload="gateway", metadata={"team": "a"}),
        ),
    ]
