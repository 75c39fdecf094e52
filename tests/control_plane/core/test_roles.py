"""Roles against operations, as a matrix; and every switch, in both positions."""

import pytest

from control_plane.core.roles import (
    ADMIN,
    ALL_SWITCHES,
    IN_WORKSPACE,
    MANAGER,
    MEMBER,
    OWN_DATA_SWITCHES,
    OWNER,
    SWITCHES,
    Standing,
    scopes_of,
    sees_own_data_only,
    verdict,
)
from control_plane.core.scopes import ALL_SCOPES, DATA_PLANE, ORGANISATION_ONLY

OWNERS, ADMINS = Standing(OWNER), Standing(ADMIN)
WORKSPACE_ADMIN, MANAGERS, MEMBERS = (Standing(MEMBER, role) for role in (ADMIN, MANAGER, MEMBER))
OUTSIDER = Standing(MEMBER)
#: Who may, by scope: owner, admin, workspace admin, manager, member, a member of another workspace.
MATRIX = {
    "organisation_settings.update": "yyn nnn", "audit_logs.list": "yyn nnn", "workspaces.create": "yyn nnn", "organisation_users.create": "yyn nnn",
    "organisation_integrations.create": "yyn nnn", "workspaces.read": "yyy yyn", "workspaces.update": "yyy ynn", "workspace_users.create": "yyy ynn",
    "configs.list": "yyy yyn", "configs.create": "yyy ynn", "virtual_keys.list": "yyy yyn", "virtual_keys.delete": "yyy ynn",
    "workspace_service_api_keys.create": "yyy ynn", "workspace_user_api_keys.rotate": "yyy ynn", "workspace_user_api_keys.list": "yyy ynn",
    "prompts.publish": "yyy ynn", "prompts.read": "yyy yyn", "guardrails.update": "yyy ynn", "logs.view": "yyy yyn", "logs.export": "yyy ynn",
    "analytics.view": "yyy yyn", "completions.write": "yyy ynn", "mcp.invoke": "yyy ynn",
}  # fmt: skip
WHO = (OWNERS, ADMINS, WORKSPACE_ADMIN, MANAGERS, MEMBERS, OUTSIDER)


@pytest.mark.parametrize(("scope", "allowed"), MATRIX.items())
def test_each_role_may_do_what_the_matrix_says(scope, allowed):
    assert [verdict(scope, who).allowed for who in WHO] == [mark == "y" for mark in allowed.replace(" ", "")]


def test_owners_and_admins_may_do_everything():
    assert scopes_of(OWNERS) == scopes_of(ADMINS) == ALL_SCOPES


def test_whoever_makes_keys_may_let_them_make_calls():
    for standing in (WORKSPACE_ADMIN, MANAGERS):
        assert scopes_of(standing) == IN_WORKSPACE | DATA_PLANE
    assert not scopes_of(MEMBERS) & DATA_PLANE


def test_nobody_of_a_workspace_reaches_beyond_it():
    for standing in (WORKSPACE_ADMIN, MANAGERS, MEMBERS):
        assert not scopes_of(standing) & ORGANISATION_ONLY


def test_a_member_looks_and_a_manager_is_an_admin_until_switched():
    assert scopes_of(MEMBERS) < scopes_of(MANAGERS) == scopes_of(WORKSPACE_ADMIN)
    assert scopes_of(OUTSIDER) == frozenset()


def holder(role, switches):
    return Standing(OWNER if role == ADMIN else MEMBER, None if role == ADMIN else role, switches)


@pytest.mark.parametrize("name", SWITCHES)
def test_a_switch_gives_and_takes_what_it_names_and_nothing_else(name):
    switch = SWITCHES[name]
    on, off = (scopes_of(holder(switch.role, {name: value})) for value in (True, False))
    assert switch.scopes
    assert on - off == switch.scopes
    assert off < on
    assert scopes_of(holder(switch.role, {})) == (on if switch.is_on else off)
    others = {standing for standing in (ADMIN, MANAGER, MEMBER) if standing != switch.role}
    assert all(scopes_of(holder(role, {name: False})) == scopes_of(holder(role, {})) for role in others)


@pytest.mark.parametrize("name", SWITCHES)
def test_whoever_is_refused_is_told_which_switch_and_who_can_turn_it(name):
    switch = SWITCHES[name]
    for scope in switch.scopes:
        told = verdict(scope, holder(switch.role, {name: False}))
        assert (told.allowed, name in told.rule, told.changed_by) == (
            False,
            True,
            "an owner or admin of the organisation",
        )


def test_whoever_is_refused_by_the_role_is_told_so():
    assert verdict("configs.create", MEMBERS).rule == "configs.create is not part of the role member"
    assert verdict("configs.create", MEMBERS).changed_by.startswith("an admin of the workspace")
    assert verdict("workspaces.create", MANAGERS).changed_by == "an owner or admin of the organisation"
    assert verdict("configs.list", OUTSIDER).rule == "no role in this workspace"


@pytest.mark.parametrize(("name", "role"), OWN_DATA_SWITCHES.items())
def test_own_data_only_is_a_switch_of_its_role(name, role):
    assert sees_own_data_only(Standing(MEMBER, role, {name: False}))
    assert not sees_own_data_only(Standing(MEMBER, role, {name: True}))
    assert not sees_own_data_only(Standing(MEMBER, role))
    assert not sees_own_data_only(Standing(OWNER, None, {name: False}))


def test_every_switch_has_a_name_of_its_own():
    assert len(ALL_SWITCHES) == len(SWITCHES) + len(OWN_DATA_SWITCHES)
