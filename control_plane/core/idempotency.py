"""Was this asked before?  A POST with an `Idempotency-Key` is done once, however often it is sent.

The answer is kept in the transaction of the change, for a day, so that either both are there or none.  All answers are
kept encrypted, because some hold a new API key: a caller who lost that answer is the one who needs it again, and a rule
without exceptions cannot be forgotten by a new resource.  A call that failed changed nothing, so it may be repeated.
"""

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

import orjson
from django.db import connection
from django.utils import timezone
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from control_plane.core.errors import Conflict, Invalid, TooMany, Unlike
from control_plane.core.models import IdempotentAnswer
from control_plane.core.principal import Principal
from control_plane.core.showing import shown_once
from shared.redact import Secret

KEY_HEADER: Final = "idempotency-key"
REPLAYED_HEADER: Final = "idempotent-replayed"
LIFETIME: Final = timedelta(hours=24)
MAX_KEY_CHARS: Final = 255
#: Answers that one organisation may have kept at a time.
MOST_KEPT: Final = 10_000
SWEEP_BATCH: Final = 1000
_RUNNING: Final = "A call with this Idempotency-Key is still running."
_UNLIKE: Final = "This Idempotency-Key was used for another call."


def _digest(*parts: bytes) -> str:
    told = hashlib.sha256()
    for part in parts:
        told.update(len(part).to_bytes(8, "big") + part)
    return told.hexdigest()


def _fingerprint(request: Request) -> str:
    body = orjson.dumps(request.data, option=orjson.OPT_SORT_KEYS)
    return _digest(request.get_full_path().encode(), body)


def _is_taken(digest: str) -> bool:
    """Return whether another transaction works on the same key; if not, this one does until it ends."""
    number = int.from_bytes(bytes.fromhex(digest)[:8], "big", signed=True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [number])
        return not cursor.fetchone()[0]


def _again(kept: IdempotentAnswer, fingerprint: str) -> Response:
    if kept.fingerprint != fingerprint:
        raise Unlike(_UNLIKE)
    answer = orjson.loads(shown_once(kept.opened()))
    return Response(answer, status=kept.status, headers={REPLAYED_HEADER: "true"})


def _keep(principal: Principal, digest: str, fingerprint: str, answer: Response) -> None:
    row = IdempotentAnswer(
        organisation_id=principal.organisation_id,
        key_digest=digest,
        fingerprint=fingerprint,
        status=answer.status_code,
        expires_at=timezone.now() + LIFETIME,
    )
    row.seal(Secret(JSONRenderer().render(answer.data).decode()))
    row.save()


def once(principal: Principal, request: Request, key: str, act: Callable[[], Response]) -> Response:
    """Answer by `act`, or as the same caller was answered before; call it inside the change's transaction.

    Raises Invalid for a key that cannot be, Conflict while the first call runs, Unlike when that was another call, and
    TooMany when too many answers are kept.
    """
    if not 0 < len(key) <= MAX_KEY_CHARS or not key.isascii() or not key.isprintable():
        raise Invalid(f"{KEY_HEADER} must be 1 to {MAX_KEY_CHARS} printable ASCII characters")
    digest = _digest(
        principal.kind.encode(), principal.id.encode(), str(principal.organisation_id).encode(), key.encode()
    )
    fingerprint = _fingerprint(request)
    if _is_taken(digest):
        raise Conflict(_RUNNING)
    kept = IdempotentAnswer.objects.filter(key_digest=digest).first()
    if kept is not None and kept.expires_at > timezone.now():
        return _again(kept, fingerprint)
    if kept is not None:
        kept.delete()
    if IdempotentAnswer.objects.filter(organisation_id=principal.organisation_id).count() >= MOST_KEPT:
        raise TooMany("Too many calls with an Idempotency-Key within a day; send this one without.")
    answer = act()
    if answer.status_code < 400:
        _keep(principal, digest, fingerprint, answer)
    return answer


def forget_answers(now: datetime) -> int:
    """Delete answers whose day is over; return how many."""
    total = 0
    while True:
        rows: Any = IdempotentAnswer.objects.filter(expires_at__lte=now).values("pk")[:SWEEP_BATCH]
        deleted, _ = IdempotentAnswer.objects.filter(pk__in=rows).delete()
        total += deleted
        if deleted < SWEEP_BATCH:
            return total
