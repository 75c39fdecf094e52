"""What gateways learn of virtual keys."""

from datetime import timedelta

import pytest
from django.utils import timezone

from control_plane.catalog.export import export
from shared.schema.rows import VirtualKeyRow
from tests.control_plane.factories import make_tenant, make_virtual_key

pytestmark = pytest.mark.django_db


def test_a_virtual_key_is_exported_under_workspace_and_slug():
    tenant = make_tenant()
    make_virtual_key(make_tenant())
    settings = {"custom_host": "https://llm.example.com", "api_version": "2"}
    row = make_virtual_key(tenant, configurations=settings, expires_at=timezone.now() + timedelta(days=1))
    assert list(export(tenant.organisation)) == [
        (
            "virtual_keys",
            f"{tenant.workspace.pk}/{row.slug}",
            VirtualKeyRow(
                id=str(row.pk),
                org=str(tenant.organisation.pk),
                ws=str(tenant.workspace.pk),
                slug=row.slug,
                provider="openai",
                integration=str(row.integration_id),
                secret=str(row.integration.secret_id),
                custom_host="https://llm.example.com",
                settings={"api_version": "2"},
                expires=row.expires_at.timestamp(),
            ),
        )
    ]


def test_a_virtual_key_of_an_archived_integration_is_not_exported():
    tenant = make_tenant()
    row = make_virtual_key(tenant)
    row.integration.status = "archived"
    row.integration.save()
    assert list(export(tenant.organisation)) == []


def test_nothing_secret_is_exported():
    tenant = make_tenant()
    make_virtual_key(tenant, key="sk-sentinel-0123456789")
    assert "sk-sentinel" not in str(list(export(tenant.organisation)))
