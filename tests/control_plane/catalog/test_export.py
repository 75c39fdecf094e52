"""What gateways learn of virtual keys."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from control_plane.catalog.access import set_access
from control_plane.catalog.allowed_models import set_models
from control_plane.catalog.custom_providers import create_custom_provider
from control_plane.catalog.export import export, export_providers
from control_plane.catalog.models import VirtualKey
from control_plane.catalog.services import create_integration, create_provider
from shared.redact import Secret
from shared.schema.rows import AuthRow, CustomProviderRow, EndpointRow, ParameterMap, VirtualKeyRow
from tests.control_plane.factories import make_tenant, make_virtual_key, make_workspace

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


def test_a_custom_provider_is_exported_under_organisation_and_slug():
    tenant = make_tenant()
    create_custom_provider(make_tenant().actor, {"name": "Other", "base_url": "https://b.example"})
    given = {
        "name": "Acme", "slug": "acme", "base_url": "https://a.example/v1", "auth": {"header": "x-key", "prefix": ""},
        "headers": {"x-region": "eu"}, "endpoints": {"chat": {"path": "/talk", "parameters": {"drop": ["user"]}}, "embed": {}},
        "parameters": {"rename": {"a": "b"}, "defaults": {"c": [1.5, {"d": None}]}, "refuse": ["n"]}, "streams_usage": False,
        "price_source": "openai",
    }  # fmt: skip
    row = create_custom_provider(tenant.actor, given)
    assert list(export_providers(tenant.organisation)) == [
        (
            "custom_providers",
            f"{tenant.organisation.pk}/acme",
            CustomProviderRow(
                id=str(row.pk),
                org=str(tenant.organisation.pk),
                slug="acme",
                base_url="https://a.example/v1",
                name="Acme",
                auth=AuthRow("x-key", ""),
                headers={"x-region": "eu"},
                endpoints={
                    "chat": EndpointRow("/talk", ParameterMap(drop=("user",))),
                    "embed": EndpointRow(),
                },
                parameters=ParameterMap({"a": "b"}, (), {"c": [1.5, {"d": None}]}, ("n",)),
                streams_usage=False,
                price_source="openai",
            ),
        )
    ]


def test_a_custom_provider_that_takes_no_credential_is_exported_so():
    tenant = make_tenant()
    create_custom_provider(tenant.actor, {"name": "Acme", "base_url": "https://a.example", "auth": None})
    [(_, _, row)] = export_providers(tenant.organisation)
    assert (row.auth, row.price_source, sorted(row.endpoints)) == (None, None, ["chat", "complete", "embed"])


def test_an_export_takes_as_many_queries_for_many_rows_as_for_few():
    tenant, counts = make_tenant(), []
    for wanted in (3, 30):
        while VirtualKey.objects.count() < wanted:
            make_virtual_key(tenant)
        with CaptureQueriesContext(connection) as taken:
            assert len(list(export(tenant.organisation))) == wanted
        counts.append(len(taken))
    assert counts[0] == counts[1]


def test_one_key_stands_behind_many_virtual_keys_and_what_was_said_of_its_models_too():
    tenant = make_tenant()
    account = create_integration(
        tenant.actor, {"name": "a", "ai_provider_id": "openai", "key": Secret("sk-0123456789")}
    )
    set_models(tenant.actor, account, {"models": [{"slug": "gpt-4o", "enabled": True}], "allow_all_models": False})
    team = make_workspace(tenant)
    set_access(tenant.actor, account, {"workspaces": [{"id": team.slug, "enabled": True}]})
    create_provider(tenant.actor, tenant.workspace, account, {"name": "p"})
    rows = [row for _, _, row in export(tenant.organisation)]
    assert {(row.ws, row.slug) for row in rows} == {(str(team.pk), "a"), (str(tenant.workspace.pk), "p")}
    assert {row.secret for row in rows} == {str(account.secret_id)}
    assert {row.models for row in rows} == {frozenset({"gpt-4o"})}
