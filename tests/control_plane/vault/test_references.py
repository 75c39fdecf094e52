"""Changes of secret references."""

import pytest

from control_plane.catalog.services import create_integration, update_integration
from control_plane.core.errors import Conflict, Invalid
from control_plane.vault.models import SecretReference, VaultSecret
from control_plane.vault.references import (
    create_reference,
    delete_reference,
    find_reference,
    is_allowed_in,
    update_reference,
)
from control_plane.vault.services import open_secret
from tests.control_plane.factories import make_tenant, make_virtual_key, make_workspace

pytestmark = pytest.mark.django_db

GIVEN = {
    "name": "Vault token",
    "manager_type": "hashicorp_vault",
    "auth_config": {"vault_auth_type": "token", "vault_addr": "https://vault.example.com", "vault_token": "hvs.one"},
    "secret_path": "secret/openai",
}
ELSEWHERE = "https://other.example.com"


@pytest.fixture
def tenant():
    return make_tenant()


def make(tenant, **given):
    return create_reference(tenant.actor, {**GIVEN, **given})


def held(reference):
    """What is in the vault for a reference, and for which hosts."""
    opened = open_secret(SecretReference.objects.get(pk=reference.pk).secret)
    return {name: value.reveal() for name, value in opened.settings.items()}, opened.hosts


def mapped(reference, tenant, **given):
    mapping = {"target_field": "key", "secret_reference_id": reference.slug}
    return make_virtual_key(tenant, key="", secret_mappings=[mapping], **given)


def test_what_is_secret_goes_to_the_vault_bound_to_the_managers_host(tenant):
    reference = make(tenant)
    assert (reference.slug, reference.auth_config) == (
        "vault-token", {"vault_auth_type": "token", "vault_addr": "https://vault.example.com"},
    )  # fmt: skip
    assert held(reference) == ({"vault_token": "hvs.one"}, ("vault.example.com",))


def test_a_way_without_secrets_keeps_none(tenant):
    reference = make(tenant, manager_type="aws_sm", auth_config={"aws_auth_type": "serviceRole"})
    assert (reference.secret, VaultSecret.objects.count()) == (None, 0)


def test_a_secret_does_not_follow_its_reference_to_another_address(tenant):
    reference = make(tenant)
    for token in ({}, {"vault_token": "****"}):
        with pytest.raises(Invalid, match=r"auth_config\.vault_token: give it again"):
            update_reference(tenant.actor, reference, {"auth_config": {"vault_addr": ELSEWHERE, **token}})
    assert held(reference) == ({"vault_token": "hvs.one"}, ("vault.example.com",))
    update_reference(tenant.actor, reference, {"auth_config": {"vault_addr": ELSEWHERE, "vault_token": "hvs.two"}})
    assert held(reference) == ({"vault_token": "hvs.two"}, ("other.example.com",))


def test_a_secret_that_is_not_named_stays(tenant):
    reference = make(tenant)
    for given in ({"vault_namespace": "team"}, {"vault_token": "****"}):
        update_reference(tenant.actor, reference, {"auth_config": given})
        assert held(reference)[0] == {"vault_token": "hvs.one"}
    assert SecretReference.objects.get().auth_config["vault_namespace"] == "team"


def test_another_way_to_sign_in_takes_its_own_fields_only(tenant):
    reference = make(tenant)
    with pytest.raises(Invalid, match="vault_role_id: is required"):
        update_reference(tenant.actor, reference, {"auth_config": {"vault_auth_type": "approle"}})
    update_reference(tenant.actor, reference, {"auth_config": {"vault_auth_type": "kubernetes", "vault_role": "r"}})
    reference = SecretReference.objects.get()
    assert reference.auth_config == {
        "vault_auth_type": "kubernetes", "vault_addr": "https://vault.example.com", "vault_role": "r",
    }  # fmt: skip
    assert (reference.secret, VaultSecret.objects.count()) == (None, 0)


@pytest.mark.parametrize("given", [
    {"auth_config": {"vault_auth_type": "token"}}, {"allow_all_workspaces": False},
    {"allow_all_workspaces": True, "allowed_workspaces": ["x"]}, {"allowed_workspaces": ["nothing"]},
    {"auth_config": {**GIVEN["auth_config"], "vault_token": "****"}},
])  # fmt: skip
def test_what_contradicts_itself_is_refused_and_nothing_is_stored(tenant, given):
    with pytest.raises(Invalid):
        make(tenant, **given)
    assert not VaultSecret.objects.exists()


@pytest.mark.parametrize("given", [{"manager_type": "aws_sm"}, {"slug": "other"}])
def test_what_a_reference_is_cannot_be_changed(tenant, given):
    with pytest.raises(Invalid, match="cannot be changed"):
        update_reference(tenant.actor, make(tenant), given)


def test_a_slug_that_is_taken_is_a_conflict(tenant):
    make(tenant, slug="mine")
    with pytest.raises(Conflict):
        make(tenant, slug="mine")
    assert make(make_tenant(), slug="mine").slug == "mine"


def test_a_reference_is_for_the_workspaces_that_it_names(tenant):
    team, other = make_workspace(tenant, "Team"), make_workspace(tenant, "Other")
    reference = make(tenant, allowed_workspaces=[team.slug])
    assert reference.allow_all_workspaces is False
    assert [is_allowed_in(reference, each) for each in (team.pk, other.pk, None)] == [True, False, False]
    update_reference(tenant.actor, reference, {"allow_all_workspaces": True})
    reference = SecretReference.objects.get()
    assert [is_allowed_in(reference, each) for each in (other.pk, None)] == [True, True]
    assert not reference.allowed_workspaces.exists()


def test_a_reference_is_found_by_id_or_slug_in_its_own_organisation(tenant):
    reference = make(tenant)
    for named in (str(reference.pk), reference.slug):
        assert find_reference(tenant.organisation.pk, named) == reference
        assert find_reference(make_tenant().organisation.pk, named) is None


def test_a_reference_that_is_used_is_neither_deleted_nor_taken_from_who_uses_it(tenant):
    team = make_workspace(tenant)
    reference = make(tenant)
    row = mapped(reference, tenant, slug="mine")
    with pytest.raises(Conflict, match="virtual key mine"):
        delete_reference(tenant.actor, reference)
    with pytest.raises(Conflict, match="virtual key mine"):
        update_reference(tenant.actor, reference, {"allowed_workspaces": [team.slug]})
    update_reference(tenant.actor, reference, {"allowed_workspaces": [team.slug, tenant.workspace.slug]})
    update_integration(tenant.actor, row.integration, {"secret_mappings": []})
    delete_reference(tenant.actor, reference)
    assert not SecretReference.objects.exists()
    assert not VaultSecret.objects.exists()


def test_an_integration_that_uses_a_reference_is_named_too(tenant):
    reference = make(tenant)
    mapping = {"target_field": "key", "secret_reference_id": str(reference.pk)}
    account = {"name": "a", "slug": "acc", "ai_provider_id": "openai", "secret_mappings": [mapping]}
    create_integration(tenant.actor, account)
    with pytest.raises(Conflict, match="integration acc"):
        delete_reference(tenant.actor, reference)
