"""Which API keys come with an invite, and which end when somebody leaves?"""

from typing import Any

from django.dispatch import receiver

from control_plane.accounts.models import User
from control_plane.budgets.services import hold_budgets
from control_plane.core.errors import Denied
from control_plane.core.principal import Principal, system_actor
from control_plane.core.scopes import WORKSPACE_USER_KEY, refuse_unfit
from control_plane.keys.models import ApiKey
from control_plane.keys.services import NewKey, create_api_key, delete_api_key, grantable
from control_plane.orgs.invites import invite_accepted, scopes_offered
from control_plane.orgs.models import Invite, Membership, Workspace
from control_plane.orgs.people import member_removed


@receiver(scopes_offered, dispatch_uid="keys.scopes_offered")
def refuse_scopes(actor: Principal, scopes: list[str], **_rest: Any) -> None:
    """Raise BadRequest for scopes that no key of a user holds, Denied for what the inviting actor cannot give."""
    refuse_unfit(frozenset(scopes), WORKSPACE_USER_KEY)
    beyond = sorted(frozenset(scopes) - grantable(actor, WORKSPACE_USER_KEY, None))
    if beyond:
        raise Denied(f"You cannot give scopes that you lack: {', '.join(beyond)}.")


@receiver(invite_accepted, dispatch_uid="keys.invite_accepted")
def make_invited_keys(invite: Invite, user: User, workspaces: list[Workspace], **_rest: Any) -> list[NewKey]:
    """Return a new key of the person in each workspace of the invite, when it names scopes."""
    if invite.key_scopes is None:
        return []
    # What the inviter may give was checked when they offered it; the invited person has none of it to give.
    actor = system_actor(invite.organisation_id, f"Invite by {invite.invited_by_name}"[:255])
    given = {"name": f"Key of {user.email}"[:255], "scopes": list(invite.key_scopes), "user_id": user.pk}
    return [create_api_key(actor, WORKSPACE_USER_KEY, given, workspace=each, mode="auto") for each in workspaces]


@receiver(member_removed, dispatch_uid="keys.member_removed")
def revoke_keys(actor: Principal, membership: Membership, **_rest: Any) -> None:
    """Revoke every API key that a person has in the organisation that they leave."""
    rows = list(ApiKey.objects.filter(organisation_id=membership.organisation_id, user_id=membership.user_id))
    hold_budgets(membership.organisation_id, [membership.user_id, *(row.pk for row in rows)])
    for row in rows:
        delete_api_key(actor, row)
