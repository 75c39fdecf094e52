"""How does a message get through although receivers fail, and workers die?  Attempts, with ever longer waits.

An attempt is claimed before it is made: its number goes up and its time moves on, so that no other worker makes it too.
A worker that dies in between leaves the delivery to be made again when that time has come; the receiver can tell by
the delivery's id.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.utils import timezone

from control_plane.alerts.models import EMAIL, FAILED, PENDING, SENT, Delivery
from control_plane.alerts.sending import Outcome, Parcel, send
from control_plane.alerts.targets import target_of
from control_plane.core.sealed import SecretUnreadable

#: How long one waits after each attempt; after the one behind the last, the delivery is given up.
WAITS: Final = (timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=30), timedelta(hours=2))
#: Longer than a task may run.
CLAIM: Final = timedelta(minutes=6)
KEPT: Final = timedelta(days=90)
AT_ONCE: Final = 8
BATCH: Final = 16
#: No further batch is begun after so long: less than a task's time limit.
MOST_S: Final = 120.0
_MOST_FORGOTTEN: Final = 10_000
_DISABLED: Final = "the destination is disabled"
_CUT_SHORT: Final = "the last attempt was cut short"


def send_due(now: datetime) -> int:
    """Make the attempts that are due at `now`; return how many.  May be run by several at once."""
    began, made = time.monotonic(), 0
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="alerts") as pool:
        while time.monotonic() < began + MOST_S and (claimed := _claim(now)):
            outcomes = pool.map(_attempt, claimed, [_parcel(row) for row in claimed])
            for row, outcome in zip(claimed, outcomes, strict=True):
                _note(row, outcome, now + timedelta(seconds=time.monotonic() - began))
            made += len(claimed)
    return made


def _claim(now: datetime) -> list[Delivery]:
    with transaction.atomic():
        due = Delivery.objects.filter(status=PENDING, next_attempt_at__lte=now).select_related("destination")
        rows = list(due.select_for_update(of=("self",), skip_locked=True).order_by("next_attempt_at", "pk")[:BATCH])
        for row in rows:
            row.attempts += 1
            row.next_attempt_at = now + CLAIM
        Delivery.objects.bulk_update(rows, ["attempts", "next_attempt_at"])
    return rows


def _parcel(row: Delivery) -> Parcel:
    target = None
    if row.destination is not None and row.channel != EMAIL:
        try:
            target = target_of(row.destination)
        except SecretUnreadable:
            target = None
    return Parcel(row.pk, row.channel, row.address, target, row.message)


def _attempt(row: Delivery, parcel: Parcel) -> Outcome:
    if row.attempts > len(WAITS) + 1:
        return Outcome(_CUT_SHORT, is_final=True)
    if row.destination is not None and not row.destination.is_enabled:
        return Outcome(_DISABLED, is_final=True)
    return send(parcel)


def _note(row: Delivery, outcome: Outcome, now: datetime) -> None:
    take(row, outcome, now)
    # Whoever claimed it since knows better.
    same = Delivery.objects.filter(pk=row.pk, attempts=row.attempts, status=PENDING)
    same.update(
        status=row.status,
        next_attempt_at=row.next_attempt_at,
        sent_at=row.sent_at,
        fault=row.fault,
        last_updated_at=timezone.now(),
    )


def take(row: Delivery, outcome: Outcome, now: datetime) -> None:
    """Write into a row what came of its last attempt, and when the next is due; the caller saves it."""
    row.fault = outcome.fault[:500]
    if not outcome.fault:
        row.status, row.sent_at, row.next_attempt_at = SENT, now, None
    elif outcome.is_final or row.attempts > len(WAITS):
        row.status, row.next_attempt_at = FAILED, None
    else:
        row.next_attempt_at = now + WAITS[row.attempts - 1]


def send_now(row: Delivery) -> None:
    """Make the only attempt of a new delivery, and store it with what came of it."""
    outcome = send(_parcel(row))
    row.attempts = 1
    take(row, Outcome(outcome.fault, is_final=True), timezone.now())
    row.save()


def forget_old(now: datetime) -> int:
    """Delete deliveries that were sent or given up long ago, some at a time; return how many."""
    old = Delivery.objects.filter(created_at__lt=now - KEPT).exclude(status=PENDING).order_by("pk")
    ids = list(old.values_list("pk", flat=True)[:_MOST_FORGOTTEN])
    return Delivery.objects.filter(pk__in=ids).delete()[0]
