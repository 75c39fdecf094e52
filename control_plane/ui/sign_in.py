"""How does a person come in and leave?  By provider, by password and second factor, or once by a set-up link."""

import time
from typing import Any, Final
from urllib.parse import urlencode

from django import forms
from django.contrib.auth import logout
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.crypto import constant_time_compare
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from control_plane.accounts import sign_ins
from control_plane.accounts.models import User
from control_plane.accounts.second_factor import factor_of
from control_plane.accounts.services import peek_setup_token, redeem_setup_token, set_password
from control_plane.orgs.sign_in_rules import password_is_forbidden, provider_for
from control_plane.ui.forms import CodeForm, EmailForm, SetUpForm, SignInForm
from control_plane.ui.pages import refuse
from control_plane.ui.proving import REFUSED, WRONG_CODE, prove_code, prove_password

HOME: Final = "/"
LINK_GONE: Final = "This set-up link is not valid: it was used, is too old, or never existed. Ask for a new one."
USE_PROVIDER: Final = "Your organisation asks you to sign in through its own provider."
_HALF_WAY: Final = "half_way"
#: How long a right password waits for its code.
HALF_WAY_S: Final = 600


def local_path(wanted: str | None) -> str:
    """Return where to go after signing in: `wanted` when it is a path of ours, else home."""
    if wanted and wanted.startswith("/") and url_has_allowed_host_and_scheme(wanted, allowed_hosts=None):
        return wanted
    return HOME


def admit(request: HttpRequest, user: User, method: str, onward: str) -> HttpResponse:
    """Sign in whoever proved themselves by `method`; who has a second factor is asked for it first."""
    if factor_of(user) is None:
        sign_ins.begin(request, user, method)
        return redirect(onward)
    # Not signed in yet: nothing but the next step looks at this.
    request.session[_HALF_WAY] = {"user": str(user.pk), "hash": user.get_session_auth_hash(), "at": time.time()}
    request.session.cycle_key()
    return redirect(f"/login/code?{urlencode({'next': onward})}")


def _half_way(request: HttpRequest) -> User | None:
    """Return who gave the right password in this browser a moment ago, if it still is their password."""
    given = request.session.get(_HALF_WAY)
    if not isinstance(given, dict) or time.time() - float(given["at"]) > HALF_WAY_S:
        return None
    user = User.objects.filter(pk=given["user"], is_active=True).first()
    if user is None or not constant_time_compare(given["hash"], user.get_session_auth_hash()):
        return None
    return user


def _form_page(request: HttpRequest, template: str, form: forms.Form, status: int, **facts: Any) -> HttpResponse:
    return render(request, template, {"form": form, **facts}, status=status)


@sensitive_post_parameters("password")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in(request: HttpRequest) -> HttpResponse:
    """Ask who it is, then send them to their provider or ask for the password; send them on where they wanted to go."""
    onward = local_path(request.POST.get("next") or request.GET.get("next"))
    if request.user.is_authenticated:
        return redirect(onward)
    if request.method != "POST":
        return _form_page(request, "ui/sign_in.html", EmailForm(), 200, next=onward, step="email")
    if "password" in request.POST:
        return _by_password(request, onward)
    form = EmailForm(request.POST)
    if not form.is_valid():
        return _form_page(request, "ui/sign_in.html", form, 400, next=onward, step="email")
    email = form.cleaned_data["email"]
    provider = None if request.POST.get("by") == "password" else provider_for(email)
    if provider is not None:
        query = urlencode({"next": onward, "hint": email})
        facts = {"start": f"/sso/{provider.organisation_id}?{query}", "email": email, "next": onward}
        return render(request, "ui/sso_leave.html", facts)
    return _form_page(
        request, "ui/sign_in.html", SignInForm(initial={"email": email}), 200, next=onward, step="password"
    )


def _by_password(request: HttpRequest, onward: str) -> HttpResponse:
    form = SignInForm(request.POST)
    status = 400
    if form.is_valid():
        verdict = prove_password(request, form.cleaned_data["email"], form.cleaned_data["password"])
        if verdict.user is not None:
            return admit(request, verdict.user, sign_ins.PASSWORD, onward)
        status = verdict.told(form, REFUSED)
    return _form_page(request, "ui/sign_in.html", form, status, next=onward, step="password")


@sensitive_post_parameters("code")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in_code(request: HttpRequest) -> HttpResponse:
    """Ask for the second factor of whoever gave the right password."""
    onward = local_path(request.POST.get("next") or request.GET.get("next"))
    if request.user.is_authenticated:
        return redirect(onward)
    user = _half_way(request)
    if user is None:
        return redirect(f"/login?{urlencode({'next': onward})}")
    form = CodeForm(request.POST if request.method == "POST" else None)
    status = 400 if form.errors else 200
    if form.is_valid():
        verdict = prove_code(user, form.cleaned_data["code"])
        if verdict.user is not None:
            del request.session[_HALF_WAY]
            sign_ins.begin(request, user, sign_ins.CODE)
            return redirect(onward)
        status = verdict.told(form, WRONG_CODE, "code")
    return _form_page(request, "ui/sign_in_code.html", form, status, next=onward)


@never_cache
@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """End the session; only by POST, so that no link of another site can."""
    sign_ins.end_current(request)
    logout(request)
    return redirect("/login")


@sensitive_post_parameters("password", "again")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def set_up(request: HttpRequest, token: str) -> HttpResponse:
    """Let the person whom a one-time link was made for choose a password, and sign them in."""
    user = peek_setup_token(token)
    if user is None:
        return refuse(request, LINK_GONE, status=404)
    if password_is_forbidden(user):
        return refuse(request, USE_PROVIDER)
    form = SetUpForm(user, request.POST if request.method == "POST" else None)
    if not form.is_valid():
        return _form_page(request, "ui/set_up.html", form, 400 if form.errors else 200, email=user.email)
    with transaction.atomic():
        redeemed = redeem_setup_token(token)
        if redeemed is not None:
            set_password(redeemed, form.cleaned_data["password"])
    if redeemed is None:
        return refuse(request, LINK_GONE, status=404)
    return admit(request, redeemed, sign_ins.LINK, HOME)
