"""People who have set up what they sign in with."""

import time

import pyotp

from control_plane.accounts import second_factor
from control_plane.accounts.models import SecondFactor
from control_plane.accounts.services import set_password

PASSWORD = "a long enough passphrase"


def with_password(user, password=PASSWORD):
    """The person, with a password."""
    set_password(user, password)
    return user


def code_of(user, at_s=None):
    """The person's one-time code of now, or of another moment."""
    seed = second_factor.seed_of(SecondFactor.objects.get(user=user))
    return pyotp.TOTP(seed).at(int(time.time() if at_s is None else at_s))


def with_second_factor(user):
    """Enrol a second factor, an hour ago; the recovery codes."""
    second_factor.begin_enrolment(user)
    then = time.time() - 3600
    return second_factor.confirm_enrolment(user, code_of(user, then), now_s=then)
