"""Roles change and people leave, but never the last owner."""

import pytest
from django.test import Client

from control_plane.core.errors import Denied, Invalid, Missing
from control_plane.core.models import AuditEvent, OutboxEvent
from control_plane.core.scopes import OF_KEY_TYPE, ORGANISATION_KEY, WORKSPACE_USER_KEY
from control_plane.keys.authentication import principal_of_key
from control_plane.keys.models import ApiKey
from control_plane.orgs.models import DepartedMember, Membership
from control_plane.orgs.people import change_role, remove_member
from control_plane.orgs.services import add_workspace_user, principal_of_user
from tests.control_plane.factories import Api, make_key, make_member, make_tenant
from tests.control_plane.ui.page_kit import signed_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenant():
    return make_tenant()


def of(user):
    return Membership.objects.get(user=user)


def actor(tenant, role):
    return principal_of_user(make_member(tenant, role))


def key_actor(tenant, scopes=None):
    return principal_of_key(make_key(tenant, scopes, key_type=ORGANISATION_KEY).row)


@pytest.mark.parametrize("role", ["owner", "admin"])
def test_owners_and_admins_change_members(tenant, role):
    user = make_member(tenant)
    change_role(actor(tenant, role), of(user), "admin")
    assert of(user).role == "admin"
    event = AuditEvent.objects.get(action="update", resource_type="user")
    assert (event.before["role"], event.after["role"]) == ("member", "admin")


def test_an_admin_neither_makes_nor_demotes_nor_removes_an_owner(tenant):
    owners, member = [make_member(tenant, "owner") for _ in range(2)], make_member(tenant)
    for who in (actor(tenant, "admin"), key_actor(tenant)):
        with pytest.raises(Denied):
            change_role(who, of(owners[0]), "member")
        with pytest.raises(Denied):
            remove_member(who, of(owners[0]))
        with pytest.raises(Denied):
            change_role(who, of(member), "owner")


def test_an_owner_makes_and_removes_owners_until_one_is_left(tenant):
    first, second = make_member(tenant, "owner"), make_member(tenant)
    change_role(principal_of_user(first), of(second), "owner")
    remove_member(principal_of_user(second), of(first))
    for attempt in (
        lambda: remove_member(tenant.actor, of(second)),
        lambda: change_role(tenant.actor, of(second), "admin"),
    ):
        with pytest.raises(Invalid, match="last owner"):
            attempt()


def test_an_owner_who_cannot_sign_in_does_not_count_as_left(tenant):
    first, second = make_member(tenant, "owner"), make_member(tenant, "owner")
    second.is_active = False
    second.save()
    with pytest.raises(Invalid, match="last owner"):
        remove_member(tenant.actor, of(first))


def test_a_key_gives_nobody_more_than_it_has(tenant):
    user = make_member(tenant)
    few = key_actor(tenant, ["organisation_users.update"])
    with pytest.raises(Denied, match="admin"):
        change_role(few, of(user), "admin")
    all_of_them = key_actor(tenant, sorted(OF_KEY_TYPE[ORGANISATION_KEY]))
    change_role(all_of_them, of(user), "admin")
    change_role(few, of(user), "member")
    assert of(user).role == "member"


def test_who_is_removed_loses_keys_workspaces_and_sessions(tenant):
    make_member(tenant, "owner")
    user = make_member(tenant)
    add_workspace_user(tenant.actor, tenant.workspace, user.pk, "admin")
    key = make_key(tenant, key_type=WORKSPACE_USER_KEY, user_id=user.pk)
    others = make_key(tenant, key_type=WORKSPACE_USER_KEY, user_id=make_member(tenant).pk)
    browser = signed_in(user)
    remove_member(tenant.actor, of(user))
    assert not Membership.objects.filter(user=user).exists()
    assert not user.workspace_memberships.exists()
    assert Api(key.shown_once()).get("configs").status_code == 401
    assert list(ApiKey.objects.filter(type=WORKSPACE_USER_KEY)) == [others.row]
    assert f"k:{key.row.pk}" in {name for event in OutboxEvent.objects.all() for name in event.revoked}
    assert browser.get("/account")["location"].startswith("/login")
    assert DepartedMember.objects.get().user == user
    actions = set(AuditEvent.objects.values_list("resource_type", "action"))
    assert {("user", "delete"), ("apikey", "delete"), ("user", "sign_out")} <= actions


def test_who_is_removed_keeps_what_is_theirs_in_other_organisations(tenant):
    other = make_tenant()
    make_member(tenant, "owner")
    user = make_member(tenant)
    make_member(other, "admin", user.email)
    kept = make_key(other, key_type=WORKSPACE_USER_KEY, user_id=user.pk)
    remove_member(tenant.actor, Membership.objects.get(user=user, organisation=tenant.organisation))
    assert Membership.objects.get(user=user).organisation == other.organisation
    assert Api(kept.shown_once()).get("configs").status_code == 200


def test_who_left_a_moment_ago_is_missing(tenant):
    make_member(tenant, "owner")
    stale = of(make_member(tenant))
    remove_member(tenant.actor, stale)
    stale.pk = 10**9
    with pytest.raises(Missing):
        change_role(tenant.actor, stale, "admin")


def test_a_stranger_is_not_signed_in():
    assert Client().get("/people")["location"].startswith("/login")
