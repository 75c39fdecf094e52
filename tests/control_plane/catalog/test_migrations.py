"""What became of integrations that were there before access to them could be given."""

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from control_plane.catalog.access import may_use
from control_plane.catalog.models import Integration, IntegrationModel, SaidPrice
from tests.control_plane.factories import make_tenant, make_workspace

INSERT = """
INSERT INTO catalog_integration (id, organisation_id, created_at, last_updated_at, ai_provider_id, slug, name,
    description, configurations, status, allow_all_models, is_own)
VALUES (gen_random_uuid(), %s, now(), now(), 'openai', 'old', 'Old', '', '{}', 'active', true, false)
"""

PRICED = """
INSERT INTO catalog_integration (id, organisation_id, created_at, last_updated_at, ai_provider_id, slug, name,
    description, configurations, status, allow_all_models, is_own, global_access, global_rate_limits,
    pricing_adjustments)
VALUES (gen_random_uuid(), %s, now(), now(), 'openai', 'priced', 'Priced', '', '{}', 'active', true, false, true, '[]',
    '{"multiplier": {"default": 2}}')
"""
PRICED_MODEL = """
INSERT INTO catalog_integrationmodel (id, organisation_id, created_at, last_updated_at, integration_id, slug, enabled,
    is_custom, is_finetune, base_model_slug, configurations, pricing_config)
SELECT gen_random_uuid(), %s, now(), now() - interval '1 day', id, 'm', true, false, false, '', '{}',
    '{"type": "static", "pay_as_you_go": {"request_token": {"price": 1}}}' FROM catalog_integration WHERE slug = 'priced'
"""


@pytest.mark.django_db(transaction=True)
def test_every_workspace_keeps_the_integrations_that_it_could_use():
    tenant = make_tenant()
    team = make_workspace(tenant)
    leaves = MigrationExecutor(connection).loader.graph.leaf_nodes()
    try:
        MigrationExecutor(connection).migrate([("catalog", "0003_customprovider")])
        with connection.cursor() as cursor:
            cursor.execute(INSERT, [tenant.organisation.pk])
    finally:
        MigrationExecutor(connection).migrate(leaves)
    old = Integration.objects.get(slug="old")
    assert [may_use(old, each) for each in (tenant.workspace, team)] == [True, True]


@pytest.mark.django_db(transaction=True)
def test_prices_that_were_said_before_hold_since_then():
    tenant = make_tenant()
    leaves = MigrationExecutor(connection).loader.graph.leaf_nodes()
    try:
        MigrationExecutor(connection).migrate([("catalog", "0004_models_and_workspaces")])
        with connection.cursor() as cursor:
            cursor.execute(PRICED, [tenant.organisation.pk])
            cursor.execute(PRICED_MODEL, [tenant.organisation.pk])
    finally:
        MigrationExecutor(connection).migrate(leaves)
    said = {row.model: row for row in SaidPrice.objects.all()}
    assert said[""].prices == {"default": 2}
    assert said["m"].prices == {"request_token": {"price": 1}}
    assert said["m"].valid_from == IntegrationModel.objects.get(slug="m").last_updated_at
