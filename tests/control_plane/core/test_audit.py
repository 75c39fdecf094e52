"""The audit trail."""

import pytest
from django.db import IntegrityError, connection, transaction

from control_plane.core import audit
from control_plane.core.models import AuditEvent, RowImmutable
from tests.control_plane.factories import Api, make_config, make_tenant

pytestmark = pytest.mark.django_db


def test_a_change_says_who_did_what_from_where():
    tenant = make_tenant()
    config = make_config(tenant)
    answer = Api(tenant.admin_key).put(f"configs/{config.slug}", {"name": "renamed"})
    event = AuditEvent.objects.get(resource_id=str(config.pk), action="update")
    assert (event.resource_type, event.actor_kind, event.actor_name) == ("config", "api_key", "Admin key")
    assert (event.before["name"], event.after["name"]) == ("primary", "renamed")
    assert (event.organisation_id, event.workspace_id) == (tenant.organisation.pk, tenant.workspace.pk)
    assert (event.client_ip, event.method, event.uri) == ("127.0.0.1", "PUT", f"/v1/configs/{config.slug}")
    assert event.request_id == answer.headers["x-portkey-request-id"]


def test_a_change_by_a_command_names_no_request():
    tenant = make_tenant()
    event = audit.record(tenant.actor, "publish", tenant.workspace)
    assert (event.actor_kind, event.request_id, event.client_ip) == ("system", "", None)


def test_a_change_that_fails_leaves_no_trace():
    tenant = make_tenant()
    before = AuditEvent.objects.count()
    assert Api(tenant.admin_key).post("configs", {"name": "x", "config": {"nonsense": 1}}).status_code == 400
    assert AuditEvent.objects.count() == before


def test_the_trail_cannot_be_rewritten_by_our_code():
    event = audit.record(make_tenant().actor, "update", make_tenant().workspace)
    event.action = "nothing"
    with pytest.raises(RowImmutable):
        event.save()
    with pytest.raises(RowImmutable):
        event.delete()
    with pytest.raises(RowImmutable):
        AuditEvent.objects.update(action="nothing")


@pytest.mark.parametrize("statement", ["UPDATE core_auditevent SET action = 'x'", "DELETE FROM core_auditevent"])
def test_the_trail_cannot_be_rewritten_by_anyone_else(statement):
    audit.record(make_tenant().actor, "update", make_tenant().workspace)
    with pytest.raises(IntegrityError, match="written once"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.mark.parametrize(
    "name",
    ["key", "api_key", "apiKey_secret", "aws_secret_access_key", "password", "x-api-key", "Authorization",
     "vertex_service_account_json", "azure_entra_client_secret", "token", "bearer_token", "credentials"],
)  # fmt: skip
def test_credentials_are_masked_by_the_name_of_their_field(name):
    assert audit.masked({"a": [{name: "plain"}]}) == {"a": [{name: audit.MASK}]}


@pytest.mark.parametrize("name", ["name", "masked_key", "virtual_key", "max_tokens", "keywords", "monkey", "key_id"])
def test_other_fields_are_kept(name):
    assert audit.masked({name: "plain"}) == {name: "plain"}


def test_keys_are_masked_by_their_looks_in_any_text():
    assert "sk-live" not in str(audit.masked({"note": "it is sk-live-0123456789abcdef, do not tell"}))
