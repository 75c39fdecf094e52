"""Is the password that was typed the person's?  The one place where pages ask, so that every guess is counted."""

from dataclasses import dataclass
from typing import Final

from django import forms
from django.contrib.auth import authenticate
from django.http import HttpRequest

from control_plane.accounts import second_factor, throttle
from control_plane.accounts.models import User, normal_email
from control_plane.orgs.sign_in_rules import password_is_forbidden

# One sentence for every reason: it must not tell who has an account.
REFUSED: Final = "That e-mail address and password do not belong together."
WRONG_CODE: Final = "That code is not right, or it was used already. Wait for the next one."
WRONG_PASSWORD: Final = "That is not your password."  # noqa: S105 -- a sentence


@dataclass(frozen=True, slots=True)
class Verdict:
    """Who was proved (None: nobody), and how many seconds to wait when there were too many guesses."""

    user: User | None = None
    wait_s: int = 0

    def told(self, form: forms.Form, sentence: str, field: str | None = None) -> int:
        """Put into `form` why it was refused, and return the HTTP status that says so."""
        if self.wait_s:
            form.add_error(None, f"Too many tries. Wait {self.wait_s} seconds, then try again.")
            return 429
        form.add_error(field, sentence)
        return 400


def prove_password(request: HttpRequest, email: str, password: str) -> Verdict:
    """Return whose password this is, if they may sign in by one.

    Nothing in the answer, nor in the time that it takes, tells whether the account exists.
    """
    attempt = throttle.of_password(email, User.objects.filter(email=normal_email(email)).first())
    wait_s = attempt.begin()
    if wait_s:
        return Verdict(wait_s=wait_s)
    user = authenticate(request, username=email, password=password)
    if not isinstance(user, User) or password_is_forbidden(user):
        return Verdict()
    attempt.succeeded()
    return Verdict(user)


def prove_code(user: User, code: str) -> Verdict:
    """Return the person when `code` is their one-time code of now, or a recovery code of theirs; it is used up."""
    attempt = throttle.of_code(user)
    wait_s = attempt.begin()
    if wait_s:
        return Verdict(wait_s=wait_s)
    factor = second_factor.factor_of(user)
    is_right = factor is not None and (
        second_factor.accept_code(factor, code) or second_factor.accept_recovery_code(user, code)
    )
    if not is_right:
        return Verdict()
    attempt.succeeded()
    return Verdict(user)
