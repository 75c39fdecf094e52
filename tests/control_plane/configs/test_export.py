"""What gateways learn of configs."""

import pytest

from control_plane.configs.export import export
from control_plane.configs.services import update_config
from shared.schema.rows import ConfigRow
from tests.control_plane.factories import make_config, make_tenant

pytestmark = pytest.mark.django_db


def test_the_active_version_is_exported_under_workspace_and_slug():
    tenant = make_tenant()
    make_config(make_tenant())
    config = make_config(tenant)
    changed = update_config(tenant.actor, config, {"config": {"virtual_key": "b"}})
    assert list(export(tenant.organisation)) == [
        (
            "configs",
            f"{tenant.workspace.pk}/{config.slug}",
            ConfigRow(
                id=str(config.pk),
                org=str(tenant.organisation.pk),
                ws=str(tenant.workspace.pk),
                slug=config.slug,
                version=str(changed.active_id),
                body={"virtual_key": "b"},
            ),
        )
    ]


def test_an_archived_config_is_not_exported():
    tenant = make_tenant()
    make_config(tenant, status="archived")
    assert list(export(tenant.organisation)) == []
