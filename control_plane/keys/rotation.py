"""How does a key get a new text?  At once on demand, or by itself when its policy says so.

Old and new text are both valid for a while.  A text that was made on demand is in the answer; one that was made by
itself waits, sealed, until somebody collects it, once.
"""

from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.utils import timezone

from control_plane.core import audit
from control_plane.core.errors import Conflict, Denied
from control_plane.core.mail import post
from control_plane.core.outbox import touch
from control_plane.core.principal import Principal, system_actor
from control_plane.keys.models import ApiKey
from control_plane.keys.schedule import next_rotation, transition_ms
from control_plane.keys.services import SECTIONS, NewKey, grantable
from shared.crypto.tokens import mint_key
from shared.redact import Secret

BATCH: Final = 500


def _refuse_beyond(actor: Principal, row: ApiKey, what: str) -> None:
    """Raise Denied for a key that can do more than the actor: its text would be a way to its scopes."""
    beyond = sorted(set(row.scopes) - grantable(actor, row.type, row.workspace_id))
    if beyond and actor.id != str(row.pk):
        raise Denied(f"You cannot {what} a key with scopes that you lack: {', '.join(beyond)}.")


def _renew(actor: Principal, row: ApiKey, now: datetime, *, lasts_ms: int, mode: str) -> Secret:
    before = row.masked
    minted = mint_key(row.pk)
    row.previous_hash, row.previous_expires_at = row.secret_hash, now + timedelta(milliseconds=lasts_ms)
    row.secret_hash, row.masked = minted.secret_hash, minted.masked
    row.rotate_at = next_rotation(row.rotation_policy, now)
    row.ciphertext = row.key_id = ""
    if mode == "auto":
        row.seal(minted.text)
    row.save()
    facts = {"old_masked": before, "rotation_mode": mode, "transition_expires_at": str(row.previous_expires_at)}
    audit.record(actor, "rotate", row, after=facts)
    touch(row.organisation_id, SECTIONS)
    return minted.text


@transaction.atomic
def rotate_api_key(actor: Principal, row: ApiKey, lasts_ms: int | None = None) -> NewKey:
    """Give a key a new text; the old one stays valid for `lasts_ms` milliseconds, by default as the key's policy says.

    Raises Conflict while an earlier rotation is still going on, Denied for a key that can do more than the actor.
    """
    row = ApiKey.objects.select_for_update().get(pk=row.pk)
    _refuse_beyond(actor, row, "rotate")
    now = timezone.now()
    if len(row.hashes_at(now)) > 1:
        raise Conflict("The key is being rotated already: its old secret is still valid.")
    lasts_ms = transition_ms(row.rotation_policy) if lasts_ms is None else lasts_ms
    return NewKey(row, _renew(actor, row, now, lasts_ms=lasts_ms, mode="manual"))


@transaction.atomic
def collect_api_key(actor: Principal, row: ApiKey) -> NewKey:
    """Return the text that a key got by itself, once.

    Raises Conflict when none is waiting, Denied for a key that can do more than the actor.
    """
    row = ApiKey.objects.select_for_update().get(pk=row.pk)
    _refuse_beyond(actor, row, "collect")
    if not row.ciphertext:
        raise Conflict("No new secret is waiting: it was collected, or the key has not been rotated by its policy.")
    text = row.opened()
    row.ciphertext = row.key_id = ""
    row.save(update_fields=["ciphertext", "key_id", "last_updated_at"])
    audit.record(actor, "manage", row, after={"collected": row.masked})
    return NewKey(row, text)


def rotate_due(now: datetime) -> int:
    """Rotate the keys whose policies want it by `now`; return how many.

    A key that is being rotated, or has expired, waits.
    """
    due = ApiKey.objects.filter(rotate_at__lte=now).order_by("rotate_at", "pk")
    done = 0
    for row_id in list(due.values_list("pk", flat=True)[:BATCH]):
        with transaction.atomic():
            row = due.filter(pk=row_id).select_for_update(skip_locked=True).first()
            if row is None or len(row.hashes_at(now)) > 1 or (row.expires_at is not None and row.expires_at <= now):
                continue
            _renew(
                system_actor(row.organisation_id), row, now, lasts_ms=transition_ms(row.rotation_policy), mode="auto"
            )
            _tell(row)
            done += 1
    return done


def _tell(row: ApiKey) -> None:
    owner = [row.user.email] if row.user is not None else []
    until = row.previous_expires_at
    text = (
        f"The API key “{row.name}” ({row.masked}) has a new secret, as its rotation policy says. The old one stops"
        f" working at {until:%Y-%m-%d %H:%M} UTC. Collect the new one with POST /v1/api-keys/{row.pk}/collect."
    )
    for to in dict.fromkeys([*row.alert_emails, *owner]):
        post(to, f"API key {row.name} was rotated", text)


def end_transitions(now: datetime) -> int:
    """Forget the old secrets whose rotation is over, so that gateways do too; return how many."""
    over = ApiKey.objects.exclude(previous_hash="").filter(previous_expires_at__lte=now)
    ended = 0
    for row in over.order_by("pk")[:1000]:
        with transaction.atomic():
            ended += over.filter(pk=row.pk).update(previous_hash="", previous_expires_at=None)
            touch(row.organisation_id, SECTIONS)
    return ended
