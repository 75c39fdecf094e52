"""How does somebody join?  By an invite: a link that works once, which needs no mail server.

Who opens it proves nothing but to have it.  So it makes an account only where there is none; whoever has one signs in
to it first, or the link would be a way into their other organisations.
"""

import hashlib
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.dispatch import Signal
from django.utils import timezone

from control_plane.accounts.models import User, normal_email
from control_plane.core import audit
from control_plane.core.errors import Conflict, Invalid
from control_plane.core.fields import iso
from control_plane.core.mail import post
from control_plane.core.principal import Principal
from control_plane.core.roles import MEMBER
from control_plane.core.showing import shown_once
from control_plane.core.tenancy import by_id_or_slug, visible_to
from control_plane.orgs.models import DepartedMember, Invite, Membership, Workspace, WorkspaceMembership
from control_plane.orgs.people import refuse_role
from control_plane.orgs.roles import WORKSPACE, find_role
from control_plane.orgs.services import add_member, join_workspace, refuse_role_in
from control_plane.orgs.trail import person
from shared.redact import Secret

Json = dict[str, Any]

LIFETIME: Final = timedelta(days=7)
#: Sent with `actor` and `scopes` before an invite is made; receivers raise for scopes that the actor cannot give.
scopes_offered: Final = Signal()
#: Sent with `invite`, `user` and `workspaces` inside the transaction; receivers return the keys that they made.
invite_accepted: Final = Signal()


@dataclass(frozen=True, slots=True)
class NewInvite:
    """An invite that was just made or sent again, and the token of its link, which exists nowhere else."""

    row: Invite
    token: Secret

    def link(self) -> str:
        """Return the address that the invited person opens."""
        return f"{settings.PUBLIC_URL}/invite/{shown_once(self.token)}"


def _posted(made: NewInvite) -> NewInvite:
    """Send the link to the invited person as well, where there is a mail server."""
    name = made.row.organisation.name
    text = f"You are invited to join {name} on Gatehouse. This link works once, until {made.row.expires_at:%d %B %Y}:"
    post(made.row.email, f"Join {name} on Gatehouse", f"{text}\n\n{made.link()}\n")
    return made


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()


def invite_json(row: Invite) -> Json:
    """Return an invite as the API shows it; its link is not part of it."""
    return {
        "object": "invite",
        "id": str(row.pk),
        "email": row.email,
        "role": row.role,
        "workspaces": row.workspaces,
        "workspace_api_key_details": None if row.key_scopes is None else {"scopes": row.key_scopes},
        "created_at": iso(row.created_at),
        "expires_at": iso(row.expires_at),
        "accepted_at": iso(row.accepted_at),
        "status": row.status,
        "invited_by": row.invited_by,
    }


def _resolved(actor: Principal, wanted: Iterable[Mapping[str, Any]]) -> list[Json]:
    rows = visible_to(Workspace.objects.all(), actor)
    found: dict[str, Json] = {}
    for each in wanted:
        workspace = rows.filter(by_id_or_slug(str(each["id"]))).first()
        if workspace is None:
            raise Invalid(f"workspaces: no such workspace: {str(each['id'])[:80]}")
        refuse_role_in(actor, workspace, each["role"])
        found[str(workspace.pk)] = {"id": str(workspace.pk), "role": each["role"]}
    return list(found.values())


@transaction.atomic
def create_invite(
    actor: Principal,
    email: str,
    role: str,
    *,
    workspaces: Iterable[Mapping[str, Any]] = (),
    key_scopes: Iterable[str] | None = None,
) -> NewInvite:
    """Invite `email` as `role` (admin or member), into `workspaces` (`{id or slug, role}`).

    `key_scopes`: make an API key with them in each workspace on acceptance.  Raises Conflict for a member, or when an
    invite is open already; Denied for a role or scopes beyond the actor's; Invalid for an unknown workspace.
    """
    email = normal_email(email)
    refuse_role(actor, role)
    if Membership.objects.filter(organisation_id=actor.organisation_id, user__email=email).exists():
        raise Conflict("That person is a member already.")
    resolved = _resolved(actor, workspaces)
    scopes = None if key_scopes is None else sorted(set(key_scopes))
    if scopes is not None:
        scopes_offered.send(sender=Invite, actor=actor, scopes=scopes)
    invites = Invite.objects.select_for_update().filter(organisation_id=actor.organisation_id, email=email)
    for old in invites.filter(accepted_at__isnull=True, cancelled_at__isnull=True):
        if old.status == "pending":
            raise Conflict("That person has an open invite already: send it again, or cancel it.")
        old.cancelled_at = timezone.now()
        old.save()
    token = secrets.token_urlsafe(32)
    row = Invite.objects.create(
        organisation_id=actor.organisation_id,
        email=email,
        role=role,
        workspaces=resolved,
        key_scopes=scopes,
        token_hash=_hash(token),
        invited_by=str(actor.user_id or actor.id),
        invited_by_name=actor.name[:255],
        expires_at=timezone.now() + LIFETIME,
    )
    audit.record(actor, "create", row, after=invite_json(row))
    return _posted(NewInvite(row, Secret(token)))


def _open(row: Invite) -> Invite:
    """Return the locked row.  Raises Conflict when it was accepted or cancelled."""
    locked = Invite.objects.select_for_update().get(pk=row.pk)
    if locked.status in {"accepted", "cancelled"}:
        raise Conflict(f"The invite was {locked.status}.")
    return locked


@transaction.atomic
def resend_invite(actor: Principal, row: Invite) -> NewInvite:
    """Give an open invite a new link and seven more days; the old link stops working.

    Raises Conflict when it was accepted or cancelled, Denied when the actor could not have made it.
    """
    row = _open(row)
    refuse_role(actor, row.role)
    if row.key_scopes is not None:
        scopes_offered.send(sender=Invite, actor=actor, scopes=row.key_scopes)
    before = invite_json(row)
    token = secrets.token_urlsafe(32)
    row.token_hash, row.expires_at = _hash(token), timezone.now() + LIFETIME
    row.save()
    audit.record(actor, "resend", row, before=before, after=invite_json(row))
    return _posted(NewInvite(row, Secret(token)))


@transaction.atomic
def cancel_invite(actor: Principal, row: Invite) -> None:
    """Take an invite back; cancelling it twice is fine.  Raises Conflict when it was accepted."""
    locked = Invite.objects.select_for_update().get(pk=row.pk)
    if locked.status == "accepted":
        raise Conflict("The invite was accepted: remove the user instead.")
    if locked.cancelled_at is not None:
        return
    locked.cancelled_at = timezone.now()
    locked.save()
    audit.record(actor, "delete", locked, before=invite_json(row))


def peek_invite(token: str) -> Invite | None:
    """Return the pending invite whose link has this token."""
    row = Invite.objects.select_related("organisation").filter(token_hash=_hash(token)).first()
    usable = row is not None and row.status == "pending" and row.organisation.status == "active"
    return row if usable else None


def pending_invite(organisation_id: UUID, email: str) -> Invite | None:
    """Return the pending invite of an address to an organisation."""
    rows = Invite.objects.filter(
        organisation_id=organisation_id, email=email, accepted_at__isnull=True, cancelled_at__isnull=True
    )
    return next((row for row in rows if row.status == "pending"), None)


def account_of(invite: Invite) -> User | None:
    """Return the account that the invited person must sign in to; None: accepting the invite makes one.

    An account that nobody could ever use is none: no password, no organisation, no identity elsewhere.
    """
    user = User.objects.filter(email=invite.email).first()
    if user is None:
        return None
    is_used = (
        user.has_usable_password()
        or not user.is_active
        or Membership.objects.filter(user=user).exists()
        or user.external_identities.exists()
    )
    return user if is_used else None


@transaction.atomic
def accept_invite(invite: Invite, user: User) -> list[Any] | None:
    """Make `user`, whom the invite is for, a member with the roles that it says; None when it is pending no more.

    Returns what those who listen made of it: API keys, whose texts are shown once.  A role that the person has
    already is kept.  Raises Invalid when the invite is for another address.
    """
    locked = Invite.objects.select_for_update().filter(pk=invite.pk).first()
    if locked is None or locked.status != "pending" or locked.token_hash != invite.token_hash:
        return None
    if locked.email != user.email:
        raise Invalid("The invite is for another person.")
    actor = person(user, locked.organisation_id)
    if not Membership.objects.filter(organisation_id=locked.organisation_id, user=user).exists():
        add_member(actor, user, locked.role)
    DepartedMember.objects.filter(organisation_id=locked.organisation_id, user=user).delete()
    workspaces = _join(actor, locked, user)
    locked.accepted_at = timezone.now()
    locked.save()
    audit.record(actor, "accept", locked, after=invite_json(locked))
    answers = invite_accepted.send(sender=Invite, invite=locked, user=user, workspaces=workspaces)
    return [made for _, answer in answers for made in answer or ()]


def _join(actor: Principal, invite: Invite, user: User) -> list[Workspace]:
    """Let the person join the workspaces of the invite that are still there."""
    roles = {each["id"]: each["role"] for each in invite.workspaces}
    found = list(Workspace.objects.filter(organisation_id=invite.organisation_id, pk__in=roles))
    for workspace in found:
        if not WorkspaceMembership.objects.filter(workspace=workspace, user=user).exists():
            join_workspace(actor, workspace, user.pk, _role_still_there(workspace, roles[str(workspace.pk)]))
    return found


def _role_still_there(workspace: Workspace, named: str) -> str:
    """Return the role that an invite names, or the least one when that was deleted since: nobody is left outside."""
    try:
        find_role(workspace.organisation_id, WORKSPACE, named)
    except Invalid:
        return MEMBER
    return named
