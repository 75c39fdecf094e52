"""Workspaces and their users in the Admin API."""

import pytest

from tests.control_plane.factories import Api, make_key, make_member, make_tenant, make_workspace

pytestmark = pytest.mark.django_db


def test_a_workspace_key_sees_and_changes_its_own_workspace_only():
    tenant = make_tenant()
    team = make_workspace(tenant)
    api = Api(make_key(tenant, workspace=team).shown_once())
    assert [row["slug"] for row in api.get("admin/workspaces").json()["data"]] == [team.slug]
    assert api.put(f"admin/workspaces/{team.slug}", {"name": "n"}).status_code == 200
    assert api.get(f"admin/workspaces/{tenant.workspace.slug}").status_code == 404
    assert api.post("admin/workspaces", {"name": "n"}).status_code == 403


def test_the_list_is_narrowed_by_name():
    tenant = make_tenant()
    make_workspace(tenant, "Search")
    make_workspace(tenant, "Searching")
    api = Api(tenant.admin_key)
    assert api.get("admin/workspaces", name="search").json()["total"] == 2
    assert api.get("admin/workspaces", exact_name="Search").json()["total"] == 1
    assert api.get("admin/workspaces", name="a\x00b").json()["total"] == 0


def test_the_default_workspace_is_refused_deletion_with_a_400():
    tenant = make_tenant()
    assert Api(tenant.admin_key).delete(f"admin/workspaces/{tenant.workspace.slug}").status_code == 400


def test_a_full_workspace_is_refused_deletion_with_a_409():
    tenant = make_tenant()
    team = make_workspace(tenant)
    make_key(tenant, workspace=team)
    answer = Api(tenant.admin_key).delete(f"admin/workspaces/{team.slug}")
    assert (answer.status_code, answer.json()["data"]["errorCode"]) == (409, "AB07")
    assert "1 API keys" in answer.json()["data"]["message"]


@pytest.mark.parametrize("body", [{}, {"users": []}, {"users": [{"id": "x"}]}, {"users": [{"role": "admin"}]}])
def test_users_that_are_not_named_properly_are_refused(body):
    tenant = make_tenant()
    assert Api(tenant.admin_key).post(f"admin/workspaces/{tenant.workspace.slug}/users", body).status_code == 400


def test_users_of_a_foreign_workspace_are_hidden():
    tenant, other = make_tenant(), make_tenant()
    path = f"admin/workspaces/{other.workspace.slug}/users"
    api = Api(tenant.admin_key)
    user = make_member(tenant)
    assert api.get(path).status_code == 404
    assert api.post(path, {"users": [{"id": str(user.pk), "role": "admin"}]}).status_code == 404
    assert api.delete(f"{path}/{user.pk}").status_code == 404


def test_users_are_narrowed_by_role_and_address():
    tenant = make_tenant()
    path = f"admin/workspaces/{tenant.workspace.slug}/users"
    api = Api(tenant.admin_key)
    first, second = make_member(tenant, "admin"), make_member(tenant)
    users = [{"id": str(first.pk), "role": "admin"}, {"id": str(second.pk), "role": "member"}]
    assert api.post(path, {"users": users}).status_code == 200
    assert [row["org_role"] for row in api.get(path, role="admin").json()["data"]] == ["admin"]
    assert [row["id"] for row in api.get(path, email=second.email.upper()).json()["data"]] == [str(second.pk)]


def test_a_role_that_does_not_exist_is_refused():
    tenant = make_tenant()
    user = make_member(tenant)
    path = f"admin/workspaces/{tenant.workspace.slug}/users"
    api = Api(tenant.admin_key)
    api.post(path, {"users": [{"id": str(user.pk)}]})
    assert api.put(f"{path}/{user.pk}", {"role": "god"}).status_code == 400
    assert api.get(f"{path}/{user.pk}").json()["role"] == "member"
