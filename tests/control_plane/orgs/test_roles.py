"""Roles that an organisation makes."""

import pytest

from control_plane.accounts.services import find_or_create_user
from control_plane.core.errors import Conflict, Denied, Invalid
from control_plane.core.models import AuditEvent
from control_plane.core.scopes import ALL_SCOPES, ORGANISATION_KEY
from control_plane.keys.authentication import principal_of_key
from control_plane.orgs.access import set_access
from control_plane.orgs.invites import accept_invite, create_invite
from control_plane.orgs.models import Membership
from control_plane.orgs.people import change_role
from control_plane.orgs.roles import create_role, delete_role, matrix, update_role
from control_plane.orgs.services import add_workspace_user, principal_of_user
from tests.control_plane.factories import Api, make_config, make_key, make_member, make_tenant, make_workspace
from tests.control_plane.ui.page_kit import signed_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenant():
    return make_tenant()


def role(tenant, *scopes, level="workspace", name="Editor", **given):
    return create_role(tenant.actor, {"name": name, "level": level, "scopes": list(scopes), **given})


def joined(tenant, named, workspace=None):
    user = make_member(tenant)
    add_workspace_user(tenant.actor, workspace or tenant.workspace, user.pk, named)
    return user


def test_a_person_may_do_what_the_role_says_there_and_nowhere_else(tenant):
    made = role(tenant, "configs.list", "configs.create", "prompts.list")
    user = joined(tenant, made.slug)
    other = make_workspace(tenant)
    principal = principal_of_user(user)
    assert principal.scopes == {"configs.list", "configs.create", "prompts.list"}
    assert principal.allows("configs.create", tenant.workspace.pk)
    assert not principal.allows("configs.create", other.pk)
    told = principal.why_not("configs.delete", tenant.workspace.pk)
    assert (told.allowed, told.rule) == (False, "configs.delete is not part of the role editor")
    browser = signed_in(user)
    body = {"name": "c", "config": {"retry": {"attempts": 1}}}
    assert browser.post("/v1/configs", body, content_type="application/json").status_code == 200
    assert browser.delete(f"/v1/configs/{make_config(tenant, 'other').slug}").status_code == 403
    assert browser.get("/v1/virtual-keys").status_code == 403


def test_switches_do_not_change_a_custom_role(tenant):
    made = role(tenant, "prompts.list", "analytics.view")
    user = joined(tenant, made.slug)
    set_access(tenant.actor, tenant.organisation, {"membersViewAnalytics": False, "membersWritePrompts": True})
    assert principal_of_user(user).scopes == {"prompts.list", "analytics.view"}


def test_a_role_of_the_organisation_reaches_every_workspace(tenant):
    auditor = role(tenant, "audit_logs.list", "configs.list", level="organisation", name="Auditor")
    user = make_member(tenant)
    change_role(tenant.actor, Membership.objects.get(user=user), auditor.slug)
    make_config(tenant, "far", workspace=make_workspace(tenant))
    browser = signed_in(user)
    assert [row["name"] for row in browser.get("/v1/configs").json()["data"]] == ["far"]
    window = {
        "start_time": "2020-01-01T00:00:00Z",
        "end_time": "2100-01-01T00:00:00Z",
        "organisation_id": str(tenant.organisation.pk),
    }
    assert browser.get("/v1/audit-logs", window).status_code == 200
    assert browser.get("/v1/admin/users").status_code == 403
    assert Api(tenant.admin_key).get(f"admin/users/{user.pk}").json()["role"] == "auditor"


def test_people_of_a_role_may_see_the_data_of_their_own_keys_only(tenant):
    made = role(tenant, "logs.list", "logs.view", own_data_only=True)
    assert principal_of_user(joined(tenant, made.slug)).own_data_in == {tenant.workspace.pk}


def test_a_change_of_a_role_counts_from_the_next_call_on(tenant):
    made = role(tenant, "configs.list")
    browser = signed_in(joined(tenant, made.slug))
    assert browser.get("/v1/configs").status_code == 200
    update_role(tenant.actor, made, {"scopes": ["prompts.list"]})
    assert browser.get("/v1/configs").status_code == 403


def test_a_built_in_role_takes_the_place_of_a_custom_one(tenant):
    made = role(tenant, "configs.list")
    user = joined(tenant, made.slug)
    member = add_workspace_user(tenant.actor, tenant.workspace, user.pk, "manager")
    assert (member.role, member.custom_role) == ("manager", None)
    delete_role(tenant.actor, made)


@pytest.mark.parametrize("level", ["organisation", "workspace"])
def test_a_role_that_somebody_has_stays(tenant, level):
    made = role(tenant, "configs.list", level=level)
    user = make_member(tenant)
    if level == "workspace":
        add_workspace_user(tenant.actor, tenant.workspace, user.pk, made.slug)
    else:
        change_role(tenant.actor, Membership.objects.get(user=user), made.slug)
    with pytest.raises(Conflict, match="1 people"):
        delete_role(tenant.actor, made)


@pytest.mark.parametrize("scope", ["audit_logs.list", "organisation_users.create", "workspaces.delete", "nope.read"])
def test_a_role_of_workspaces_holds_nothing_beyond_them(tenant, scope):
    with pytest.raises(Invalid, match="may not hold"):
        role(tenant, scope)


@pytest.mark.parametrize("slug", ["owner", "manager", "editor"])
def test_a_slug_means_one_role(tenant, slug):
    role(tenant, "configs.list")
    with pytest.raises(Conflict):
        role(tenant, "configs.list", slug=slug)


def test_a_role_keeps_its_level_and_is_not_found_at_the_other(tenant):
    made = role(tenant, "configs.list")
    with pytest.raises(Invalid, match="stay"):
        update_role(tenant.actor, made, {"level": "organisation"})
    with pytest.raises(Invalid, match="no role"):
        change_role(tenant.actor, Membership.objects.get(user=make_member(tenant)), made.slug)
    with pytest.raises(Invalid, match="own_data_only"):
        role(tenant, "configs.list", level="organisation", name="O", own_data_only=True)


def test_another_organisations_role_is_no_role(tenant):
    theirs = role(make_tenant("Other"), "configs.list")
    for named in (theirs.slug, str(theirs.pk)):
        with pytest.raises(Invalid, match="no role"):
            joined(tenant, named)


def test_nobody_gives_a_role_that_may_do_more_than_they(tenant):
    strong, weak = role(tenant, "configs.delete"), role(tenant, "workspace_users.create", name="Greeter")
    few = principal_of_key(
        make_key(tenant, ["organisation_users.update", "workspace_users.create"], key_type=ORGANISATION_KEY).row
    )
    greeter = principal_of_user(joined(tenant, weak.slug))
    user = make_member(tenant)
    for actor in (few, greeter):
        for named in (strong.slug, "manager", "admin"):
            with pytest.raises(Denied, match="may not do yourself"):
                add_workspace_user(actor, tenant.workspace, user.pk, named)
        assert add_workspace_user(actor, tenant.workspace, user.pk, "member").role == "member"
    with pytest.raises(Denied):
        create_role(few, {"name": "More", "level": "workspace", "scopes": ["configs.delete"]})
    with pytest.raises(Denied):
        update_role(few, weak, {"scopes": ["configs.delete"]})


def test_a_manager_cannot_make_a_key_in_a_workspace_where_they_are_less(tenant):
    other = make_workspace(tenant)
    keys = role(tenant, "workspace_service_api_keys.create", "completions.write", name="Keys")
    user = joined(tenant, "manager")
    add_workspace_user(tenant.actor, other, user.pk, keys.slug)
    browser = signed_in(user)
    sent = {"name": "k", "workspace_id": str(other.pk)}
    beyond = browser.post(
        "/v1/api-keys/workspace/service", {**sent, "scopes": ["configs.delete"]}, content_type="application/json"
    )
    within = browser.post(
        "/v1/api-keys/workspace/service", {**sent, "scopes": ["completions.write"]}, content_type="application/json"
    )
    assert (beyond.status_code, within.status_code) == (403, 200)


def test_the_matrix_tells_what_every_role_may_do(tenant):
    made = role(tenant, "configs.list")
    set_access(tenant.actor, tenant.organisation, {"managersViewAnalytics": False})
    told = {
        row["slug"]: row for row in matrix(type(tenant.organisation).objects.get(pk=tenant.organisation.pk))["roles"]
    }
    assert set(told) == {"owner", "admin", "manager", "member", made.slug}
    assert set(told["owner"]["scopes"]) == ALL_SCOPES
    assert "analytics.view" not in told["manager"]["scopes"]
    assert told[made.slug] == {"slug": "editor", "level": "workspace", "is_built_in": False, "scopes": ["configs.list"]}
    assert Api(tenant.admin_key).get("admin/roles/permissions").json()["object"] == "permission-matrix"


def test_the_api_gives_custom_roles_like_built_in_ones(tenant):
    made = role(tenant, "configs.list")
    api, user = Api(tenant.admin_key), make_member(tenant)
    path = f"admin/workspaces/{tenant.workspace.slug}/users"
    assert api.post(path, {"users": [{"id": str(user.pk), "role": made.slug}]}).status_code == 200
    assert api.get(f"{path}/{user.pk}").json()["role"] == made.slug
    assert [row["id"] for row in api.get(path, role=made.slug).json()["data"]] == [str(user.pk)]
    assert api.put(f"{path}/{user.pk}", {"role": "nope"}).status_code == 400
    assert api.put(f"{path}/{user.pk}", {"role": "member"}).status_code == 200
    assert api.put(f"admin/users/{user.pk}", {"role": "owner"}).status_code == 400


def test_an_invite_gives_a_custom_role_and_the_least_one_when_it_was_deleted(tenant):
    for kept in (True, False):
        made = role(tenant, "configs.list", name=f"Editor {kept}")
        wanted = [{"id": tenant.workspace.slug, "role": made.slug}]
        invite = create_invite(tenant.actor, f"new{kept}@example.com", "member", workspaces=wanted)
        if not kept:
            delete_role(tenant.actor, made)
        user = find_or_create_user(f"new{kept}@example.com")
        accept_invite(invite.row, user)
        member = user.workspace_memberships.get()
        assert member.role_name == (made.slug if kept else "member")


def test_an_invite_gives_no_more_than_who_invites_may_do(tenant):
    few = principal_of_key(make_key(tenant, ["organisation_users.create"], key_type=ORGANISATION_KEY).row)
    with pytest.raises(Denied, match="may not do yourself"):
        create_invite(few, "x@example.com", "member", workspaces=[{"id": tenant.workspace.slug, "role": "manager"}])


def test_the_trail_tells_of_roles_and_of_who_got_them(tenant):
    made = role(tenant, "configs.list")
    joined(tenant, made.slug)
    kinds = list(
        AuditEvent.objects.filter(organisation_id=tenant.organisation.pk).values_list("resource_type", "action")
    )
    assert ("role", "create") in kinds
    assert ("workspacemembership", "create") in kinds


def test_why_a_person_may_not_do_something_is_told_with_who_can_change_it(tenant):
    made = role(tenant, "configs.list")
    user = joined(tenant, made.slug)
    told = (
        Api(tenant.admin_key)
        .get(f"admin/users/{user.pk}/permissions", workspace_id=tenant.workspace.slug)
        .json()["data"]
    )
    by_scope = {each["scope"]: each for each in told}
    assert set(by_scope) == ALL_SCOPES
    assert by_scope["configs.list"] == {"scope": "configs.list", "allowed": True, "rule": None, "changed_by": None}
    assert by_scope["configs.create"]["rule"] == "configs.create is not part of the role editor"
    assert by_scope["configs.create"]["changed_by"] == "an owner or admin of the organisation"
    other = make_workspace(tenant)
    elsewhere = Api(tenant.admin_key).get(f"admin/users/{user.pk}/permissions", workspace_id=other.slug).json()["data"]
    assert not any(each["allowed"] for each in elsewhere)
