"""Is it really that person?  One-time codes by time (RFC 6238), and recovery codes for who lost the device.

A code is accepted once, and one step (30 s) early or late.  The seed is kept sealed; recovery codes as hashes of 80
random bits each, which need no slow hash.
"""

import hashlib
import hmac
import secrets
import time
from typing import Final

import pyotp
import segno
from django.db import transaction
from django.utils import timezone

from control_plane.accounts.events import tell
from control_plane.accounts.models import RecoveryCode, SecondFactor, User
from shared.ids import SLUG_ALPHABET
from shared.redact import Secret

ISSUER: Final = "Gatehouse"
DRIFT_STEPS: Final = 1
CODE_DIGITS: Final = 6
RECOVERY_CODES: Final = 10
_GROUPS: Final = 4


def factor_of(user: User) -> SecondFactor | None:
    """Return the person's second factor once it counts, else None."""
    return SecondFactor.objects.filter(user=user, confirmed_at__isnull=False).first()


def begin_enrolment(user: User) -> SecondFactor | None:
    """Return a seed that waits for its first code, the same until then; None when the person has a second factor."""
    with transaction.atomic():
        factor, made = SecondFactor.objects.select_for_update().get_or_create(user=user)
        if factor.confirmed_at is not None:
            return None
        if made or not factor.ciphertext:
            factor.seal(Secret(pyotp.random_base32()))
            factor.save()
    return factor


def seed_of(factor: SecondFactor) -> str:
    """Return the seed in base32, for the page that enrols a device."""
    return factor.opened().reveal()


def qr_code(factor: SecondFactor) -> str:
    """Return the SVG element of a QR code that authenticator apps read."""
    uri = pyotp.TOTP(seed_of(factor)).provisioning_uri(name=factor.user.email, issuer_name=ISSUER)
    return str(segno.make(uri, error="m").svg_inline(scale=5, border=4, dark="#000", light="#fff", omitsize=False))


def _step_of(factor: SecondFactor, code: str, now_s: float) -> int | None:
    """Return the time step whose code this is, None when there is none near now."""
    totp = pyotp.TOTP(seed_of(factor))
    here = int(now_s) // totp.interval
    found = None
    for step in range(here - DRIFT_STEPS, here + DRIFT_STEPS + 1):
        # All are compared, so that the time taken does not tell which one matched.
        if hmac.compare_digest(totp.generate_otp(step).encode(), code.encode(errors="replace")):
            found = step
    return found


def accept_code(factor: SecondFactor, code: str, *, now_s: float | None = None) -> bool:
    """Return whether `code` is right now, and use it up; `now_s` is Unix time in seconds."""
    step = _step_of(factor, code.replace(" ", ""), time.time() if now_s is None else now_s)
    if step is None:
        return False
    used = SecondFactor.objects.filter(pk=factor.pk, last_step__lt=step).update(last_step=step)
    return used == 1


def _hash(code: str) -> str:
    plain = "".join(char for char in code.lower() if char in SLUG_ALPHABET)
    return hashlib.sha256(f"recovery\x00{plain}".encode()).hexdigest()


@transaction.atomic
def accept_recovery_code(user: User, code: str) -> bool:
    """Return whether `code` is one of the person's recovery codes that was not used, and use it up."""
    if len(code) > 200:
        return False
    used = RecoveryCode.objects.filter(user=user, code_hash=_hash(code), used_at__isnull=True).update(
        used_at=timezone.now()
    )
    if used:
        tell(user, "use_recovery_code", user, after={"left": recovery_codes_left(user)})
    return bool(used)


def recovery_codes_left(user: User) -> int:
    """Return how many recovery codes the person has not used."""
    return RecoveryCode.objects.filter(user=user, used_at__isnull=True).count()


@transaction.atomic
def confirm_enrolment(user: User, code: str, *, now_s: float | None = None) -> list[str] | None:
    """Make the waiting second factor count when `code` is right; return its recovery codes, to be shown once."""
    factor = SecondFactor.objects.select_for_update().filter(user=user, confirmed_at__isnull=True).first()
    if factor is None or not factor.ciphertext or not accept_code(factor, code, now_s=now_s):
        return None
    SecondFactor.objects.filter(pk=factor.pk).update(confirmed_at=timezone.now())
    tell(user, "create", factor, after={"second_factor": True})
    return _new_codes(user)


def _new_codes(user: User) -> list[str]:
    codes = [
        "-".join("".join(secrets.choice(SLUG_ALPHABET) for _ in range(4)) for _ in range(_GROUPS))
        for _ in range(RECOVERY_CODES)
    ]
    RecoveryCode.objects.filter(user=user).delete()
    RecoveryCode.objects.bulk_create([RecoveryCode(user=user, code_hash=_hash(code)) for code in codes])
    return codes


@transaction.atomic
def renew_recovery_codes(user: User) -> list[str]:
    """Return new recovery codes, to be shown once; the old ones stop working."""
    codes = _new_codes(user)
    tell(user, "rotate", user, after={"recovery_codes": len(codes)})
    return codes


@transaction.atomic
def remove_factor(user: User, *, by_system: bool = False) -> bool:
    """Take the second factor away, with its recovery codes; return whether there was one that counted."""
    factor = SecondFactor.objects.select_for_update().filter(user=user).first()
    if factor is None:
        return False
    counted = factor.confirmed_at is not None
    if counted:
        tell(user, "delete", factor, before={"second_factor": True}, by_system=by_system)
    factor.delete()
    RecoveryCode.objects.filter(user=user).delete()
    return counted
