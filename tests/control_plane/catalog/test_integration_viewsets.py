"""Models and workspaces of an integration in the Admin API."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from control_plane.catalog.models import Integration, IntegrationModel, VirtualKey
from control_plane.core.scopes import ORGANISATION_KEY
from tests.control_plane.factories import Api, make_key, make_tenant, make_workspace

pytestmark = pytest.mark.django_db

USAGE = {"type": "tokens", "credit_limit": 1000}
RATE = {"type": "requests", "unit": "rpm", "value": 5}


@pytest.fixture
def tenant():
    return make_tenant()


@pytest.fixture
def api(tenant):
    api = Api(tenant.admin_key)
    api.post("integrations", {"name": "Acc", "slug": "acc", "ai_provider_id": "openai", "key": "k" * 20})
    return api


def models_of(api, path="integrations/acc/models"):
    return {model["slug"]: model for model in api.get(path).json()["models"]}


@pytest.mark.parametrize("path", ["integrations/acc/models", "integrations/acc/integration-models"])
def test_models_are_read_said_and_forgotten(api, path):
    said = {"slug": "mine", "enabled": True, "is_custom": True, "base_model_slug": "gpt-4o"}
    answer = api.put(path, {"models": [said, {"slug": "gpt-4o", "enabled": False}], "allow_all_models": False})
    assert (answer.status_code, answer.json()) == (200, {})
    found = models_of(api, path)
    assert {name: found["mine"][name] for name in said} == said
    assert (found["gpt-4o"]["enabled"], found["gpt-4"]["enabled"]) == (False, False)
    assert api.get("integrations/acc").json()["allow_all_models"] is False
    assert api.delete(path, query="?slugs=mine,gpt-4o").json() == {}
    assert "mine" not in models_of(api, path)
    assert not IntegrationModel.objects.exists()


def test_an_integration_is_named_by_id_too(api):
    row_id = Integration.objects.get().pk
    assert api.put(f"integrations/{row_id}/models", {"models": [{"slug": "mine", "enabled": True}]}).status_code == 200
    assert models_of(api, f"integrations/{row_id}/models")["mine"]["is_custom"] is True


@pytest.mark.parametrize("fault", [
    {}, {"models": []}, {"models": "x"}, {"models": [None]}, {"models": [{"slug": "a"}]}, {"models": [{"enabled": True}]},
    {"models": [{"slug": "a b", "enabled": True}]}, {"models": [{"slug": "a", "enabled": True}] * 2},
    {"models": [{"slug": "a", "enabled": True, "pricing_config": {"type": "x"}}]},
    {"models": [{"slug": "a", "enabled": True, "configurations": {"custom_host": "x"}}]},
    {"models": [{"slug": "a", "enabled": True, "configurations": {"custom_host": "https://b.example"}}]},
])  # fmt: skip
def test_models_that_cannot_be_are_a_400(api, fault):
    answer = api.put("integrations/acc/models", fault)
    assert (answer.status_code, answer.json()["data"]["errorCode"]) == (400, "AB01")
    assert not IntegrationModel.objects.exists()


@pytest.mark.parametrize("query", ["", "?slugs=", "?slugs=stray", "?slugs=%00"])
def test_models_that_nothing_was_said_of_cannot_be_forgotten(api, query):
    assert api.delete("integrations/acc/models", query=query).status_code == 400


def test_the_key_that_a_new_host_needs_is_shown_nowhere(api):
    large = {"slug": "large", "enabled": True, "configurations": {"custom_host": "https://eu.example.com/v1"}}
    assert "give the integration's key again" in str(api.put("integrations/acc/models", {"models": [large]}).json())
    answer = api.put("integrations/acc/models", {"models": [large], "key": "sk-sentinel-0123456789"})
    assert answer.status_code == 200
    assert models_of(api)["large"]["configurations"]["custom_host"] == "https://eu.example.com/v1"
    assert "sentinel" not in api.get("integrations/acc/models").content.decode()


def test_workspaces_are_read_and_said(tenant, api):
    team, later = make_workspace(tenant), make_workspace(tenant, "Later")
    entry = {
        "id": team.slug,
        "enabled": True,
        "usage_limits": [USAGE],
        "rate_limits": [RATE],
        "default_provider_slug": "p",
    }
    answer = api.put("integrations/acc/workspaces", {"workspaces": [entry]})
    assert (answer.status_code, answer.json()) == (200, {})
    told = api.get("integrations/acc/workspaces").json()
    found = {each["id"]: each for each in told["workspaces"]}
    assert told["total"] == len(found) == 3
    assert {each: found[str(team.pk)][each] for each in ("enabled", "usage_limits", "rate_limits", "slug")} == {
        "enabled": True, "usage_limits": USAGE, "rate_limits": RATE, "slug": team.slug,
    }  # fmt: skip
    assert found[str(later.pk)]["enabled"] is False
    assert VirtualKey.objects.get(workspace=team).slug == "p"
    assert api.get("integrations/acc").json()["workspace_count"] == 2


def test_access_of_all_is_shown_with_the_integration(api):
    said = {"enabled": True, "usage_limits": [USAGE], "rate_limits": [RATE]}
    api.put("integrations/acc/workspaces", {"global_workspace_access": said, "create_default_provider": False})
    shown = api.get("integrations/acc").json()
    assert shown["global_workspace_access_settings"] == shown["global_workspace_access"] == said
    assert api.get("integrations/acc/workspaces").json()["global_workspace_access"] == said


@pytest.mark.parametrize("spelling", ["override_existing_workspace_access", "override_existing_workspaces_access"])
def test_both_spellings_of_overriding_are_understood(tenant, api, spelling):
    api.put("integrations/acc/workspaces", {"workspaces": [{"id": tenant.workspace.slug, "enabled": False}]})
    api.put("integrations/acc/workspaces", {"global_workspace_access": {"enabled": True}, spelling: True})
    assert all(each["enabled"] for each in api.get("integrations/acc/workspaces").json()["workspaces"])


@pytest.mark.parametrize("fault", [
    {"workspaces": [{"id": "nothing", "enabled": True}]}, {"workspaces": [{"enabled": True}]}, {"workspaces": "x"},
    {"workspaces": [None]},
    {"workspaces": [{"id": "{home}"}]}, {"workspaces": [{"id": "{home}", "enabled": True}] * 2},
    {"workspaces": [{"id": "{home}", "enabled": True, "usage_limits": [USAGE, USAGE]}]},
    {"workspaces": [{"id": "{home}", "enabled": True, "rate_limits": [RATE, {**RATE, "unit": "rpd"}]}]},
    {"global_workspace_access": {}}, {"global_workspace_access": {"enabled": True, "usage_limits": [{"type": "x"}]}},
])  # fmt: skip
def test_access_that_cannot_be_is_a_400(tenant, api, fault):
    for entry in fault.get("workspaces", ()):
        if isinstance(entry, dict) and entry.get("id") == "{home}":
            entry["id"] = tenant.workspace.slug
    answer = api.put("integrations/acc/workspaces", fault)
    assert (answer.status_code, answer.json()["data"]["errorCode"]) == (400, "AB01")


@pytest.mark.parametrize("part", ["models", "workspaces"])
def test_each_kind_of_integration_needs_its_own_scope(tenant, api, part):
    own = {"name": "Own", "slug": "own", "ai_provider_id": "openai", "workspace_id": tenant.workspace.slug}
    api.post("integrations", own)
    body = {"models": [{"slug": "a", "enabled": True}], "workspaces": []}
    scopes = ["workspace_integrations.read", "workspace_integrations.update"]
    few = Api(make_key(tenant, scopes, key_type=ORGANISATION_KEY).shown_once())
    assert few.get(f"integrations/acc/{part}").status_code == 403
    assert few.put(f"integrations/acc/{part}", body).status_code == 403
    assert few.get(f"integrations/own/{part}").status_code == 200
    assert few.put(f"integrations/own/{part}", body).status_code == 200
    reading = Api(make_key(tenant, scopes[:1], key_type=ORGANISATION_KEY).shown_once())
    assert reading.put(f"integrations/own/{part}", body).status_code == 403


@pytest.mark.parametrize("part", ["models", "workspaces"])
def test_others_see_and_change_nothing(tenant, api, part):
    body = {"models": [{"slug": "a", "enabled": True}], "workspaces": []}
    for stranger in (Api(make_tenant().admin_key), Api(make_key(tenant).shown_once())):
        assert stranger.get(f"integrations/acc/{part}").status_code == 404
        assert stranger.put(f"integrations/acc/{part}", body).status_code == 404
    assert not IntegrationModel.objects.exists()


def test_lists_of_parts_take_as_many_queries_for_many_rows_as_for_few(tenant, api):
    counts = []
    for wanted in (3, 30):
        entries = [{"slug": f"mine-{number}", "enabled": True} for number in range(wanted)]
        api.put("integrations/acc/models", {"models": entries})
        while VirtualKey.objects.count() < wanted:
            team = make_workspace(tenant)
            api.put("integrations/acc/workspaces", {"workspaces": [{"id": team.slug, "enabled": True}]})
        with CaptureQueriesContext(connection) as of_models:
            api.get("integrations/acc/models")
        with CaptureQueriesContext(connection) as of_workspaces:
            assert api.get("integrations/acc/workspaces").json()["total"] == wanted
        counts.append((len(of_models), len(of_workspaces)))
    assert counts[0] == counts[1]
