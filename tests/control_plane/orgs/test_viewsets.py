"""Workspaces and their users in the Admin API."""

import pytest

from control_plane.core.scopes import ORGANISATION_KEY
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


def test_people_are_listed_read_changed_and_removed():
    tenant = make_tenant()
    api = Api(tenant.admin_key)
    make_member(tenant, "owner")
    user = make_member(tenant, email="ada@example.com")
    api.post(f"admin/workspaces/{tenant.workspace.slug}/users", {"users": [{"id": str(user.pk), "role": "admin"}]})
    read = api.get(f"admin/users/{user.pk}").json()
    assert (read["object"], read["role"], read["email"]) == ("user", "member", "ada@example.com")
    assert read["workspace_ids"] == [str(tenant.workspace.pk)]
    assert api.put(f"admin/users/{user.pk}", {"role": "admin"}).json() == {}
    assert [row["id"] for row in api.get("admin/users", role="admin").json()["data"]] == [str(user.pk)]
    assert api.get("admin/users", email="ADA@example.com").json()["total"] == 1
    assert api.delete(f"admin/users/{user.pk}").json() == {}
    assert api.get(f"admin/users/{user.pk}").status_code == 404
    assert api.get("admin/users", pageSize=1, currentPage=0).json()["total"] == 1


@pytest.mark.parametrize("body", [{"role": "owner"}, {"role": "god"}, {}, {"role": None}])
def test_a_role_that_the_api_does_not_give_is_refused(body):
    tenant = make_tenant()
    user = make_member(tenant)
    assert Api(tenant.admin_key).put(f"admin/users/{user.pk}", body).status_code == 400


def test_the_api_leaves_owners_alone():
    tenant = make_tenant()
    api = Api(tenant.admin_key)
    make_member(tenant, "owner")
    path = f"admin/users/{make_member(tenant, 'owner').pk}"
    assert [api.put(path, {"role": "member"}).status_code, api.delete(path).status_code] == [403, 403]


def test_people_of_another_organisation_are_missing():
    api = Api(make_tenant().admin_key)
    path = f"admin/users/{make_member(make_tenant()).pk}"
    answers = [api.get(path), api.put(path, {"role": "admin"}), api.delete(path)]
    assert [answer.status_code for answer in answers] == [404, 404, 404]


def test_an_invite_is_made_listed_resent_and_cancelled():
    tenant = make_tenant()
    api = Api(tenant.admin_key)
    body = {
        "email": "New@example.com",
        "role": "member",
        "workspaces": [{"id": tenant.workspace.slug, "role": "admin"}],
        "workspace_api_key_details": {"scopes": ["logs.view"]},
    }
    made = api.post("admin/users/invites", body).json()
    assert set(made) == {"id", "invite_link"}
    path = f"admin/users/invites/{made['id']}"
    read = api.get(path).json()
    assert (read["email"], read["role"], read["status"]) == ("new@example.com", "member", "pending")
    assert read["accepted_at"] is None
    assert made["invite_link"] not in str(read)
    again = api.post(f"{path}/resend").json()
    assert set(again) == {"inviteLink"}
    assert again["inviteLink"] != made["invite_link"]
    assert api.delete(path).json() == {}
    assert api.get(path).json()["status"] == "cancelled"
    assert api.post(f"{path}/resend").status_code == 409


def test_invites_are_narrowed_by_status_role_and_address():
    tenant = make_tenant()
    api = Api(tenant.admin_key)
    ids = [
        api.post("admin/users/invites", {"email": f"{role}@example.com", "role": role}).json()["id"]
        for role in ("admin", "member")
    ]
    api.delete(f"admin/users/invites/{ids[0]}")

    def found(**query):
        return [row["id"] for row in api.get("admin/users/invites", **query).json()["data"]]

    assert found(status="pending") == [ids[1]]
    assert found(status="cancelled") == found(role="admin") == found(email="ADMIN@example.com") == [ids[0]]
    assert found(status="accepted") == found(status="expired") == found(status="nonsense") == []
    assert sorted(found()) == sorted(ids)


@pytest.mark.parametrize(
    "change",
    [{"email": "x"}, {"email": None}, {"role": "owner"}, {"role": None}, {"workspaces": [{"id": "nothing", "role": "admin"}]},
     {"workspaces": [{"role": "admin"}]}, {"workspaces": "x"}, {"workspace_api_key_details": {"scopes": []}},
     {"workspace_api_key_details": {"scopes": ["nothing.view"]}}, {"workspace_api_key_details": {}}],
)  # fmt: skip
def test_an_invite_that_cannot_be_is_refused(change):
    body = {"email": "new@example.com", "role": "member", **change}
    assert Api(make_tenant().admin_key).post("admin/users/invites", body).status_code == 400


def test_invites_of_another_organisation_are_missing():
    tenant = make_tenant()
    made = Api(tenant.admin_key).post("admin/users/invites", {"email": "n@example.com", "role": "member"}).json()
    api = Api(make_tenant().admin_key)
    path = f"admin/users/invites/{made['id']}"
    answers = [api.get(path), api.delete(path), api.post(f"{path}/resend")]
    assert [answer.status_code for answer in answers] == [404, 404, 404]


def test_reading_people_does_not_allow_inviting_them():
    tenant = make_tenant()
    scopes = ["organisation_users.list", "organisation_users.read"]
    api = Api(make_key(tenant, scopes, key_type="organisation-service").shown_once())
    assert api.get("admin/users/invites").status_code == 200
    assert api.post("admin/users/invites", {"email": "n@example.com", "role": "member"}).status_code == 403


def test_the_organisation_is_renamed_and_its_saved_only_mode_is_set():
    tenant = make_tenant()
    api = Api(tenant.admin_key)
    before = api.get("admin/organisation").json()
    shown = api.put("admin/organisation", {"name": "Acme, Inc.", "block_inline": not before["block_inline"]}).json()
    assert shown == {**before, "name": "Acme, Inc.", "block_inline": not before["block_inline"]}
    assert api.put("admin/organisation", {}).json() == shown
    for fault in ({"name": ""}, {"name": None}, {"block_inline": "perhaps"}):
        assert api.put("admin/organisation", fault).status_code == 400
    few = Api(make_key(tenant, ["organisation_settings.read"], key_type=ORGANISATION_KEY).shown_once())
    assert few.put("admin/organisation", {"name": "Mine"}).status_code == 403
