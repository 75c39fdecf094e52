"""Keys come with an invite."""

import pytest

from control_plane.accounts.services import find_or_create_user
from control_plane.core.errors import Denied
from control_plane.core.scopes import ORGANISATION_KEY, WORKSPACE_USER_KEY
from control_plane.keys.authentication import principal_of_key
from control_plane.keys.models import ApiKey
from control_plane.orgs.invites import accept_invite, create_invite
from shared.errors import BadRequest
from tests.control_plane.factories import Api, make_key, make_tenant, make_workspace

pytestmark = pytest.mark.django_db
NEW = "new@example.com"


def test_each_workspace_of_an_invite_gives_a_key_of_the_person():
    tenant = make_tenant()
    team = make_workspace(tenant)
    wanted = [{"id": team.slug, "role": "member"}, {"id": tenant.workspace.slug, "role": "member"}]
    invite = create_invite(tenant.actor, NEW, "member", workspaces=wanted, key_scopes=["logs.view", "logs.list"])
    assert not ApiKey.objects.filter(type=WORKSPACE_USER_KEY).exists()
    made = accept_invite(invite.row, find_or_create_user(NEW))
    assert {each.row.workspace_id for each in made} == {team.pk, tenant.workspace.pk}
    row = made[0].row
    assert (row.user.email, row.creation_mode, row.scopes) == (NEW, "auto", ["logs.list", "logs.view"])
    api = Api(made[0].shown_once())
    assert [api.get("logs").status_code, api.get("configs").status_code] == [200, 403]


@pytest.mark.parametrize(
    ("scopes", "fault"),
    [(["nonsense"], BadRequest), (["workspaces.create"], BadRequest), (["logs.view", "configs.update"], Denied)],
)
def test_nobody_invites_to_more_than_they_have(scopes, fault):
    tenant = make_tenant()
    few = ["organisation_users.create", "logs.view"]
    actor = principal_of_key(make_key(tenant, few, key_type=ORGANISATION_KEY).row)
    with pytest.raises(fault):
        create_invite(actor, NEW, "member", key_scopes=scopes)
