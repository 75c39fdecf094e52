"""Virtual keys, integrations and providers in the Admin API."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from control_plane.budgets.models import Budget
from control_plane.catalog.export import export
from control_plane.catalog.models import Integration, VirtualKey
from control_plane.core.scopes import ORGANISATION_KEY
from shared.money import NANO
from shared.schema.rows import DeploymentRow
from tests.control_plane.budgets.budget_kit import spend
from tests.control_plane.factories import Api, make_key, make_tenant, make_virtual_key, make_workspace

pytestmark = pytest.mark.django_db

HOST = "https://llm.example.com/v1"
RATE = {"type": "requests", "unit": "rpm", "value": 5}


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


AZURE = {"name": "az", "provider": "azure-openai", "key": "k" * 20, "resourceName": "res"}
LEGACY = [
    {"deploymentName": "dep-a", "apiVersion": "2024-10-21", "alias": "fast"},
    {"deploymentName": "dep-b", "apiVersion": "2024-02-01", "is_default": True},
]
DEPLOYMENTS = [
    {"azure_deployment_name": "dep-a", "azure_api_version": "2024-10-21", "alias": "fast", "is_default": False},
    {"azure_deployment_name": "dep-b", "azure_api_version": "2024-02-01", "is_default": True},
]


@pytest.mark.parametrize(
    "place",
    [{"deploymentConfig": LEGACY}, {"configurations": {"azure_deployment_config": DEPLOYMENTS}},
     {"model_config": {"deploymentConfig": LEGACY}}],
)  # fmt: skip
def test_deployments_are_found_wherever_clients_put_them_and_reach_gateways(tenant, api, place):
    assert api.post("virtual-keys", {**AZURE, **place}).status_code == 200
    settings = {"azure_resource_name": "res"}
    assert api.get("virtual-keys/az").json()["model_config"] == {**settings, "azure_deployment_config": DEPLOYMENTS}
    ((_, _, row),) = export(tenant.organisation)
    assert row.settings == settings
    assert row.deployments == (
        DeploymentRow("dep-a", "2024-10-21", ("fast", "dep-a")),
        DeploymentRow("dep-b", "2024-02-01", ("dep-b",), is_default=True),
    )
    assert api.put("virtual-keys/az", {"deploymentConfig": LEGACY[:1]}).status_code == 200
    ((_, _, row),) = export(tenant.organisation)
    assert [each.deployment for each in row.deployments] == ["dep-a"]


@pytest.mark.parametrize("fault", [[], "x", [{"deploymentName": "a"}], [{"apiVersion": "1"}], [*LEGACY, *LEGACY]])
def test_deployments_that_cannot_be_are_a_400(api, fault):
    assert api.post("virtual-keys", {**AZURE, "deploymentConfig": fault}).status_code == 400
    account = {"name": "a", "ai_provider_id": "azure-openai", "configurations": {"azure_deployment_config": fault}}
    assert api.post("integrations", account).status_code == 400


def test_what_a_virtual_key_is_cannot_be_changed(api):
    api.post("virtual-keys", {"name": "n", "provider": "openai", "key": "k" * 20})
    for change in ({"slug": "m"}, {"provider": "anthropic"}):
        assert api.put("virtual-keys/n", change).status_code == 400
    assert api.put("virtual-keys/n", {"slug": "n", "provider": "openai", "name": "m"}).status_code == 200


@pytest.mark.parametrize("path", ["virtual-keys/n", "providers/n"])
def test_what_was_used_up_is_shown_until_it_is_reset(api, path):
    limit = {"credit_limit": 10, "alert_threshold": 5, "periodic_reset": "weekly"}
    api.post("virtual-keys", {"name": "n", "provider": "openai", "key": "k" * 20, "usage_limits": limit})
    spend(10 * NANO, "virtual_key")
    read = api.get(path).json()
    assert (read["status"], read["usage_limits"]["credit_limit"], read["reset_usage"]) == ("exhausted", 10, None)
    assert (read["current_usage"], read["usage_status"]) == (10, "exhausted")
    assert (read["is_threshold_alerts_sent"], read["is_exhausted_alerts_sent"]) == (True, True)
    assert read["next_usage_reset_at"].endswith("T00:00:00Z")
    assert [row["status"] for row in api.get(path.split("/")[0]).json()["data"]] == ["exhausted"]
    assert api.put(path, {"reset_usage": True}).status_code == 200
    read = api.get(path).json()
    assert (read["status"], read["current_usage"], read["usage_status"]) == ("active", 0, "active")
    assert read["last_usage_reset_at"] is not None


def test_a_virtual_key_without_a_limit_shows_no_usage_and_can_be_reset(api):
    api.post("virtual-keys", {"name": "n", "provider": "openai", "key": "k" * 20})
    assert "current_usage" not in api.get("virtual-keys/n").json()
    assert api.put("virtual-keys/n", {"reset_usage": True}).status_code == 200
    assert not Budget.objects.exists()


def test_an_integration_has_limits_of_all_its_workspaces_together(api):
    limits = {"usage_limits": {"type": "tokens", "credit_limit": 1000}, "rate_limits": [RATE]}
    made = api.post("integrations", {"name": "a", "ai_provider_id": "openai", **limits}).json()
    spend(250, "integration")
    read = api.get(f"integrations/{made['id']}").json()
    assert (read["usage_limits"], read["rate_limits"]) == (limits["usage_limits"], [RATE])
    assert (read["current_usage"], read["usage_status"]) == (250, "active")
    assert [row["current_usage"] for row in api.get("integrations").json()["data"]] == [250]
    assert api.put(f"integrations/{made['id']}", {"usage_limits": None, "rate_limits": None}).status_code == 200
    read = api.get(f"integrations/{made['id']}").json()
    assert (read["usage_limits"], read["rate_limits"], "current_usage" in read) == (None, [], False)
    assert Budget.objects.get().limit is None


def test_a_virtual_key_says_when_it_cannot_be_used(tenant, api):
    slug = api.post("integrations", {"name": "a", "ai_provider_id": "openai"}).json()["slug"]
    closed = {"workspaces": [{"id": tenant.workspace.slug, "enabled": False}]}
    assert api.put(f"integrations/{slug}/workspaces", closed).status_code == 200
    for path in ("virtual-keys", "providers"):
        assert api.get(f"{path}/a").json()["status"] == "disabled"
        assert [row["status"] for row in api.get(path).json()["data"]] == ["disabled"]


def test_a_workspace_key_makes_providers_of_what_its_workspace_may_use(tenant, api):
    body = {"name": "a", "ai_provider_id": "openai", "create_default_provider": False}
    slug = api.post("integrations", body).json()["slug"]
    team = make_workspace(tenant)
    of_team = Api(make_key(tenant, workspace=team).shown_once())
    answer = of_team.post("providers", {"name": "p", "integration_id": slug})
    assert (answer.status_code, answer.json()["data"]["message"]) == (400, "integration_id: no such integration")
    given = {"workspaces": [{"id": team.slug, "enabled": True}], "create_default_provider": False}
    api.put(f"integrations/{slug}/workspaces", given)
    assert of_team.post("providers", {"name": "p", "integration_id": slug}).status_code == 200
    assert VirtualKey.objects.get().workspace == team


def test_mappings_and_adjustments_are_shown(api):
    reference = {
        "name": "r",
        "manager_type": "aws_sm",
        "auth_config": {"aws_auth_type": "serviceRole"},
        "secret_path": "p",
    }
    row_id = api.post("secret-references", reference).json()["id"]
    mapping = {"target_field": "key", "secret_reference_id": row_id, "secret_key": "k", "value_format": "string"}
    adjustments = {"multiplier": {"default": 0.8}}
    account = {"name": "a", "ai_provider_id": "openai", "pricing_adjustments": adjustments}
    slug = api.post("integrations", {**account, "secret_mappings": [{**mapping, "secret_reference_id": "r"}]}).json()[
        "slug"
    ]
    shown = api.get(f"integrations/{slug}").json()
    assert (shown["secret_mappings"], shown["pricing_adjustments"], shown["masked_key"]) == (
        [mapping],
        adjustments,
        None,
    )
    assert api.get("virtual-keys/a").json()["secret_mappings"] == [mapping]
    assert api.delete("secret-references/r").status_code == 409
    api.put(f"integrations/{slug}", {"secret_mappings": [], "pricing_adjustments": None})
    shown = api.get(f"integrations/{slug}").json()
    assert (shown["secret_mappings"], shown["pricing_adjustments"]) == ([], None)
    assert api.delete("secret-references/r").status_code == 200


@pytest.mark.parametrize("path", ["virtual-keys", "providers", "integrations"])
def test_a_list_takes_as_many_queries_for_many_rows_as_for_few(api, path):
    reference = {
        "name": "r",
        "manager_type": "aws_sm",
        "auth_config": {"aws_auth_type": "serviceRole"},
        "secret_path": "p",
    }
    api.post("secret-references", reference)
    mapping = {"target_field": "configurations.aws_session_token", "secret_reference_id": "r"}
    counts = []
    for wanted in (3, 30):
        while VirtualKey.objects.count() < wanted:
            body = {"name": "a", "ai_provider_id": "openai", "key": "k" * 20, "secret_mappings": [mapping]}
            assert api.post("integrations", body).status_code == 200
        with CaptureQueriesContext(connection) as taken:
            assert api.get(path).json()["total"] == wanted
        counts.append(len(taken))
    assert counts[0] == counts[1]
