"""How does an invited person accept?  With a new account, by signing in to the one they have, or by single sign-on."""

from typing import Any, Final
from urllib.parse import urlencode

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from control_plane.accounts import sign_ins
from control_plane.accounts.models import User
from control_plane.accounts.services import find_or_create_user, set_password
from control_plane.orgs.invites import accept_invite, account_of, peek_invite
from control_plane.orgs.models import Invite
from control_plane.orgs.sign_in_rules import provider_for, rules_of
from control_plane.ui.forms import JoinForm
from control_plane.ui.pages import refuse

INVITE_GONE: Final = "This invite is not valid: it was used or cancelled, is too old, or never existed."
_HERE: Final = "ui/invite.html"


def welcome(request: HttpRequest, invite: Invite, made: list[Any]) -> HttpResponse:
    """Send a new member on; first show the keys that were made for them, whose texts are kept nowhere."""
    if not made:
        return redirect("/")
    keys = [(key.row.workspace, key.row, key.shown_once()) for key in made]
    facts = {"keys": keys, "organisation_name": invite.organisation.name, "gateway_url": settings.GATEWAY_URL}
    return render(request, "ui/invite_accepted.html", facts)


@sensitive_post_parameters("password", "again")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def accept(request: HttpRequest, token: str) -> HttpResponse:
    """Show an invite and let the right person accept it."""
    invite = peek_invite(token)
    if invite is None:
        return refuse(request, INVITE_GONE, status=404)
    facts = _choices(request, invite, token)
    if isinstance(request.user, User):
        return _as_known(request, request.user, invite, facts)
    if facts["must_sign_in"] or facts["sso_only"]:
        return render(request, _HERE, facts, status=403 if request.method == "POST" else 200)
    form = JoinForm(User(email=invite.email), request.POST if request.method == "POST" else None)
    if not form.is_valid():
        return render(request, _HERE, {**facts, "form": form}, status=400 if form.errors else 200)
    return _as_new(request, invite, form)


def _choices(request: HttpRequest, invite: Invite, token: str) -> dict[str, Any]:
    """Return what the page says: by which ways the invite can be accepted."""
    provider = provider_for(invite.email)
    by_sso = provider is not None and provider.organisation_id == invite.organisation_id
    here = f"/invite/{token}"
    start = {"next": "/", "hint": invite.email}
    return {
        "invite": invite,
        "sign_in_url": f"/login?{urlencode({'next': here})}",
        "sso_url": f"/sso/{invite.organisation_id}?{urlencode(start)}" if by_sso else "",
        "sso_only": by_sso and rules_of(invite.organisation_id).sso_only,
        "must_sign_in": account_of(invite) is not None,
        "is_other_person": isinstance(request.user, User) and request.user.email != invite.email,
    }


def _as_known(request: HttpRequest, user: User, invite: Invite, facts: dict[str, Any]) -> HttpResponse:
    if request.method != "POST" or facts["is_other_person"]:
        return render(request, _HERE, facts, status=403 if request.method == "POST" else 200)
    made = accept_invite(invite, user)
    return refuse(request, INVITE_GONE, status=404) if made is None else welcome(request, invite, made)


def _as_new(request: HttpRequest, invite: Invite, form: JoinForm) -> HttpResponse:
    with transaction.atomic():
        given = form.cleaned_data
        user = find_or_create_user(invite.email, first_name=given["first_name"], last_name=given["last_name"])
        set_password(user, given["password"])
        made = accept_invite(invite, user)
        if made is None:
            # Somebody was faster: their password stays.
            transaction.set_rollback(True)
    if made is None:
        return refuse(request, INVITE_GONE, status=404)
    sign_ins.begin(request, user, sign_ins.LINK)
    return welcome(request, invite, made)
