"""Fields of integrations that a secret manager has."""

import pytest

from control_plane.catalog.export import export
from control_plane.catalog.mappings import target_of
from control_plane.catalog.models import Integration, SecretMapping
from control_plane.catalog.services import (
    create_integration,
    create_provider,
    delete_virtual_key,
    update_integration,
    update_virtual_key,
)
from control_plane.core.errors import Invalid
from control_plane.vault.models import SecretReference
from control_plane.vault.references import create_reference
from shared.redact import Secret
from shared.schema.rows import SecretMappingRow
from tests.control_plane.factories import make_tenant, make_virtual_key, make_workspace

pytestmark = pytest.mark.django_db

GIVEN = {
    "name": "Key", "slug": "key", "manager_type": "aws_sm", "auth_config": {"aws_auth_type": "serviceRole"},
    "secret_path": "p",
}  # fmt: skip


@pytest.fixture
def tenant():
    return make_tenant()


@pytest.fixture
def reference(tenant):
    return create_reference(tenant.actor, GIVEN)


def to(field="key", named="key", **more):
    return {"target_field": field, "secret_reference_id": named, **more}


def stored():
    return [(row.target_field, row.reference.slug) for row in SecretMapping.objects.all()]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("key", "key"), ("configurations.aws_secret_access_key", "configurations.aws_secret_access_key"),
        ("model_config.awsSecretAccessKey", "configurations.aws_secret_access_key"),
        ("model_config.azure_entra_client_secret", "configurations.azure_entra_client_secret"),
    ],
)  # fmt: skip
def test_a_field_is_meant_by_any_of_its_names(written, meant):
    assert target_of(written) == meant


@pytest.mark.parametrize(
    "written",
    ["", "keys", "configurations.", "configurations.stray", "configurations.custom_host", "aws_region",
     "configurations.azure_foundry_url", "configurations.deployments", "other.aws_region"],
)  # fmt: skip
def test_what_is_no_field_or_says_where_a_key_goes_is_refused(written):
    with pytest.raises(Invalid, match="secret_mappings"):
        target_of(written)


def test_a_virtual_key_refers_to_a_secret_and_gateways_are_told(tenant, reference):
    mappings = [to(), to("configurations.aws_session_token", str(reference.pk), secret_key="t", value_format="json")]
    row = make_virtual_key(tenant, key="", secret_mappings=mappings)
    assert (row.integration.secret, row.integration.masked_key) == (None, None)
    ((_, _, exported),) = export(tenant.organisation)
    assert exported.secret_mappings == (
        SecretMappingRow("configurations.aws_session_token", str(reference.pk), "t", is_json=True),
        SecretMappingRow("key", str(reference.pk)),
    )


def test_mappings_are_replaced_as_a_whole_and_stay_when_they_are_not_named(tenant, reference):
    row = make_virtual_key(tenant, key="", secret_mappings=[to()])
    update_virtual_key(tenant.actor, row, {"name": "other"})
    assert stored() == [("key", "key")]
    row = update_virtual_key(tenant.actor, row, {"secret_mappings": [to("configurations.aws_session_token")]})
    assert stored() == [("configurations.aws_session_token", "key")]
    update_virtual_key(tenant.actor, row, {"secret_mappings": None})
    assert stored() == []


@pytest.mark.parametrize(
    "mappings", [[to(), to()], [to("model_config.awsSessionToken"), to("configurations.aws_session_token")],
                 [to(named="stray")], [to("configurations.stray")]],
)  # fmt: skip
def test_mappings_that_cannot_be_are_refused_and_nothing_is_stored(tenant, reference, mappings):
    with pytest.raises(Invalid, match="secret_mappings"):
        make_virtual_key(tenant, key="", secret_mappings=mappings)
    assert not Integration.objects.exists()


def test_a_secret_is_given_or_referred_to_and_not_both(tenant, reference):
    with pytest.raises(Invalid, match="key is given as well"):
        make_virtual_key(tenant, secret_mappings=[to()])
    settings = {"aws_session_token": Secret("t")}
    with pytest.raises(Invalid, match="aws_session_token is given as well"):
        make_virtual_key(tenant, configurations=settings, secret_mappings=[to("configurations.aws_session_token")])


def test_another_organisations_reference_is_like_none(tenant):
    foreign = create_reference(make_tenant().actor, GIVEN)
    for named in (foreign.slug, str(foreign.pk)):
        with pytest.raises(Invalid, match="no secret reference"):
            make_virtual_key(tenant, key="", secret_mappings=[to(named=named)])


def test_a_reference_is_for_its_workspaces(tenant):
    team = make_workspace(tenant)
    create_reference(tenant.actor, {**GIVEN, "allowed_workspaces": [team.slug]})
    assert make_virtual_key(tenant, key="", workspace=team, secret_mappings=[to()]).workspace == team
    with pytest.raises(Invalid, match="in this workspace"):
        make_virtual_key(tenant, key="", secret_mappings=[to()])
    with pytest.raises(Invalid, match="in all workspaces"):
        create_integration(tenant.actor, {"name": "a", "ai_provider_id": "openai", "secret_mappings": [to()]})


def test_a_shared_integration_is_mapped_at_the_integration_alone(tenant, reference):
    account = create_integration(tenant.actor, {"name": "a", "ai_provider_id": "openai"})
    row = create_provider(tenant.actor, tenant.workspace, account, {"name": "p"})
    with pytest.raises(Invalid, match="change them there"):
        update_virtual_key(tenant.actor, row, {"secret_mappings": [to()]})
    update_integration(tenant.actor, account, {"secret_mappings": [to()]})
    assert stored() == [("key", "key")]


def test_mappings_go_with_their_integration(tenant, reference):
    delete_virtual_key(tenant.actor, make_virtual_key(tenant, key="", secret_mappings=[to()]))
    assert not SecretMapping.objects.exists()
    assert SecretReference.objects.get() == reference
