"""Defaults of organisations and workspaces."""

import pytest

from control_plane.core.models import AuditEvent
from control_plane.orgs import defaults
from control_plane.orgs.models import Organisation, Workspace
from tests.control_plane.factories import Api, make_config, make_key, make_tenant, make_workspace

pytestmark = pytest.mark.django_db
PATH = "admin/organisation/defaults"


@pytest.fixture
def tenant():
    return make_tenant()


@pytest.fixture
def api(tenant):
    return Api(tenant.admin_key)


@pytest.fixture
def guardrails(monkeypatch):
    """Guardrails as a later version has them, by slug and by id."""
    known = {"pg-a": {"id": "1", "slug": "pg-a"}, "pg-b": {"id": "2", "slug": "pg-b"}, "2": {"id": "2", "slug": "pg-b"}}
    monkeypatch.setattr(defaults, "guardrail_named", lambda name, *_where: known.get(name))


def test_this_version_knows_no_guardrails(tenant):
    assert defaults.guardrail_named("anything", tenant.organisation.pk, None) is None


def test_an_organisation_has_no_defaults_at_first(api):
    assert api.get(PATH).json() == {"input_guardrails": [], "output_guardrails": []}


def test_an_empty_list_can_be_set_and_is_in_the_trail(tenant, api):
    assert api.put(PATH, {"input_guardrails": []}).json() == {"input_guardrails": [], "output_guardrails": []}
    assert Organisation.objects.get(pk=tenant.organisation.pk).defaults == {"input_guardrails": []}
    event = AuditEvent.objects.get(
        resource_type="organisation", action="update", organisation_id=tenant.organisation.pk
    )
    assert (event.before, event.after) == ({"defaults": {}}, {"defaults": {"input_guardrails": []}})


@pytest.mark.parametrize("name", defaults.GUARDRAILS)
def test_a_guardrail_that_there_is_none_of_is_refused_everywhere(tenant, api, name):
    refused = api.put(PATH, {name: ["pg-x"]})
    assert (refused.status_code, refused.json()["data"]["message"]) == (400, f"{name}: there is no guardrail 'pg-x'")
    path = f"admin/workspaces/{tenant.workspace.slug}"
    for answer in (
        api.put(path, {"defaults": {name: ["pg-x"]}}),
        api.post("admin/workspaces", {"name": "n", "defaults": {name: ["pg-x"]}}),
    ):
        assert answer.status_code == 400
        assert answer.json()["data"]["message"] == f"defaults.{name}: there is no guardrail 'pg-x'"
    assert api.put(path, {"defaults": {name: []}}).status_code == 200


@pytest.mark.parametrize("body", [{"input_guardrails": "x"}, {"input_guardrails": [{}]}, {"output_guardrails": None}])
def test_defaults_are_lists_of_names(api, body):
    assert api.put(PATH, body).status_code == 400


@pytest.mark.usefixtures("guardrails")
def test_guardrails_are_kept_by_slug_and_shown_with_their_ids(tenant, api):
    shown = api.put(PATH, {"input_guardrails": ["2", "pg-a", "pg-b"], "output_guardrails": ["pg-a"]}).json()
    assert shown == api.get(PATH).json()
    assert shown["input_guardrails"] == [{"id": "2", "slug": "pg-b"}, {"id": "1", "slug": "pg-a"}]
    assert api.put(PATH, {"input_guardrails": []}).json()["output_guardrails"] == [{"id": "1", "slug": "pg-a"}]
    api.put(f"admin/workspaces/{tenant.workspace.slug}", {"defaults": {"output_guardrails": ["2"]}})
    assert Workspace.objects.get(pk=tenant.workspace.pk).defaults == {"output_guardrails": ["pg-b"]}


@pytest.mark.parametrize("by", ["slug", "pk"])
def test_a_config_of_the_workspace_is_kept_by_its_slug(tenant, api, by):
    config = make_config(tenant)
    path = f"admin/workspaces/{tenant.workspace.slug}"
    assert api.put(path, {"defaults": {"user_api_key_config": str(getattr(config, by))}}).status_code == 200
    assert api.get(path).json()["defaults"]["user_api_key_config"] == config.slug
    api.put(path, {"defaults": {"user_api_key_config": None}})
    assert "user_api_key_config" not in api.get(path).json()["defaults"]


def test_a_config_of_another_workspace_is_refused(tenant, api):
    elsewhere, foreign = make_config(tenant, workspace=make_workspace(tenant)), make_config(make_tenant())
    for named in (elsewhere.slug, str(foreign.pk), "pc-nothing", ""):
        body = {"defaults": {"user_api_key_config": named}}
        assert api.put(f"admin/workspaces/{tenant.workspace.slug}", body).status_code == 400
        assert api.post("admin/workspaces", {"name": "n", **body}).status_code == 400


def test_only_the_organisations_settings_scopes_reach_them(tenant):
    reader = Api(make_key(tenant, ["organisation_settings.read"], key_type="organisation-service").shown_once())
    assert (reader.get(PATH).status_code, reader.put(PATH, {}).status_code) == (200, 403)
    assert Api(make_key(tenant).shown_once()).get(PATH).status_code == 403
