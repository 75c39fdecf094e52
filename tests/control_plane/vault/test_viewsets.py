"""Secret references in the Admin API."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from control_plane.vault.models import SecretReference
from control_plane.vault.viewsets import SecretReferenceViewSet
from tests.control_plane.factories import Api, make_key, make_tenant, make_workspace

pytestmark = pytest.mark.django_db

BODY = SecretReferenceViewSet.example


@pytest.fixture
def tenant():
    return make_tenant()


@pytest.fixture
def api(tenant):
    return Api(tenant.admin_key)


def test_a_reference_is_shown_with_its_secrets_masked(tenant, api):
    made = api.post("secret-references", {**BODY, "slug": "mine", "description": "d"}).json()
    assert made == {"id": made["id"], "slug": "mine", "object": "secret-reference"}
    shown = api.get("secret-references/mine").json()
    assert shown["auth_config"] == {**BODY["auth_config"], "aws_secret_access_key": "****"}
    assert {name: shown[name] for name in ("secret_path", "secret_key", "tags", "status", "description")} == {
        "secret_path": "prod/openai", "secret_key": "api_key", "tags": {"team": "search"}, "status": "ACTIVE",
        "description": "d",
    }  # fmt: skip
    assert (shown["allow_all_workspaces"], shown["allowed_workspaces"]) == (True, [])
    assert BODY["auth_config"]["aws_secret_access_key"] not in api.get("secret-references").content.decode()


def test_what_is_shown_can_be_sent_back(api):
    slug = api.post("secret-references", BODY).json()["slug"]
    shown = api.get(f"secret-references/{slug}").json()
    sent = {name: shown[name] for name in ("name", "auth_config", "secret_path", "tags", "description")}
    assert api.put(f"secret-references/{slug}", sent).status_code == 200
    assert api.get(f"secret-references/{slug}").json()["auth_config"] == shown["auth_config"]


def test_lists_are_narrowed(api):
    for name, tags in (("Alpha", {"team": "a", "env": "p"}), ("Beta", {"team": "b"})):
        api.post("secret-references", {**BODY, "name": name, "tags": tags})
    vault = {"vault_auth_type": "kubernetes", "vault_addr": "https://vault.example.com", "vault_role": "r"}
    gamma = {**BODY, "name": "Gamma", "tags": None, "manager_type": "hashicorp_vault", "auth_config": vault}
    api.post("secret-references", gamma)

    def names(**query):
        return [row["name"] for row in api.get("secret-references", **query).json()["data"]]

    assert names() == ["Alpha", "Beta", "Gamma"]
    assert names(manager_type="hashicorp_vault") == ["Gamma"]
    assert names(tags='{"team":"a"}') == ["Alpha"]
    assert names(tags='{"team":"a","env":"q"}') == []
    assert names(search="et") == ["Beta"]


@pytest.mark.parametrize("query", [
    {"manager_type": "gcp"}, {"tags": "{"}, {"tags": "[]"}, {"tags": '{"a":1}'}, {"tags": '{"a":"\\u0000"}'},
])  # fmt: skip
def test_a_filter_that_means_nothing_is_a_400(api, query):
    assert api.get("secret-references", **query).status_code == 400


@pytest.mark.parametrize("fault", [
    {"manager_type": "gcp"}, {"auth_config": []}, {"auth_config": {"aws_auth_type": "accessKey"}}, {"secret_path": ""},
    {"tags": {"a": 1}}, {"slug": "a b"}, {"allowed_workspaces": []}, {"allowed_workspaces": ["nothing"]},
    {"organisation_id": "018f0000-0000-7000-8000-000000000000"}, {"name": "x" * 256}, {"description": "x" * 1025},
])  # fmt: skip
def test_a_field_that_cannot_be_used_is_a_400(api, fault):
    answer = api.post("secret-references", {**BODY, **fault})
    assert (answer.status_code, answer.json()["data"]["errorCode"]) == (400, "AB01")
    assert not SecretReference.objects.exists()


def test_references_are_the_organisations_alone(tenant, api):
    slug = api.post("secret-references", BODY).json()["slug"]
    few = Api(make_key(tenant).shown_once())
    assert few.get("secret-references").status_code == 403
    assert few.get(f"secret-references/{slug}").status_code == 403


def test_workspaces_are_named_by_id_or_slug_and_forgotten_when_they_go(tenant, api):
    team = make_workspace(tenant)
    body = {**BODY, "allowed_workspaces": [team.slug, str(tenant.workspace.pk)]}
    slug = api.post("secret-references", body).json()["slug"]
    shown = api.get(f"secret-references/{slug}").json()["allowed_workspaces"]
    assert set(shown) == {str(team.pk), str(tenant.workspace.pk)}
    assert api.delete(f"admin/workspaces/{team.slug}", {"name": team.name}).status_code == 200
    shown = api.get(f"secret-references/{slug}").json()
    assert (shown["allow_all_workspaces"], shown["allowed_workspaces"]) == (False, [str(tenant.workspace.pk)])


def test_a_list_takes_as_many_queries_for_many_rows_as_for_few(api):
    counts = []
    for wanted in (3, 30):
        while SecretReference.objects.count() < wanted:
            api.post("secret-references", BODY)
        with CaptureQueriesContext(connection) as taken:
            assert api.get("secret-references").json()["total"] == wanted
        counts.append(len(taken))
    assert counts[0] == counts[1]
