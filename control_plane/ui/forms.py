"""The fields and forms by which people prove who they are."""

from typing import Any, Final

from django import forms
from django.contrib.auth import password_validation
from django.core.exceptions import ValidationError

from control_plane.accounts.models import User

MAX_PASSWORD_CHARS: Final = 1024
PASSWORD_RULES: Final = "At least 12 characters, not a common password, not your e-mail address."  # noqa: S105 -- a sentence


def password_field(label: str, autocomplete: str, help_text: str = "") -> forms.CharField:
    """Return a field for a password, which no page ever repeats."""
    widget = forms.PasswordInput(attrs={"autocomplete": autocomplete})
    # Blanks are part of a password.
    return forms.CharField(label=label, strip=False, max_length=MAX_PASSWORD_CHARS, widget=widget, help_text=help_text)


def email_field(label: str = "E-mail address", autocomplete: str = "username") -> forms.EmailField:
    """Return a field for an e-mail address."""
    return forms.EmailField(label=label, max_length=254, widget=forms.EmailInput(attrs={"autocomplete": autocomplete}))


def code_field(label: str, help_text: str = "") -> forms.CharField:
    """Return a field for a one-time code."""
    attributes = {"autocomplete": "one-time-code", "inputmode": "text", "spellcheck": "false"}
    return forms.CharField(label=label, max_length=100, widget=forms.TextInput(attrs=attributes), help_text=help_text)


class EmailForm(forms.Form):
    """Who wants to sign in?"""

    email = email_field()


class SignInForm(forms.Form):
    """E-mail address and password."""

    email = email_field()
    password = password_field("Password", "current-password")


class CodeForm(forms.Form):
    """The second step of a sign-in."""

    code = code_field("Code", "The 6 digits that your authenticator app shows, or one of your recovery codes.")


class SetUpForm(forms.Form):
    """A new password, twice."""

    password = password_field("New password", "new-password", PASSWORD_RULES)
    again = password_field("The same password again", "new-password")

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


class JoinForm(SetUpForm):
    """The account of somebody who accepts an invite."""

    first_name = forms.CharField(
        label="First name", max_length=120, required=False, widget=forms.TextInput(attrs={"autocomplete": "given-name"})
    )
    last_name = forms.CharField(
        label="Last name", max_length=120, required=False, widget=forms.TextInput(attrs={"autocomplete": "family-name"})
    )
    field_order = ("first_name", "last_name", "password", "again")


class ProveForm(forms.Form):
    """The password once more, before something that a stranger at an open browser must not do."""

    current = password_field("Your password", "current-password")


class ChangePasswordForm(SetUpForm):
    """The old password and a new one."""

    current = password_field("Your present password", "current-password")
    field_order = ("current", "password", "again")


class EnrolForm(ProveForm):
    """The first code of a new second factor."""

    code = code_field("Code from the app", "The 6 digits that it shows now.")
    field_order = ("code", "current")
