"""Organisations, workspaces, members."""

import pytest

from control_plane.core.errors import Conflict, Invalid
from control_plane.core.models import OutboxEvent
from control_plane.core.scopes import ALL_SCOPES
from control_plane.core.tenancy import visible_to
from control_plane.orgs.models import Workspace
from control_plane.orgs.services import (
    add_workspace_user,
    create_organisation,
    create_workspace,
    delete_workspace,
    principal_of_user,
    remove_workspace_user,
    resources_of,
    update_organisation,
    update_workspace,
)
from tests.control_plane.factories import (
    make_config,
    make_key,
    make_member,
    make_tenant,
    make_virtual_key,
    make_workspace,
)

pytestmark = pytest.mark.django_db


def test_an_organisation_begins_with_its_default_workspace():
    organisation, workspace = create_organisation(" Acme ", block_inline=True)
    assert (organisation.name, organisation.block_inline) == ("Acme", True)
    assert (workspace.name, workspace.is_default) == ("Shared Team Workspace", True)
    assert workspace.slug.startswith("ws-")
    assert {name for event in OutboxEvent.objects.all() for name in event.sections} == {"orgs", "workspaces"}


def test_two_organisations_may_have_one_name():
    first, second = (create_organisation("Acme", block_inline=False)[0] for _ in range(2))
    assert first.slug != second.slug


@pytest.mark.parametrize("name", ["", "  ", "x" * 256, "a\x00"])
def test_a_name_that_cannot_be_shown_is_refused(name):
    with pytest.raises(Invalid):
        create_organisation(name, block_inline=False)


def test_saved_only_mode_can_be_turned():
    tenant = make_tenant(block_inline=False)
    tenant.organisation = update_organisation(tenant.actor, {"block_inline": True})
    tenant.organisation.refresh_from_db()
    assert tenant.organisation.block_inline is True


def test_the_default_workspace_stays():
    tenant = make_tenant()
    with pytest.raises(Invalid):
        delete_workspace(tenant.actor, tenant.workspace)


@pytest.mark.parametrize(
    ("fill", "named"), [(make_virtual_key, "virtual keys"), (make_config, "configs"), (make_key, "API keys")]
)
def test_a_workspace_with_resources_is_not_deleted_and_they_are_counted(fill, named):
    tenant = make_tenant()
    workspace = make_workspace(tenant)
    fill(tenant, workspace=workspace)
    with pytest.raises(Conflict, match=f"1 {named}"):
        delete_workspace(tenant.actor, workspace)
    assert Workspace.objects.filter(pk=workspace.pk).exists()


def test_an_empty_workspace_is_deleted_with_its_memberships():
    tenant = make_tenant()
    workspace = create_workspace(tenant.actor, "Team", users=[make_member(tenant).pk])
    assert resources_of(workspace) == {}
    delete_workspace(tenant.actor, workspace)
    assert not Workspace.objects.filter(name="Team").exists()


def test_only_members_of_the_organisation_join_a_workspace():
    tenant, other = make_tenant(), make_tenant()
    stranger = make_member(other)
    with pytest.raises(Invalid):
        add_workspace_user(tenant.actor, tenant.workspace, stranger.pk, "admin")
    with pytest.raises(Invalid):
        create_workspace(tenant.actor, "Team", users=[stranger.pk])


def test_a_change_names_only_what_changes():
    tenant = make_tenant()
    workspace = create_workspace(tenant.actor, "Team", description="d", defaults={"metadata": {"a": "b"}})
    update_workspace(tenant.actor, workspace, {"payload_policy": "metrics"})
    workspace.refresh_from_db()
    assert (workspace.name, workspace.description, workspace.payload_policy) == ("Team", "d", "metrics")
    assert workspace.defaults == {"metadata": {"a": "b"}}


@pytest.mark.parametrize("role", ["owner", "admin"])
def test_owners_and_admins_reach_every_workspace(role):
    tenant = make_tenant()
    principal = principal_of_user(make_member(tenant, role))
    assert (principal.workspace_ids, principal.scopes) == (None, ALL_SCOPES)
    assert principal.organisation_id == tenant.organisation.pk


def test_members_reach_the_workspaces_that_they_joined_until_they_leave():
    tenant = make_tenant()
    user, team = make_member(tenant), make_workspace(tenant)
    member = add_workspace_user(tenant.actor, team, user.pk, "admin")
    principal = principal_of_user(user)
    assert (principal.workspace_ids, principal.allows("configs.create", team.pk)) == (frozenset({team.pk}), True)
    remove_workspace_user(tenant.actor, member)
    assert principal_of_user(user).workspace_ids == frozenset()


def test_a_person_of_no_organisation_is_nobody():
    tenant, other = make_tenant(), make_tenant()
    user = make_member(tenant)
    assert principal_of_user(user, other.organisation.pk) is None
    tenant.organisation.status = "archived"
    tenant.organisation.save()
    assert principal_of_user(user) is None


def test_an_inactive_person_is_nobody():
    user = make_member(make_tenant())
    user.is_active = False
    user.save()
    assert principal_of_user(user) is None


def test_a_role_holds_in_its_own_workspace_and_in_no_other():
    tenant = make_tenant()
    user, led, joined = make_member(tenant), make_workspace(tenant), make_workspace(tenant)
    add_workspace_user(tenant.actor, led, user.pk, "manager")
    add_workspace_user(tenant.actor, joined, user.pk, "member")
    principal = principal_of_user(user)
    assert [principal.allows("configs.create", each.pk) for each in (led, joined)] == [True, False]
    assert principal.workspaces_with({"configs.create"}) == {led.pk}
    assert principal.workspaces_with({"configs.list"}) == {led.pk, joined.pk}
    told = principal.why_not("configs.create", joined.pk)
    assert (told.rule, "workspace" in told.changed_by) == ("configs.create is not part of the role member", True)
    assert set(visible_to(Workspace.objects.all(), principal, {"configs.create"})) == {led}


def test_a_workspaces_switch_wins_over_the_organisations():
    tenant = make_tenant()
    user, team, other = make_member(tenant), make_workspace(tenant), make_workspace(tenant)
    for each in (team, other):
        add_workspace_user(tenant.actor, each, user.pk, "member")
    tenant.organisation.access = {"membersViewPrompts": False, "membersViewAllData": False}
    tenant.organisation.save()
    team.access = {"membersViewPrompts": True, "membersViewAllData": True}
    team.save()
    principal = principal_of_user(user)
    assert [principal.allows("prompts.read", each.pk) for each in (team, other)] == [True, False]
    assert principal.own_data_in == {other.pk}
    assert "membersViewPrompts" in principal.why_not("prompts.read", other.pk).rule


def test_what_admins_may_not_see_can_be_switched_off_for_them():
    tenant = make_tenant()
    tenant.organisation.access = {"orgAdminViewLogs": False}
    tenant.organisation.save()
    principal = principal_of_user(make_member(tenant, "owner"))
    assert (principal.allows("logs.view"), principal.allows("logs.list")) == (False, True)
