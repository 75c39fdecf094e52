"""Who belongs to this organisation, and who is invited?"""

from typing import Any, Final

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from rest_framework.exceptions import APIException

from control_plane.core.principal import Principal
from control_plane.core.tenancy import visible_to
from control_plane.orgs.invites import cancel_invite, create_invite, resend_invite
from control_plane.orgs.models import (
    INVITED_ROLES,
    ORGANISATION_ROLES,
    WORKSPACE_ROLES,
    Invite,
    Membership,
    Role,
    Workspace,
)
from control_plane.orgs.people import change_role, is_owner, remove_member
from control_plane.orgs.roles import ORGANISATION
from control_plane.ui.forms import email_field
from control_plane.ui.pages import PEOPLE, page, refuse, show
from shared.ids import parse_uuid

#: More than people read; the Admin API lists them all.
MOST_SHOWN: Final = 500
_NOT_ALLOWED: Final = "Your role does not allow changing who belongs here. Ask an owner or admin."


class InviteForm(forms.Form):
    """Whom to invite, as what, and into which workspace."""

    email = email_field(autocomplete="off")
    role = forms.ChoiceField(label="Role in the organisation", choices=[*reversed(INVITED_ROLES)])
    workspace = forms.ChoiceField(label="Workspace", required=False)
    workspace_role = forms.ChoiceField(label="Role in the workspace", choices=[*reversed(WORKSPACE_ROLES)])

    def __init__(self, workspaces: list[Workspace], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["workspace"]
        if isinstance(field, forms.ChoiceField):
            field.choices = [("", "None yet"), *((str(each.pk), each.name) for each in workspaces)]


class RoleForm(forms.Form):
    """Another role, built in or one that the organisation made."""

    role = forms.ChoiceField(label="Role")

    def __init__(self, made: list[Role], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["role"]
        if isinstance(field, forms.ChoiceField):
            field.choices = [*ORGANISATION_ROLES, *((each.slug, each.name) for each in made)]


def _membership(principal: Principal, user_id: str) -> Membership:
    parsed = parse_uuid(user_id)
    rows = visible_to(Membership.objects.select_related("user", "custom_role"), principal)
    row = rows.filter(user_id=parsed).first() if parsed else None
    if row is None:
        raise Http404
    return row


def _invite(principal: Principal, invite_id: str) -> Invite:
    parsed = parse_uuid(invite_id)
    row = visible_to(Invite.objects.all(), principal).filter(pk=parsed).first() if parsed else None
    if row is None:
        raise Http404
    return row


@require_safe
@page(PEOPLE)
def list_people(request: HttpRequest, principal: Principal) -> HttpResponse:
    """Show members and open invites."""
    members = visible_to(Membership.objects.select_related("user", "user__second_factor", "custom_role"), principal)
    invites = visible_to(Invite.objects.all(), principal).filter(accepted_at__isnull=True, cancelled_at__isnull=True)
    facts = {
        "members": [(row, _factor_word(row)) for row in members.order_by("user__email")[:MOST_SHOWN]],
        "invites": invites[:MOST_SHOWN],
        "may_invite": principal.allows("organisation_users.create"),
        "may_change": principal.allows("organisation_users.update"),
        "may_remove": principal.allows("organisation_users.delete"),
        "may_see_rules": principal.allows("organisation_settings.read"),
    }
    return show(request, principal, "ui/people.html", facts)


def _factor_word(row: Membership) -> str:
    factor = getattr(row.user, "second_factor", None)
    return "On" if factor is not None and factor.confirmed_at is not None else "Off"


@require_http_methods(["GET", "HEAD", "POST"])
@page(PEOPLE)
def invite(request: HttpRequest, principal: Principal) -> HttpResponse:
    """Make an invite and show its link, in the answer itself: it is kept nowhere."""
    if not principal.allows("organisation_users.create"):
        return refuse(request, _NOT_ALLOWED)
    workspaces = list(visible_to(Workspace.objects.all(), principal))
    form = InviteForm(workspaces, request.POST if request.method == "POST" else None)
    status = 400 if form.errors else 200
    if form.is_valid():
        given = form.cleaned_data
        wanted = [{"id": given["workspace"], "role": given["workspace_role"]}] if given["workspace"] else []
        try:
            made = create_invite(principal, given["email"], given["role"], workspaces=wanted)
        except APIException as fault:
            form.add_error(None, str(fault.detail))
            status = fault.status_code
        else:
            return show(request, principal, "ui/invite_made.html", {"row": made.row, "link": made.link()})
    return show(request, principal, "ui/invite_form.html", {"form": form}, status=status)


@require_POST
@page(PEOPLE)
def resend(request: HttpRequest, principal: Principal, invite_id: str) -> HttpResponse:
    """Give an invite a new link and show it."""
    if not principal.allows("organisation_users.create"):
        return refuse(request, _NOT_ALLOWED)
    try:
        made = resend_invite(principal, _invite(principal, invite_id))
    except APIException as fault:
        return refuse(request, str(fault.detail), status=fault.status_code)
    return show(request, principal, "ui/invite_made.html", {"row": made.row, "link": made.link()})


@require_POST
@page(PEOPLE)
def cancel(request: HttpRequest, principal: Principal, invite_id: str) -> HttpResponse:
    """Take an invite back."""
    if not principal.allows("organisation_users.delete"):
        return refuse(request, _NOT_ALLOWED)
    row = _invite(principal, invite_id)
    try:
        cancel_invite(principal, row)
    except APIException as fault:
        return refuse(request, str(fault.detail), status=fault.status_code)
    messages.success(request, f"The invite of {row.email} is cancelled.")
    return redirect("people")


@require_http_methods(["GET", "HEAD", "POST"])
@page(PEOPLE)
def change(request: HttpRequest, principal: Principal, user_id: str) -> HttpResponse:
    """Give a member another role."""
    if not principal.allows("organisation_users.update"):
        return refuse(request, _NOT_ALLOWED)
    row = _membership(principal, user_id)
    made = list(visible_to(Role.objects.filter(level=ORGANISATION), principal))
    form = RoleForm(made, request.POST if request.method == "POST" else None, initial={"role": row.role_name})
    status = 400 if form.errors else 200
    if form.is_valid():
        try:
            change_role(principal, row, form.cleaned_data["role"])
        except APIException as fault:
            form.add_error("role", str(fault.detail))
            status = fault.status_code
        else:
            messages.success(request, f"{row.user.full_name} is {form.cleaned_data['role']} now.")
            return redirect("people")
    return show(request, principal, "ui/person_role.html", {"form": form, "row": row}, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
@page(PEOPLE)
def remove(request: HttpRequest, principal: Principal, user_id: str) -> HttpResponse:
    """Ask whether to remove a member, then do it."""
    if not principal.allows("organisation_users.delete"):
        return refuse(request, _NOT_ALLOWED)
    row = _membership(principal, user_id)
    if request.method != "POST":
        facts = {"row": row, "is_blocked": row.role == "owner" and not is_owner(principal)}
        return show(request, principal, "ui/person_remove.html", facts)
    try:
        remove_member(principal, row)
    except APIException as fault:
        return refuse(request, str(fault.detail), status=fault.status_code)
    messages.success(request, f"{row.user.full_name} is removed.")
    return redirect("people")
