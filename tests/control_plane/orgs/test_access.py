"""Switches of access through the Admin API, and what they do to people."""

import pytest

from control_plane.core.models import AuditEvent
from control_plane.core.roles import ALL_SWITCHES
from control_plane.orgs.services import add_workspace_user, principal_of_user
from tests.control_plane.factories import Api, make_key, make_member, make_tenant, make_workspace

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenant():
    return make_tenant()


def test_every_switch_is_shown_and_can_be_set(tenant):
    api = Api(tenant.admin_key)
    told = api.get("admin/organisation/access").json()
    assert set(told) == ALL_SWITCHES
    assert (told["membersWritePrompts"], told["membersViewLogs"]) == (False, True)
    changed = api.put("admin/organisation/access", {"membersViewLogs": False})
    assert (changed.status_code, changed.json()["membersViewLogs"]) == (200, False)
    assert api.get("admin/organisation/access").json()["membersViewLogs"] is False
    event = AuditEvent.objects.filter(resource_type="organisation").latest("at")
    assert (event.before, event.after) == ({"access": {}}, {"access": {"membersViewLogs": False}})


def test_a_workspaces_own_switch_wins_until_it_is_taken_back(tenant):
    api, team, user = Api(tenant.admin_key), make_workspace(tenant), make_member(tenant)
    add_workspace_user(tenant.actor, team, user.pk, "member")
    api.put("admin/organisation/access", {"membersViewLogs": False})
    assert not principal_of_user(user).allows("logs.view", team.pk)
    path = f"admin/workspaces/{team.slug}/access"
    told = api.put(path, {"membersViewLogs": True}).json()
    assert (told["own"], told["effective"]["membersViewLogs"]) == ({"membersViewLogs": True}, True)
    assert principal_of_user(user).allows("logs.view", team.pk)
    assert api.put(path, {"membersViewLogs": None}).json()["own"] == {}
    assert api.get(path).json()["effective"]["membersViewLogs"] is False


@pytest.mark.parametrize("body", [{"nothing": True}, {"membersViewLogs": "no"}, {"membersViewLogs": None}, []])
def test_what_is_no_switch_is_refused(tenant, body):
    assert Api(tenant.admin_key).put("admin/organisation/access", body).status_code == 400
    tenant.organisation.refresh_from_db()
    assert tenant.organisation.access == {}


def test_only_admin_keys_turn_switches(tenant):
    api = Api(make_key(tenant).shown_once())
    assert api.get("admin/organisation/access").status_code == 403
    assert api.put("admin/organisation/access", {"membersViewLogs": False}).status_code == 403


def test_another_organisations_workspace_is_missing(tenant):
    stranger = make_tenant()
    path = f"admin/workspaces/{tenant.workspace.pk}/access"
    assert Api(stranger.admin_key).get(path).status_code == 404
    assert Api(stranger.admin_key).put(path, {"membersViewLogs": False}).status_code == 404


def test_a_key_says_which_organisation_is_its_own(tenant):
    told = Api(tenant.admin_key).get("admin/organisation").json()
    assert (told["id"], told["name"], told["block_inline"]) == (
        str(tenant.organisation.pk),
        tenant.organisation.name,
        False,
    )


def test_without_a_key_nothing_is_told():
    for path in ("admin/organisation", "admin/organisation/access", "admin/workspaces/x/access"):
        assert Api().get(path).status_code == 401
