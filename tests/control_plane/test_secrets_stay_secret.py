"""A provider's key, once given, is seen nowhere: in no column, no answer, no audit row, no log line."""

import pytest
from django.apps import apps
from django.db import connection

from control_plane.accounts.models import SecondFactor
from control_plane.accounts.second_factor import renew_recovery_codes, seed_of
from control_plane.core.models import AuditEvent
from control_plane.orgs.models import IdentityProvider
from shared.redact import Secret
from tests.control_plane.accounts.people_kit import PASSWORD, with_password, with_second_factor
from tests.control_plane.factories import Api, make_member, make_tenant

pytestmark = pytest.mark.django_db

SENTINEL = "sk-sentinel-9f8e7d6c5b4a3210"
SECOND = "sk-sentinel-0a1b2c3d4e5f6789"


def whole_database():
    """Every column of every row of every table, as text."""
    with connection.cursor() as cursor:
        for model in apps.get_models(include_auto_created=True):
            table = connection.ops.quote_name(model._meta.db_table)
            cursor.execute(f"SELECT row::text FROM {table} AS row")
            for (text,) in cursor.fetchall():
                yield model._meta.db_table, text


def encodings(secret):
    """How a secret could hide: as it is, and as bytes are printed."""
    return {secret, secret.encode().hex()}


def found(secrets):
    return [
        table for table, text in whole_database() for secret in secrets for form in encodings(secret) if form in text
    ]


def test_the_search_would_find_a_secret():
    tenant = make_tenant()
    Api(tenant.admin_key).post("virtual-keys", {"name": "n", "provider": "openai", "note": SENTINEL})
    assert "catalog_virtualkey" in found([SENTINEL])


def test_a_virtual_keys_credential_is_nowhere_in_plain_text(caplog, capsys):
    api = Api(make_tenant().admin_key)
    body = {"name": "Team", "provider": "openai", "key": SENTINEL}
    answers = [api.post("virtual-keys", body), api.get("virtual-keys"), api.get("virtual-keys/team")]
    answers += [api.put("virtual-keys/team", {"key": SECOND}), api.get("virtual-keys/team"), api.get("integrations")]
    answers += [api.post("virtual-keys", {**body, "slug": "team"}), api.post("virtual-keys", {**body, "provider": "?"})]
    answers += [api.delete("virtual-keys/team")]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 200, 200, 409, 400, 200]
    assert AuditEvent.objects.filter(resource_type="virtualkey").count() >= 3
    assert found([SENTINEL, SECOND]) == []
    assert not any(secret in answer.content.decode() for answer in answers for secret in (SENTINEL, SECOND))
    shown = capsys.readouterr()
    assert not any(secret in text for text in (caplog.text, shown.out, shown.err) for secret in (SENTINEL, SECOND))


def test_a_credential_in_an_unexpected_place_is_refused():
    api = Api(make_tenant().admin_key)
    account = {"name": "aws", "ai_provider_id": "openai", "configurations": {"some_secret": SENTINEL}}
    assert api.post("integrations", account).status_code == 400
    config = {"name": "c", "config": {"provider": "openai", "api_key": SENTINEL}}
    assert api.post("configs", config).status_code == 400
    nested = {"strategy": {"mode": "fallback"}, "targets": [{"provider": "openai", "api_key": SENTINEL}]}
    assert api.post("configs", {"name": "c", "config": nested}).status_code == 400
    assert found([SENTINEL]) == []


def test_a_secret_among_the_settings_of_an_account_is_nowhere_in_plain_text():
    api = Api(make_tenant().admin_key)
    account = {"name": "aws", "ai_provider_id": "openai", "configurations": {"aws_secret_access_key": SENTINEL}}
    made = api.post("integrations", account)
    assert made.status_code == 200
    assert SENTINEL not in made.content.decode() + api.get("integrations").content.decode()
    assert found([SENTINEL]) == []


def test_the_text_of_an_api_key_is_nowhere_in_plain_text():
    tenant = make_tenant()
    made = Api(tenant.admin_key).post("api-keys/workspace/service", {"name": "k"}).json()["key"]
    rotated = Api(tenant.admin_key).get("api-keys").json()["data"][-1]["id"]
    fresh = Api(tenant.admin_key).post(f"api-keys/{rotated}/rotate").json()["key"]
    assert found([made, fresh, tenant.admin_key, made[25:57], fresh[25:57], tenant.admin_key[25:57]]) == []


def test_nothing_that_proves_a_person_is_in_plain_text():
    tenant = make_tenant()
    user = with_password(make_member(tenant, "owner"))
    codes = [*with_second_factor(user), *renew_recovery_codes(user)]
    seed = seed_of(SecondFactor.objects.get())
    invite = Api(tenant.admin_key).post("admin/users/invites", {"email": "n@example.com", "role": "member"}).json()
    token = invite["invite_link"].rpartition("/")[2]
    plain = [code.replace("-", "") for code in codes]
    assert found([seed, token, PASSWORD, *codes, *plain]) == []


def test_the_secret_of_an_identity_provider_is_nowhere_in_plain_text():
    provider = IdentityProvider(organisation=make_tenant().organisation, issuer="https://login.example", client_id="c")
    provider.seal(Secret(SENTINEL))
    provider.save()
    assert found([SENTINEL]) == []


def test_the_secrets_of_a_sign_in_to_a_secret_manager_are_nowhere_in_plain_text():
    api = Api(make_tenant().admin_key)
    addr = {"vault_addr": "https://vault.example.com"}
    approle = {"vault_auth_type": "approle", **addr, "vault_role_id": "r", "vault_secret_id": SENTINEL}
    entra = {
        "azure_auth_mode": "entra", "azure_entra_tenant_id": "t", "azure_entra_client_id": "c",
        "azure_entra_client_secret": SENTINEL, "azure_vault_url": "https://acme.vault.azure.net",
    }  # fmt: skip
    body = {"secret_path": "p"}
    answers = [
        api.post("secret-references", {**body, "name": "a", "manager_type": "hashicorp_vault", "auth_config": approle}),
        api.post("secret-references", {**body, "name": "b", "manager_type": "azure_kv", "auth_config": entra}),
        api.put("secret-references/a", {"auth_config": {"vault_secret_id": SECOND}}),
        api.put("secret-references/a", {"auth_config": {"vault_auth_type": "token", "vault_token": SECOND}}),
        api.get("secret-references"), api.get("secret-references/a"), api.get("secret-references/b"),
    ]  # fmt: skip
    assert [answer.status_code for answer in answers] == [200] * 7
    assert not any(secret in answer.content.decode() for answer in answers for secret in (SENTINEL, SECOND))
    assert found([SENTINEL, SECOND]) == []
