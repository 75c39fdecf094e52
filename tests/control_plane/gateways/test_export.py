"""What gateways contribute themselves: the sealed secrets of whom they serve, prices, and their policy."""

import base64

import msgspec
import pytest

from control_plane.catalog.export import export as export_catalog
from control_plane.catalog.prices import price_rows
from control_plane.catalog.services import create_integration, create_provider, update_integration
from control_plane.gateways.export import export_secrets, export_shared
from control_plane.gateways.models import SealedSecret
from control_plane.vault.models import VaultSecret
from control_plane.vault.services import store_secret
from shared.crypto.sealing import SealedTo, unseal
from shared.redact import Secret
from shared.schema.rows import SealedPlaintext
from tests.control_plane.factories import make_tenant
from tests.control_plane.gateways.publisher_kit import GroupKeys, make_group

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenant():
    return make_tenant()


def stored(tenant):
    return store_secret(tenant.organisation, Secret("sk-some"), ("api.openai.com",))


def exported(group, *tenants):
    return list(export_secrets(group, [tenant.organisation.pk for tenant in tenants]))


def test_a_secret_is_exported_with_the_bytes_that_were_sealed(tenant):
    group = make_group(tenant)
    secret = stored(tenant)
    (row,) = exported(group, tenant)
    assert (row.id, row.org, row.version, row.kid) == (
        str(secret.pk), str(tenant.organisation.pk), 1, group.sealing_kid,
    )  # fmt: skip
    assert base64.b64decode(row.sealed) == bytes(SealedSecret.objects.get().sealed)
    assert exported(group, tenant) == [row]


def test_only_secrets_of_the_organisations_that_are_asked_for_are_exported(tenant):
    other = make_tenant()
    group = make_group(tenant, serves_all=True)
    mine, theirs = stored(tenant), stored(other)
    assert [row.id for row in exported(group, tenant)] == [str(mine.pk)]
    assert {row.id for row in exported(group, tenant, other)} == {str(mine.pk), str(theirs.pk)}


def test_what_was_sealed_to_another_group_is_not_exported(tenant):
    stored(tenant)
    sealed_to = make_group(tenant)
    stored(tenant)
    assert len(exported(sealed_to, tenant)) == 1
    assert exported(make_group(tenant), tenant) == []


def test_an_old_version_and_an_old_key_of_the_group_are_not_exported(tenant):
    group = make_group(tenant)
    secret = stored(tenant)
    VaultSecret.objects.filter(pk=secret.pk).update(version=2)
    assert exported(group, tenant) == []
    VaultSecret.objects.filter(pk=secret.pk).update(version=1)
    group.sealing_kid = "next-key"
    assert exported(group, tenant) == []


def test_shared_sections_are_the_prices_and_the_policy_and_nothing_else():
    assert dict(export_shared("prices")) == {row.id: row for row in price_rows()}
    ((row_id, policy),) = export_shared("gateway")
    assert (row_id, policy.id, policy.kill_streams_on_revoke) == ("policy", "policy", True)
    assert list(export_shared("configs")) == []


def test_a_renewed_key_reaches_every_virtual_key_of_its_integration_without_a_change_of_any(tenant):
    keys = GroupKeys()
    group = make_group(tenant, keys)
    account = create_integration(
        tenant.actor, {"name": "a", "ai_provider_id": "openai", "key": Secret("sk-first-0123")}
    )
    for name in ("one", "two", "three"):
        create_provider(tenant.actor, tenant.workspace, account, {"name": name})

    def key_of_all():
        rows = [row for _, _, row in export_catalog(tenant.organisation)]
        (sealed,) = exported(group, tenant)
        assert {row.secret for row in rows} == {sealed.id}
        binding = SealedTo(sealed.org, str(group.pk), sealed.id, sealed.version)
        opened = unseal(keys.sealing, base64.b64decode(sealed.sealed), binding)
        return rows, sealed.version, msgspec.json.decode(opened, type=SealedPlaintext).key

    before, version, key = key_of_all()
    assert (len(before), version, key) == (3, 1, "sk-first-0123")
    update_integration(tenant.actor, account, {"key": Secret("sk-second-4567")})
    assert key_of_all() == (before, 2, "sk-second-4567")
