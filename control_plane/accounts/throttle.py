"""Who has guessed too often?  Locks that grow with every failure, kept in the database for all processes.

A try is counted before the password is looked at, so that many at once cannot share one count; a success takes it
back.  What is counted does not depend on whether an account exists, nor does the time that it takes: the audit trail
is told later, by a task.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone
from django.utils.crypto import salted_hmac

from control_plane.accounts.events import tell
from control_plane.accounts.models import Guesses, User, normal_email
from control_plane.core.audit import CURRENT_CALL


@dataclass(frozen=True, slots=True)
class Limit:
    """How many failures are free, the longest lock after that, and after how much quiet all is forgotten."""

    free: int
    longest: timedelta
    forgotten_after: timedelta


# Fifteen minutes at the most: whoever guesses at another's account also locks its owner out.
ACCOUNT: Final = Limit(free=5, longest=timedelta(minutes=15), forgotten_after=timedelta(days=1))
# Whole offices share an address.
ADDRESS: Final = Limit(free=50, longest=timedelta(minutes=5), forgotten_after=timedelta(hours=1))
_FIRST_LOCK: Final = timedelta(seconds=1)


def _subject(kind: str, name: str) -> str:
    return salted_hmac(f"control_plane.accounts.throttle.{kind}", name, algorithm="sha256").hexdigest()


def lock_after(failures: int, limit: Limit) -> timedelta:
    """Return how long nothing is accepted after so many failures: twice as long each time."""
    beyond = failures - limit.free
    if beyond <= 0:
        return timedelta(0)
    return min(limit.longest, _FIRST_LOCK * (1 << min(beyond - 1, 20)))


class Attempt:
    """One try to prove who one is: `begin` it, look at what was given, and say `succeeded` when it was right."""

    def __init__(self, kind: str, name: str, user: User | None) -> None:
        self._user = user
        self._address = CURRENT_CALL.get().client_ip
        self._limits = {_subject(kind, name): ACCOUNT}
        self._account = next(iter(self._limits))
        if self._address:
            self._limits[_subject("address", self._address)] = ADDRESS

    @transaction.atomic
    def begin(self) -> int:
        """Count the try, and return 0; or return how many seconds to wait, uncounted, while there is a lock."""
        now = timezone.now()
        Guesses.objects.bulk_create([Guesses(subject=subject) for subject in self._limits], ignore_conflicts=True)
        # In one order, or two tries could wait for each other.
        rows = list(Guesses.objects.select_for_update().filter(subject__in=self._limits).order_by("subject"))
        longest = max((row.locked_until for row in rows if row.locked_until), default=now)
        if longest > now:
            return int((longest - now).total_seconds()) + 1
        for row in rows:
            self._count(row, now)
        return 0

    def _count(self, row: Guesses, now: datetime) -> None:
        limit = self._limits[row.subject]
        if row.last_at is None or row.last_at < now - limit.forgotten_after:
            row.failures = row.reported = 0
        row.failures += 1
        row.last_at, row.address = now, self._address
        row.user = self._user if row.subject == self._account else None
        lock = lock_after(row.failures, limit)
        row.locked_until = now + lock if lock else None
        row.save()

    @transaction.atomic
    def succeeded(self) -> None:
        """Forget the failures of the account, and take back what this try added to those of the address."""
        row = Guesses.objects.select_for_update().filter(subject=self._account).first()
        if row is not None:
            # This try was counted too, and was none.
            row.failures -= 1
            if row.failures > max(row.reported, ACCOUNT.free):
                _report(row)
            row.delete()
        # Only its own: else whoever has an account could guess at others without end.
        others = [subject for subject in self._limits if subject != self._account]
        Guesses.objects.filter(subject__in=others, failures__gt=0).update(failures=F("failures") - 1, locked_until=None)


def of_password(email: str, user: User | None) -> Attempt:
    """Return a try to sign in with a password; `user` is whose address it is, if anyone's."""
    return Attempt("password", normal_email(email), user)


def of_code(user: User) -> Attempt:
    """Return a try to give a one-time code."""
    return Attempt("code", str(user.pk), user)


def _report(row: Guesses) -> None:
    if row.user is not None:
        facts = {
            "failures": row.failures,
            "from": row.address,
            "until": row.locked_until.isoformat() if row.locked_until else None,
        }
        tell(row.user, "lock", row.user, after=facts, by_system=True)


@transaction.atomic
def report_locks() -> int:
    """Tell the audit trail of accounts that were locked since the last call; return how many."""
    news = Guesses.objects.select_for_update(skip_locked=True).filter(
        user__isnull=False, failures__gt=F("reported"), locked_until__isnull=False
    )
    rows = list(news.select_related(None)[:1000])
    for row in rows:
        _report(row)
        row.reported = row.failures
        row.save(update_fields=["reported"])
    return len(rows)


def forget_old(now: datetime) -> int:
    """Delete what no longer counts and has been reported; return how many rows."""
    quiet = Guesses.objects.filter(Q(last_at__isnull=True) | Q(last_at__lt=now - ACCOUNT.forgotten_after))
    return quiet.delete()[0]
