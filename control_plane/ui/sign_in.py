"""How does a person come in and leave?  By password, and once by a set-up link that gives them one."""

from typing import Any, Final

from django import forms
from django.contrib.auth import authenticate, login, logout, password_validation
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from control_plane.accounts.models import User
from control_plane.accounts.services import peek_setup_token, redeem_setup_token, set_password

HOME: Final = "/"
# One sentence for every reason: it must not tell who has an account.
REFUSED: Final = "That e-mail address and password do not belong together."
LINK_GONE: Final = "This set-up link is not valid: it was used, is too old, or never existed. Ask for a new one."
MAX_PASSWORD_CHARS: Final = 1024


def _password_field(label: str, autocomplete: str) -> forms.CharField:
    widget = forms.PasswordInput(attrs={"autocomplete": autocomplete})
    # Blanks are part of a password.
    return forms.CharField(label=label, strip=False, max_length=MAX_PASSWORD_CHARS, widget=widget)


class SignInForm(forms.Form):
    """E-mail address and password."""

    email = forms.EmailField(
        label="E-mail address", max_length=254, widget=forms.EmailInput(attrs={"autocomplete": "username"})
    )
    password = _password_field("Password", "current-password")


class SetUpForm(forms.Form):
    """A new password, twice."""

    password = _password_field("New password", "new-password")
    again = _password_field("The same password again", "new-password")

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._user = user

    def clean(self) -> dict[str, Any]:
        """Refuse passwords that differ or are weak."""
        given: dict[str, Any] = super().clean() or {}
        password, again = given.get("password"), given.get("again")
        if password and again and password != again:
            self.add_error("again", "The two passwords differ.")
        elif password:
            try:
                password_validation.validate_password(password, self._user)
            except ValidationError as fault:
                self.add_error("password", fault)
        return given


def local_path(wanted: str | None) -> str:
    """Return where to go after signing in: `wanted` when it is a path of ours, else home."""
    if wanted and wanted.startswith("/") and url_has_allowed_host_and_scheme(wanted, allowed_hosts=None):
        return wanted
    return HOME


@sensitive_post_parameters("password")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in(request: HttpRequest) -> HttpResponse:
    """Sign a person in, and send them where they wanted to go."""
    onward = local_path(request.POST.get("next") or request.GET.get("next"))
    if request.user.is_authenticated:
        return redirect(onward)
    form = SignInForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        user = authenticate(request, username=form.cleaned_data["email"], password=form.cleaned_data["password"])
        if user is not None:
            login(request, user)
            return redirect(onward)
        form.add_error(None, REFUSED)
    return render(request, "ui/sign_in.html", {"form": form, "next": onward}, status=400 if form.errors else 200)


@never_cache
@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """End the session; only by POST, so that no link of another site can."""
    logout(request)
    return redirect("/login")


@sensitive_post_parameters("password", "again")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def set_up(request: HttpRequest, token: str) -> HttpResponse:
    """Let the person whom a one-time link was made for choose a password, and sign them in."""
    user = peek_setup_token(token)
    if user is None:
        return render(request, "ui/refusal.html", {"sentence": LINK_GONE}, status=404)
    form = SetUpForm(user, request.POST if request.method == "POST" else None)
    if not form.is_valid():
        return render(
            request, "ui/set_up.html", {"form": form, "email": user.email}, status=400 if form.errors else 200
        )
    with transaction.atomic():
        redeemed = redeem_setup_token(token)
        if redeemed is not None:
            set_password(redeemed, form.cleaned_data["password"])
    if redeemed is None:
        return render(request, "ui/refusal.html", {"sentence": LINK_GONE}, status=404)
    login(request, redeemed)
    return redirect(HOME)
