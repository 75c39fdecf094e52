"""Where is a person signed in?  One row for each browser: made at sign-in, asked for at every request.

Django's session says who; the row says whether that still holds, so that a person, or an owner, can end it elsewhere.
"""

from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.contrib.auth import login
from django.contrib.auth.signals import user_logged_in
from django.db import transaction
from django.db.models import QuerySet
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone

from control_plane.accounts.events import tell
from control_plane.accounts.models import SignIn, User
from control_plane.core.audit import CURRENT_CALL
from shared.ids import parse_uuid

PASSWORD: Final = "password"  # noqa: S105 -- the name of a method
CODE: Final = "code"
LINK: Final = "link"
SSO: Final = "sso"
METHODS: Final = {
    PASSWORD: "Password",
    CODE: "Password and second factor",
    LINK: "One-time link",
    SSO: "Single sign-on",
}
_SESSION_KEY: Final = "sign_in"
_ON_REQUEST: Final = "gatehouse_sign_in"
#: How exact `last_seen_at` is.
SEEN_GRAIN: Final = timedelta(minutes=1)


@receiver(user_logged_in, dispatch_uid="accounts.sign_ins")
def _remember(request: HttpRequest, user: User, **_rest: Any) -> None:
    """Make the row, however the person was signed in."""
    row = SignIn.objects.create(
        user=user,
        method=PASSWORD,
        address=CURRENT_CALL.get().client_ip,
        device=request.headers.get("user-agent", "").replace("\x00", "")[:200],
    )
    request.session[_SESSION_KEY] = str(row.pk)
    setattr(request, _ON_REQUEST, row)


@transaction.atomic
def begin(request: HttpRequest, user: User, method: str, *, organisation_id: UUID | None = None) -> None:
    """Sign `user` in: a new session id, a row of SignIn, and a row in the audit trail.

    `organisation_id` binds what this browser may do to one organisation.
    """
    end_current(request)
    login(request, user, backend=settings.AUTHENTICATION_BACKENDS[0])
    row = current(request)
    if row is None:
        raise RuntimeError("the sign-in was not remembered")
    row.method, row.organisation_id = method, organisation_id
    row.save(update_fields=["method", "organisation_id"])
    tell(user, "sign_in", row, after=sign_in_json(row))


def sign_in_json(row: SignIn) -> dict[str, Any]:
    """Return a sign-in as the audit trail shows it."""
    return {"method": row.method, "address": row.address, "device": row.device}


def current(request: HttpRequest) -> SignIn | None:
    """Return the row of this browser; None when nobody is signed in, or the sign-in was ended elsewhere."""
    known: SignIn | None = getattr(request, _ON_REQUEST, None)
    if known is not None:
        return known
    row_id = parse_uuid(str(request.session.get(_SESSION_KEY)))
    return live_of_id(row_id) if row_id else None


def live_of_id(row_id: UUID) -> SignIn | None:
    """Return a sign-in that has not been ended."""
    return SignIn.objects.filter(pk=row_id).first()


def check(request: HttpRequest) -> bool:
    """Return whether the sign-in of a request whose session names a person still holds, and note that it was seen."""
    row = current(request)
    if row is None or row.user_id != request.user.pk:
        return False
    setattr(request, _ON_REQUEST, row)
    now = timezone.now()
    if row.last_seen_at < now - SEEN_GRAIN:
        SignIn.objects.filter(pk=row.pk).update(last_seen_at=now, address=CURRENT_CALL.get().client_ip)
    return True


def note_second_factor(request: HttpRequest) -> None:
    """Note that the person of this browser has just given a code of their second factor."""
    row = current(request)
    if row is not None and row.method != SSO:
        row.method = CODE
        row.save(update_fields=["method"])


def of_user(user: User) -> QuerySet[SignIn]:
    """Return where a person is signed in, the last seen first."""
    lifetime = timedelta(seconds=settings.SESSION_COOKIE_AGE)
    return SignIn.objects.filter(user=user, created_at__gt=timezone.now() - lifetime)


@transaction.atomic
def end(row: SignIn) -> None:
    """End one sign-in."""
    tell(row.user, "sign_out", row, before=sign_in_json(row))
    row.delete()


def end_current(request: HttpRequest) -> None:
    """End the sign-in of this browser, if there is one."""
    row = current(request)
    if row is not None and row.pk is not None:
        end(row)


@transaction.atomic
def end_all(user: User, *, but: SignIn | None = None, by_system: bool = False) -> int:
    """End every sign-in of a person, save `but`; return how many there were."""
    rows = SignIn.objects.filter(user=user)
    if but is not None:
        rows = rows.exclude(pk=but.pk)
    count = rows.count()
    if count:
        tell(user, "sign_out", user, after={"everywhere": True, "ended": count}, by_system=by_system)
        rows.delete()
    return count


def forget_old() -> int:
    """Delete the rows of sessions that have expired by themselves; return how many."""
    lifetime = timedelta(seconds=settings.SESSION_COOKIE_AGE)
    return SignIn.objects.filter(created_at__lte=timezone.now() - lifetime).delete()[0]
