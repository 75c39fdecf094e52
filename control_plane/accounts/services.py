"""How people come in: users, one-time set-up links, passwords.

A link is found by the hash of its token: whoever reads the database learns nothing that opens an account.
"""

import hashlib
import secrets
from datetime import timedelta
from typing import Final

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from control_plane.accounts import sign_ins
from control_plane.accounts.events import tell
from control_plane.accounts.models import SetupLink, SignIn, User, normal_email
from control_plane.core.showing import shown_once
from shared.redact import Secret

LINK_LIFETIME: Final = timedelta(days=7)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()


def find_or_create_user(email: str, *, first_name: str = "", last_name: str = "") -> User:
    """Return the user with this e-mail address, a new one without a password when there is none."""
    found = User.objects.filter(email=normal_email(email)).first()
    return found or User.objects.create_user(email, first_name=first_name, last_name=last_name)


def create_setup_link(user: User, *, lifetime: timedelta = LINK_LIFETIME) -> Secret:
    """Return the token of a new one-time link for `user`; links made before stop working."""
    token = secrets.token_urlsafe(32)
    with transaction.atomic():
        SetupLink.objects.filter(user=user, used_at__isnull=True).delete()
        SetupLink.objects.create(user=user, token_hash=_hash(token), expires_at=timezone.now() + lifetime)
    return Secret(token)


def setup_url(token: Secret) -> str:
    """Return the address that a person opens with a set-up token: to be shown once, to that person."""
    return f"{settings.PUBLIC_URL}/setup/{shown_once(token)}"


def peek_setup_token(token: str) -> User | None:
    """Return whose link this is; None when it is unknown, used, expired, or its user is inactive."""
    link = (
        SetupLink.objects.select_related("user")
        .filter(token_hash=_hash(token), used_at__isnull=True, expires_at__gt=timezone.now(), user__is_active=True)
        .first()
    )
    return link.user if link else None


@transaction.atomic
def redeem_setup_token(token: str) -> User | None:
    """Use up a link and return its user; None when `peek_setup_token` would, or another call was faster."""
    used = SetupLink.objects.filter(
        token_hash=_hash(token), used_at__isnull=True, expires_at__gt=timezone.now(), user__is_active=True
    ).update(used_at=timezone.now())
    if not used:
        return None
    return SetupLink.objects.select_related("user").get(token_hash=_hash(token)).user


@transaction.atomic
def set_password(user: User, password: str, *, but: SignIn | None = None) -> None:
    """Give `user` a new password, which the caller has validated; their sign-ins end, save `but`."""
    user.set_password(password)
    user.save(update_fields=["password", "last_updated_at"])
    tell(user, "update", user, after={"password_changed": True})
    sign_ins.end_all(user, but=but)


@transaction.atomic
def forget_password(user: User) -> None:
    """Take the password of `user` away, and end their sign-ins."""
    user.set_unusable_password()
    user.save(update_fields=["password", "last_updated_at"])
    tell(user, "update", user, after={"password_removed": True}, by_system=True)
    sign_ins.end_all(user, by_system=True)
