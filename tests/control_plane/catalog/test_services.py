"""Changes of integrations and virtual keys."""

from datetime import timedelta

import pytest
from django.utils import timezone

from control_plane.catalog.models import Integration, VirtualKey
from control_plane.catalog.services import (
    create_integration,
    create_provider,
    delete_integration,
    delete_virtual_key,
    update_integration,
    update_virtual_key,
)
from control_plane.core.errors import Conflict, Invalid
from control_plane.core.models import OutboxEvent
from control_plane.vault.models import VaultSecret
from control_plane.vault.services import open_secret
from shared.redact import Secret
from tests.control_plane.factories import make_tenant, make_virtual_key, make_workspace

pytestmark = pytest.mark.django_db

HOST = {"custom_host": "https://llm.example.com/v1"}


@pytest.fixture
def tenant():
    return make_tenant()


def test_a_virtual_key_gets_an_integration_and_a_secret_of_its_own(tenant):
    row = make_virtual_key(tenant, "Team OpenAI", key="sk-0123456789abcd")
    assert (row.slug, row.integration.is_own, row.status) == ("team-openai", True, "active")
    key, hosts, _ = open_secret(row.integration.secret)
    assert (key.reveal(), hosts) == ("sk-0123456789abcd", ("api.openai.com",))
    assert row.integration.masked_key == "sk-****abcd"


def test_a_key_is_bound_to_the_custom_host(tenant):
    row = make_virtual_key(tenant, configurations=HOST)
    assert open_secret(row.integration.secret)[1] == ("llm.example.com",)
    assert row.integration.custom_host == "https://llm.example.com/v1"


def test_a_provider_needs_no_key(tenant):
    row = make_virtual_key(tenant, key="", configurations=HOST)
    assert (row.integration.secret, row.integration.masked_key) == (None, None)


def test_an_unknown_provider_is_refused_and_nothing_is_stored(tenant):
    with pytest.raises(Invalid, match="provider"):
        make_virtual_key(tenant, provider="sk-0123456789")
    assert not VaultSecret.objects.exists()


@pytest.mark.parametrize(
    "host", ["http://127.0.0.1:8790/v1", "http://169.254.169.254/", "ftp://example.com", "https://u:p@example.com", 7]
)
def test_a_host_that_may_not_be_used_is_refused(tenant, host):
    with pytest.raises(Invalid, match="custom_host"):
        make_virtual_key(tenant, configurations={"custom_host": host})


def test_a_trusted_private_host_is_accepted(tenant, settings):
    settings.TRUSTED_CUSTOM_HOSTS = frozenset({"127.0.0.1"})
    row = make_virtual_key(tenant, configurations={"custom_host": "http://127.0.0.1:8790/v1"})
    assert open_secret(row.integration.secret)[1] == ("127.0.0.1",)


def test_slugs_made_of_names_do_not_collide(tenant):
    first, second = make_virtual_key(tenant, "Same"), make_virtual_key(tenant, "Same")
    assert first.slug == "same"
    assert second.slug.startswith("same-")


def test_a_slug_that_was_asked_for_and_is_taken_is_a_conflict(tenant):
    make_virtual_key(tenant, slug="mine")
    with pytest.raises(Conflict):
        make_virtual_key(tenant, slug="mine")
    assert make_virtual_key(tenant, slug="mine", workspace=make_workspace(tenant)).slug == "mine"


def test_a_key_does_not_follow_its_account_to_another_host(tenant):
    row = make_virtual_key(tenant)
    with pytest.raises(Invalid, match="key again"):
        update_virtual_key(tenant.actor, row, {"configurations": HOST})
    row.integration.refresh_from_db()
    assert row.integration.configurations == {}
    changed = update_virtual_key(
        tenant.actor, row, {"configurations": HOST, "key": Secret("sk-new-0123456789")}
    ).integration
    assert (changed.secret.version, open_secret(changed.secret)[1]) == (2, ("llm.example.com",))


def test_a_host_that_stays_needs_no_key(tenant):
    row = make_virtual_key(tenant, configurations=HOST)
    moved = {"custom_host": "https://llm.example.com/v2"}
    assert update_virtual_key(tenant.actor, row, {"configurations": moved}).integration.custom_host.endswith("/v2")


def test_a_change_names_only_what_changes(tenant):
    row = make_virtual_key(tenant, note="n", rate_limits=[{"value": 1}])
    update_virtual_key(tenant.actor, row, {"name": "other"})
    row = VirtualKey.objects.get()
    assert (row.name, row.note, row.rate_limits) == ("other", "n", [{"value": 1}])
    update_virtual_key(tenant.actor, row, {"note": None, "rate_limits": None, "usage_limits": None})
    row = VirtualKey.objects.get()
    assert (row.note, row.rate_limits, row.usage_limits) == ("", [], None)


def test_deleting_a_virtual_key_takes_its_secret_along(tenant):
    delete_virtual_key(tenant.actor, make_virtual_key(tenant))
    assert not Integration.objects.exists()
    assert not VaultSecret.objects.exists()


def test_a_shared_integration_outlives_a_virtual_key_of_it(tenant):
    account = create_integration(tenant.actor, {"name": "a", "ai_provider_id": "openai", "key": Secret("sk-01234567")})
    row = create_provider(tenant.actor, tenant.workspace, account, {"name": "p"})
    with pytest.raises(Invalid, match="integration"):
        update_virtual_key(tenant.actor, row, {"key": Secret("sk-other")})
    delete_virtual_key(tenant.actor, row)
    assert Integration.objects.get() == account


def test_deleting_an_integration_takes_its_virtual_keys_and_secret_along(tenant):
    account = create_integration(tenant.actor, {"name": "a", "ai_provider_id": "openai", "key": Secret("sk-01234567")})
    made = [create_provider(tenant.actor, tenant.workspace, account, {"name": name}) for name in ("p", "q")]
    revoked = {f"vk:{row.pk}" for row in made}
    delete_integration(tenant.actor, account)
    assert not VirtualKey.objects.exists()
    assert not VaultSecret.objects.exists()
    assert set(OutboxEvent.objects.latest("pk").revoked) == revoked


def test_a_deleted_virtual_key_is_revoked_at_once(tenant):
    row = make_virtual_key(tenant)
    revoked = [f"vk:{row.pk}"]
    delete_virtual_key(tenant.actor, row)
    assert OutboxEvent.objects.latest("pk").revoked == revoked


def test_an_integration_of_one_workspace_is_not_used_in_another(tenant):
    account = create_integration(
        tenant.actor, {"name": "a", "ai_provider_id": "openai"}, workspace=make_workspace(tenant)
    )
    with pytest.raises(Invalid, match="another workspace"):
        create_provider(tenant.actor, tenant.workspace, account, {"name": "p"})


def test_a_first_key_can_be_given_later(tenant):
    account = create_integration(tenant.actor, {"name": "a", "ai_provider_id": "openai"})
    update_integration(tenant.actor, account, {"key": Secret("sk-0123456789"), "description": "d"})
    account.refresh_from_db()
    assert (account.masked_key, account.description) == ("sk-****6789", "d")


def test_gateways_are_told_of_every_change(tenant):
    OutboxEvent.objects.all().delete()
    row = make_virtual_key(tenant)
    update_virtual_key(tenant.actor, row, {"name": "other"})
    delete_virtual_key(tenant.actor, row)
    assert [event.sections for event in OutboxEvent.objects.all()] == [["secrets", "virtual_keys"]] * 3


def test_a_virtual_key_expires(tenant):
    now = timezone.now()
    row = make_virtual_key(tenant, expires_at=now + timedelta(hours=1))
    assert (row.status_at(now), row.status_at(now + timedelta(hours=1))) == ("active", "expired")


def test_secrets_among_the_settings_go_to_the_vault_and_are_shown_nowhere(tenant):
    settings = {
        "openai_organization": "org-1",
        "aws_secret_access_key": Secret("sentinel-aws"),
        "aws_region": "eu-west-1",
    }
    row = make_virtual_key(tenant, key="", configurations=settings).integration
    assert row.configurations == {"openai_organization": "org-1", "aws_region": "eu-west-1"}
    opened = open_secret(row.secret)
    assert (opened.key.reveal(), opened.settings["aws_secret_access_key"].reveal()) == ("", "sentinel-aws")


def test_a_key_that_is_changed_keeps_the_other_secrets_of_the_same_host(tenant):
    row = make_virtual_key(tenant, configurations={"aws_session_token": Secret("token-1")})
    changed = update_virtual_key(tenant.actor, row, {"key": Secret("key-2-0123456")}).integration
    opened = open_secret(changed.secret)
    assert (opened.key.reveal(), opened.settings["aws_session_token"].reveal()) == ("key-2-0123456", "token-1")


def test_a_key_does_not_follow_the_other_secrets_to_another_host(tenant):
    row = make_virtual_key(tenant, key="key-1-0123456")
    settings = {"custom_host": "https://other.example.com/v1", "aws_session_token": Secret("token-1")}
    changed = update_virtual_key(tenant.actor, row, {"configurations": settings}).integration
    opened = open_secret(changed.secret)
    assert (opened.key.reveal(), opened.hosts) == ("", ("other.example.com",))


def test_a_key_is_bound_to_the_host_of_its_resource_and_to_where_tokens_come_from(tenant):
    settings = {"azure_resource_name": "my-res"}
    row = make_virtual_key(tenant, provider="azure-openai", configurations=settings)
    assert open_secret(row.integration.secret).hosts == ("my-res.openai.azure.com", "login.microsoftonline.com")


@pytest.mark.parametrize("settings", [{}, {"azure_resource_name": "evil.example/x"}])
def test_an_account_without_its_resource_is_refused(tenant, settings):
    with pytest.raises(Invalid, match="azure_resource_name"):
        make_virtual_key(tenant, provider="azure-openai", configurations=settings)


def test_an_address_among_the_settings_is_checked_like_a_custom_host(tenant):
    found = make_virtual_key(
        tenant, provider="azure-ai", configurations={"azure_foundry_url": "https://x.example.com/models"}
    )
    assert open_secret(found.integration.secret).hosts[0] == "x.example.com"
    with pytest.raises(Invalid):
        make_virtual_key(tenant, provider="azure-ai", configurations={"azure_foundry_url": "http://10.0.0.1/models"})
    with pytest.raises(Invalid, match="azure_foundry_url is required"):
        make_virtual_key(tenant, provider="azure-ai")
