"""Who belongs to an organisation, in which role, and how does somebody leave?

An owner is changed or removed by an owner only, and the last one by nobody.  API keys and sessions of whoever leaves
end in the same transaction: keys by those who listen to `member_removed`.
"""

from typing import Any, Final
from uuid import UUID

from django.db import transaction
from django.dispatch import Signal

from control_plane.accounts import sign_ins
from control_plane.budgets.usage import limits_json, usage_json
from control_plane.core import audit
from control_plane.core.errors import Denied, Invalid, Missing
from control_plane.core.fields import iso
from control_plane.core.principal import Principal
from control_plane.core.scopes import OF_KEY_TYPE
from control_plane.orgs.limits import drop_user_limit
from control_plane.orgs.models import DepartedMember, Membership, Organisation, WorkspaceMembership
from control_plane.orgs.roles import ORGANISATION, find_role, refuse_beyond

Json = dict[str, Any]

#: Sent with `actor` and `membership`, inside the transaction that removes somebody.
member_removed: Final = Signal()


def user_json(membership: Membership) -> Json:
    """Return a person of an organisation as the API shows them."""
    user = membership.user
    joined = [each.workspace for each in user.workspace_memberships.all()]
    return {
        "object": "user",
        "id": str(user.pk),
        "first_name": user.first_name,
        "last_name": user.last_name,
        "role": membership.role_name,
        "email": user.email,
        "created_at": iso(membership.created_at),
        "last_updated_at": iso(user.last_updated_at),
        "workspace_ids": [str(each.pk) for each in joined if each.organisation_id == membership.organisation_id],
        "usage_limits": limits_json(membership),
        **usage_json(membership),
    }


def role_of(actor: Principal) -> str | None:
    """Return a signed-in person's role in the organisation; None for API keys and the system."""
    if actor.kind != "user" or actor.user_id is None:
        return None
    membership = membership_of(actor.organisation_id, actor.user_id)
    return membership.role if membership else None


def is_owner(actor: Principal) -> bool:
    """Return whether an actor has the powers of an owner: a person who is one, or the system.  No API key has."""
    return actor.kind == "system" or role_of(actor) == "owner"


def refuse_role(actor: Principal, role: str) -> None:
    """Raise Denied when `actor` may not make somebody `role`: nobody gives more than they have."""
    if role == "owner" and not is_owner(actor):
        raise Denied("Only an owner can make somebody an owner.")
    if role != "admin" or actor.kind == "system":
        return
    is_admin = role_of(actor) in {"owner", "admin"}
    if actor.key_type is not None:
        is_admin = not OF_KEY_TYPE[actor.key_type] - actor.scopes
    if not is_admin:
        raise Denied("You cannot make somebody an admin: an admin may do more than you.")


def _refuse_for_owners(actor: Principal, membership: Membership) -> None:
    """Raise Denied or Invalid when `membership` is an owner's and must stay; the organisation's row is locked."""
    if membership.role != "owner":
        return
    if not is_owner(actor):
        raise Denied("Only an owner can change or remove an owner.")
    owners = Membership.objects.filter(
        organisation_id=membership.organisation_id, role="owner", user__is_active=True
    ).exclude(pk=membership.pk)
    if not owners.exists():
        raise Invalid("The last owner of an organisation stays: make somebody else an owner first.")


def _locked(membership: Membership) -> Membership:
    """Return the row as it is now; the organisation is locked, so that two cannot remove each other's last owner."""
    Organisation.objects.select_for_update(no_key=True).get(pk=membership.organisation_id)
    found = Membership.objects.select_related("user", "custom_role").filter(pk=membership.pk).first()
    if found is None:
        raise Missing
    return found


@transaction.atomic
def change_role(actor: Principal, membership: Membership, role: str) -> Membership:
    """Give a person another role in the organisation, built in or custom.

    Raises Denied when the actor may not give that role or change that person, Invalid for the last owner, or when there
    is no such role.
    """
    membership = _locked(membership)
    word, custom_role = find_role(membership.organisation_id, ORGANISATION, role)
    if (word, custom_role) == (membership.role, membership.custom_role):
        return membership
    refuse_role(actor, word)
    if custom_role is not None:
        refuse_beyond(actor, frozenset(custom_role.scopes), None)
    _refuse_for_owners(actor, membership)
    before = user_json(membership)
    membership.role, membership.custom_role = word, custom_role
    membership.save(update_fields=["role", "custom_role"])
    audit.record(actor, "update", membership.user, before=before, after=user_json(membership))
    return membership


@transaction.atomic
def remove_member(actor: Principal, membership: Membership) -> None:
    """Take a person out of the organisation and all its workspaces; their API keys and sessions end.

    Raises Denied when the actor may not, Invalid for the last owner.
    """
    membership = _locked(membership)
    _refuse_for_owners(actor, membership)
    user = membership.user
    audit.record(actor, "delete", user, before=user_json(membership))
    # While they still belong to it, so that the trail tells of it.
    sign_ins.end_all(user, by_system=True)
    WorkspaceMembership.objects.filter(user=user, workspace__organisation_id=membership.organisation_id).delete()
    member_removed.send(sender=Membership, actor=actor, membership=membership)
    drop_user_limit(membership)
    DepartedMember.objects.get_or_create(organisation_id=membership.organisation_id, user=user)
    membership.delete()


def membership_of(organisation_id: UUID, user_id: UUID) -> Membership | None:
    """Return a person's membership of an organisation."""
    return Membership.objects.filter(organisation_id=organisation_id, user_id=user_id).first()
