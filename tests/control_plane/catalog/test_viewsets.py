"""Virtual keys, integrations and providers in the Admin API."""

import pytest

from control_plane.catalog.models import Integration, VirtualKey
from control_plane.core.scopes import ORGANISATION_KEY
from tests.control_plane.factories import Api, make_key, make_tenant, make_virtual_key, make_workspace

pytestmark = pytest.mark.django_db

HOST = "https://llm.example.com/v1"


@pytest.fixture
def tenant():
    return make_tenant()


@pytest.fixture
def api(tenant):
    return Api(tenant.admin_key)


@pytest.mark.parametrize(
    "place", [{"custom_host": HOST}, {"model_config": {"custom_host": HOST}}, {"configurations": {"custom_host": HOST}}]
)
def test_a_custom_host_is_found_wherever_clients_put_it(api, place):
    slug = api.post("virtual-keys", {"name": "n", "provider": "openai", "key": "k" * 20, **place}).json()["slug"]
    assert api.get(f"virtual-keys/{slug}").json()["model_config"] == {"custom_host": HOST}


def test_settings_that_are_not_named_stay(api):
    body = {"name": "n", "provider": "openai", "key": "k" * 20, "custom_host": HOST, "apiVersion": "1"}
    slug = api.post("virtual-keys", body).json()["slug"]
    assert api.put(f"virtual-keys/{slug}", {"apiVersion": "2"}).status_code == 200
    assert api.get(f"virtual-keys/{slug}").json()["model_config"] == {"custom_host": HOST, "azure_api_version": "2"}


def test_answers_are_flat_and_wrapped(api):
    made = api.post("virtual-keys", {"name": "n", "provider": "openai", "key": "k" * 20}).json()
    assert (made["slug"], made["data"]["slug"], made["success"]) == ("n", "n", True)
    read = api.get("virtual-keys/n").json()
    assert read["data"]["name"] == read["name"] == "n"
    assert read["object"] == "virtual-key"


@pytest.mark.parametrize(
    "fault",
    [{"provider": "nope"}, {"provider": None}, {"key": ""}, {"key": 7}, {"slug": "a b"}, {"expires_at": "x"},
     {"expires_at": "2020-01-01T00:00:00Z"}, {"usage_limits": "x"}, {"rate_limits": "x"}, {"custom_host": "x"},
     {"configurations": []}, {"configurations": {"custom_headers": {}}}, {"name": "x" * 300}],
)  # fmt: skip
def test_a_field_that_cannot_be_used_is_a_400(api, fault):
    answer = api.post("virtual-keys", {"name": "n", "provider": "openai", "key": "k" * 20, **fault})
    assert (answer.status_code, answer.json()["data"]["errorCode"]) == (400, "AB01")
    assert not VirtualKey.objects.exists()


def test_a_slug_that_is_taken_is_a_409(tenant, api):
    make_virtual_key(tenant, slug="mine")
    answer = api.post("virtual-keys", {"name": "n", "provider": "openai", "slug": "mine"})
    assert (answer.status_code, answer.json()["data"]["errorCode"]) == (409, "AB07")


def test_a_workspace_key_makes_things_in_its_own_workspace(tenant):
    team = make_workspace(tenant)
    api = Api(make_key(tenant, workspace=team).shown_once())
    api.post("virtual-keys", {"name": "n", "provider": "openai"})
    assert VirtualKey.objects.get().workspace == team
    elsewhere = {"name": "m", "provider": "openai", "workspace_id": tenant.workspace.slug}
    assert api.post("virtual-keys", elsewhere).status_code == 400


def test_an_integration_comes_with_a_provider_unless_that_is_declined(api):
    body = {"name": "Account", "ai_provider_id": "openai", "key": "k" * 20}
    api.post("integrations", {**body, "default_provider_slug": "acc"})
    api.post("integrations", {**body, "create_default_provider": False})
    assert [row.slug for row in VirtualKey.objects.all()] == ["acc"]
    assert Integration.objects.filter(workspace=None).count() == 2


def test_integrations_of_the_organisation_are_hidden_from_workspace_keys(tenant, api):
    slug = api.post("integrations", {"name": "a", "ai_provider_id": "openai"}).json()["slug"]
    of_team = Api(make_key(tenant).shown_once())
    assert of_team.get(f"integrations/{slug}").status_code == 404
    assert of_team.post("integrations", {"name": "b", "ai_provider_id": "openai"}).status_code == 200
    assert [row["name"] for row in of_team.get("integrations").json()["data"]] == ["b"]
    assert api.get("integrations", type="organisation").json()["total"] == 1


def test_each_kind_of_integration_has_its_own_scopes(tenant, api):
    of_organisation = api.post("integrations", {"name": "a", "ai_provider_id": "openai"}).json()["slug"]
    body = {"name": "b", "ai_provider_id": "openai", "workspace_id": tenant.workspace.slug}
    of_workspace = api.post("integrations", body).json()["slug"]
    scopes = [f"workspace_integrations.{verb}" for verb in ("create", "read", "update", "delete", "list")]
    few = Api(make_key(tenant, scopes, key_type=ORGANISATION_KEY).shown_once())
    for answer in (
        few.get(f"integrations/{of_organisation}"),
        few.put(f"integrations/{of_organisation}", {"name": "x"}),
        few.delete(f"integrations/{of_organisation}"),
        few.post("integrations", {"name": "c", "ai_provider_id": "openai"}),
    ):
        assert answer.status_code == 403
    assert few.get(f"integrations/{of_workspace}").status_code == 200
    assert [row["slug"] for row in few.get("integrations").json()["data"]] == [of_workspace]
    assert Integration.objects.count() == 2


def test_a_provider_of_a_foreign_integration_is_refused(api):
    other = make_tenant()
    foreign = Api(other.admin_key).post("integrations", {"name": "a", "ai_provider_id": "openai"}).json()
    for named in (foreign["id"], foreign["slug"], "nothing"):
        assert api.post("providers", {"name": "p", "integration_id": named}).status_code == 400


def test_lists_of_providers_have_one_rate_limit_where_details_have_a_list(api):
    slug = api.post("integrations", {"name": "a", "ai_provider_id": "openai"}).json()["slug"]
    limit = {"type": "requests", "unit": "rpm", "value": 1}
    api.post("providers", {"name": "p", "integration_id": slug, "rate_limits": [limit]})
    assert api.get("providers/p").json()["rate_limits"] == [limit]
    assert {row["slug"]: row["rate_limits"] for row in api.get("providers").json()["data"]} == {"a": None, "p": limit}
