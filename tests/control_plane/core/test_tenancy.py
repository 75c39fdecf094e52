"""Who sees which rows."""

import pytest

from control_plane.catalog.models import VirtualKey
from control_plane.core.errors import Denied, Invalid
from control_plane.core.models import AuditEvent
from control_plane.core.tenancy import (
    by_id_or_slug,
    of_workspace,
    refuse_other_organisation,
    resolve_home,
    resolve_workspace,
    visible_to,
)
from control_plane.keys.authentication import principal_of_key
from control_plane.keys.models import ApiKey
from control_plane.orgs.models import Workspace
from control_plane.orgs.services import principal_of_user
from control_plane.prompts.models import Label
from control_plane.prompts.services import create_label
from control_plane.vault.models import VaultSecret
from tests.control_plane.factories import make_key, make_member, make_tenant, make_virtual_key, make_workspace

pytestmark = pytest.mark.django_db


def test_an_organisation_sees_its_own_rows_and_no_others():
    mine, other = make_tenant(), make_tenant()
    row, _ = make_virtual_key(mine), make_virtual_key(other)
    assert list(visible_to(VirtualKey.objects.all(), mine.actor)) == [row]
    assert list(visible_to(Workspace.objects.all(), mine.actor)) == [mine.workspace]


def test_a_workspace_key_sees_the_rows_of_its_workspace():
    tenant = make_tenant()
    team = make_workspace(tenant)
    row, _ = make_virtual_key(tenant, workspace=team), make_virtual_key(tenant)
    principal = principal_of_key(make_key(tenant, workspace=team).row)
    assert list(visible_to(VirtualKey.objects.all(), principal)) == [row]
    assert list(visible_to(Workspace.objects.all(), principal)) == [team]


def test_what_belongs_to_the_organisation_is_hidden_from_workspace_keys():
    tenant = make_tenant()
    make_virtual_key(tenant)
    principal = principal_of_key(make_key(tenant).row)
    for rows in (VaultSecret.objects.all(), AuditEvent.objects.all()):
        assert visible_to(rows, tenant.actor).exists()
        assert not visible_to(rows, principal).exists()
    assert all(key.workspace_id for key in visible_to(ApiKey.objects.all(), principal))


def test_a_member_without_a_workspace_sees_nothing():
    tenant = make_tenant()
    make_virtual_key(tenant)
    principal = principal_of_user(make_member(tenant))
    assert not visible_to(VirtualKey.objects.all(), principal).exists()
    with pytest.raises(Invalid):
        resolve_workspace(principal, None)


def test_a_workspace_is_found_by_slug_and_by_id():
    tenant = make_tenant()
    team = make_workspace(tenant)
    assert resolve_workspace(tenant.actor, team.slug) == team
    assert resolve_workspace(tenant.actor, str(team.pk)) == team


def test_without_a_name_the_callers_own_workspace_is_meant():
    tenant = make_tenant()
    team = make_workspace(tenant)
    assert resolve_workspace(tenant.actor, None) == tenant.workspace
    assert resolve_workspace(principal_of_key(make_key(tenant, workspace=team).row), "") == team


def test_a_foreign_workspace_is_refused_like_a_missing_one():
    tenant, other = make_tenant(), make_tenant()
    sentences = set()
    for named in (other.workspace.slug, str(other.workspace.pk), "ws-nothing", "\x00", 7, ["x"]):
        with pytest.raises(Invalid) as raised:
            resolve_workspace(tenant.actor, named)
        sentences.add(str(raised.value.detail))
    assert len(sentences) == 1


def test_a_name_that_postgresql_refuses_matches_nothing():
    make_tenant()
    assert not Workspace.objects.filter(by_id_or_slug("a\x00b")).exists()


def test_what_is_shared_is_seen_from_every_workspace_and_from_no_other_organisation():
    tenant, other = make_tenant(), make_tenant()
    team, elsewhere = make_workspace(tenant), make_workspace(tenant)
    shared = create_label(tenant.actor, None, {"name": "shared"})
    own = create_label(tenant.actor, team, {"name": "own"})
    create_label(tenant.actor, elsewhere, {"name": "elsewhere"})
    create_label(other.actor, None, {"name": "foreign"})
    made = Label.objects.filter(is_builtin=False)
    principal = principal_of_key(make_key(tenant, workspace=team).row)
    assert set(visible_to(made, principal)) == {shared, own}
    assert set(of_workspace(visible_to(made, tenant.actor), team)) == {shared, own}


def test_what_is_not_shared_is_of_one_workspace():
    tenant = make_tenant()
    team = make_workspace(tenant)
    row, _ = make_virtual_key(tenant, workspace=team), make_virtual_key(tenant)
    assert list(of_workspace(VirtualKey.objects.all(), team)) == [row]
    assert set(of_workspace(Workspace.objects.filter(organisation=tenant.organisation), team)) == {
        team,
        tenant.workspace,
    }


def test_the_organisations_own_callers_say_where_a_row_belongs_or_mean_everywhere():
    tenant = make_tenant()
    team = make_workspace(tenant)
    assert resolve_home(tenant.actor, None) is None
    assert resolve_home(tenant.actor, "", str(tenant.organisation.pk)) is None
    assert resolve_home(tenant.actor, team.slug, tenant.organisation.pk) == team


def test_a_workspaces_callers_mean_their_own():
    tenant = make_tenant()
    team = make_workspace(tenant)
    principal = principal_of_key(make_key(tenant, workspace=team).row)
    assert resolve_home(principal, None) == team
    with pytest.raises(Invalid):
        resolve_home(principal, tenant.workspace.slug)
    with pytest.raises(Denied):
        resolve_home(principal, None, tenant.organisation.pk)


@pytest.mark.parametrize("named", ["x", "00000000-0000-7000-8000-000000000000", 7])
def test_another_organisation_cannot_be_named(named):
    tenant = make_tenant()
    with pytest.raises(Invalid):
        refuse_other_organisation(tenant.actor, named)
    with pytest.raises(Invalid):
        resolve_home(tenant.actor, None, named)
