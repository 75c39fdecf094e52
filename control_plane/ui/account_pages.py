"""How does a person look after their own account: password, second factor, and where they are signed in?

Whatever changes how the person proves themselves asks for the password again.  Somebody who came by single sign-on and
has no password cannot change it here: one organisation's provider must not open the way into another.
"""

from typing import Any, Final

from django import forms
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.utils.safestring import mark_safe
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from control_plane.accounts import second_factor, sign_ins
from control_plane.accounts.models import User
from control_plane.accounts.services import set_password
from control_plane.orgs.authentication import lacks_second_factor, principal_of_browser
from control_plane.orgs.sign_in_rules import rules_of
from control_plane.ui.forms import ChangePasswordForm, EnrolForm, ProveForm
from control_plane.ui.pages import personal, refuse, show
from control_plane.ui.proving import WRONG_CODE, WRONG_PASSWORD, prove_password
from shared.ids import parse_uuid

NO_PASSWORD: Final = (
    "You sign in through your organisation's provider; your account has no password to confirm this with."  # noqa: S105 -- a sentence
)
DEMANDED: Final = "Your organisation demands a second factor, so it cannot be removed."


def _show(request: HttpRequest, user: User, template: str, facts: dict[str, Any], *, status: int = 200) -> HttpResponse:
    return show(request, principal_of_browser(request, user), template, {"here": "account", **facts}, status=status)


def _posted(request: HttpRequest) -> QueryDict | None:
    return request.POST if request.method == "POST" else None


def _proved(request: HttpRequest, user: User, form: forms.Form) -> int:
    """Return 0 when the form's password is the person's, else the status with which to show the form again."""
    verdict = prove_password(request, user.email, form.cleaned_data["current"])
    if verdict.user is not None and verdict.user.pk == user.pk:
        return 0
    return verdict.told(form, WRONG_PASSWORD, "current")


@require_safe
@personal
def show_account(request: HttpRequest, user: User) -> HttpResponse:
    """Show the account: second factor, and every browser in which the person is signed in."""
    here = sign_ins.current(request)
    rows = [
        (row, sign_ins.METHODS.get(row.method, row.method), here is not None and row.pk == here.pk)
        for row in sign_ins.of_user(user)[:100]
    ]
    facts = {
        "factor": second_factor.factor_of(user),
        "codes_left": second_factor.recovery_codes_left(user),
        "has_password": user.has_usable_password(),
        "rows": rows,
    }
    return _show(request, user, "ui/account.html", facts)


@sensitive_post_parameters("current", "password", "again")
@require_http_methods(["GET", "HEAD", "POST"])
@personal
def change_password(request: HttpRequest, user: User) -> HttpResponse:
    """Change the password; every other sign-in ends."""
    if not user.has_usable_password():
        return refuse(request, NO_PASSWORD)
    form = ChangePasswordForm(user, _posted(request))
    status = 400 if form.errors else 200
    if form.is_valid():
        status = _proved(request, user, form)
        if not status:
            set_password(user, form.cleaned_data["password"], but=sign_ins.current(request))
            update_session_auth_hash(request, user)
            messages.success(request, "Your password is changed; you are signed out everywhere else.")
            return redirect("account")
    return _show(request, user, "ui/account_password.html", {"form": form}, status=status)


@sensitive_post_parameters("current", "code")
@require_http_methods(["GET", "HEAD", "POST"])
@personal
def enrol(request: HttpRequest, user: User) -> HttpResponse:
    """Show the QR code of a new second factor, and make it count with its first code."""
    if not user.has_usable_password():
        return refuse(request, NO_PASSWORD)
    waiting = second_factor.begin_enrolment(user)
    if waiting is None:
        return redirect("account")
    form = EnrolForm(_posted(request))
    status = 400 if form.errors else 200
    if form.is_valid():
        status = _proved(request, user, form)
        codes = None if status else second_factor.confirm_enrolment(user, form.cleaned_data["code"])
        if codes is not None:
            sign_ins.note_second_factor(request)
            return _show(request, user, "ui/recovery_codes.html", {"codes": codes, "is_new": True})
        if not status:
            form.add_error("code", WRONG_CODE)
            status = 400
    principal = principal_of_browser(request, user)
    facts = {
        "form": form,
        # Made by the library from a seed and an address that it escapes; it holds paths and nothing else.
        "qr_code": mark_safe(second_factor.qr_code(waiting)),  # noqa: S308 -- see above
        "seed": " ".join(_fours(second_factor.seed_of(waiting))),
        "is_demanded": principal is not None and lacks_second_factor(request, user, principal),
    }
    return _show(request, user, "ui/second_factor.html", facts, status=status)


def _fours(text: str) -> list[str]:
    return [text[at : at + 4] for at in range(0, len(text), 4)]


@sensitive_post_parameters("current")
@require_http_methods(["GET", "HEAD", "POST"])
@personal
def remove_factor(request: HttpRequest, user: User) -> HttpResponse:
    """Take the second factor away, unless an organisation of the person demands one."""
    if second_factor.factor_of(user) is None:
        return redirect("account")
    memberships = user.memberships.values_list("organisation_id", flat=True)
    if any(rules_of(organisation_id).require_second_factor for organisation_id in memberships):
        return refuse(request, DEMANDED)
    form = ProveForm(_posted(request))
    status = 400 if form.errors else 200
    if form.is_valid():
        status = _proved(request, user, form)
        if not status:
            second_factor.remove_factor(user)
            messages.success(request, "Your second factor is removed.")
            return redirect("account")
    return _show(request, user, "ui/second_factor_remove.html", {"form": form}, status=status)


@sensitive_post_parameters("current")
@require_http_methods(["GET", "HEAD", "POST"])
@personal
def renew_codes(request: HttpRequest, user: User) -> HttpResponse:
    """Make new recovery codes, and show them in the answer itself: they are kept nowhere."""
    if second_factor.factor_of(user) is None:
        return redirect("account")
    form = ProveForm(_posted(request))
    status = 400 if form.errors else 200
    if form.is_valid():
        status = _proved(request, user, form)
        if not status:
            codes = second_factor.renew_recovery_codes(user)
            return _show(request, user, "ui/recovery_codes.html", {"codes": codes, "is_new": False})
    return _show(request, user, "ui/recovery_codes_renew.html", {"form": form}, status=status)


@require_POST
@personal
def end_sign_in(request: HttpRequest, user: User, row_id: str) -> HttpResponse:
    """Sign the person out of one other browser."""
    parsed = parse_uuid(row_id)
    row = sign_ins.of_user(user).filter(pk=parsed).first() if parsed else None
    if row is None:
        raise Http404
    sign_ins.end(row)
    messages.success(request, "That browser is signed out.")
    return redirect("account")


@require_POST
@personal
def end_others(request: HttpRequest, user: User) -> HttpResponse:
    """Sign the person out everywhere else."""
    ended = sign_ins.end_all(user, but=sign_ins.current(request))
    messages.success(request, f"You are signed out of {ended} other browsers.")
    return redirect("account")
