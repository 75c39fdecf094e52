"""Which keys sign the tokens (JWT) that stand for API keys?  Those that an organisation gives, or publishes at a URL.

They are read here and travel in the bundle, so that gateways verify tokens without asking anybody; a published set is
read again every few minutes, and kept as it was while it cannot be read.  Source: `contract.md` 6.3.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import jwt
from django.db import transaction
from django.utils import timezone

from control_plane.core import audit
from control_plane.core.errors import Denied, Invalid, Missing
from control_plane.core.fields import iso
from control_plane.core.outbox import touch
from control_plane.core.outgoing import OutgoingFailed, checked_url, fetch_json
from control_plane.core.principal import Principal
from control_plane.orgs.models import TokenKeys

Json = dict[str, Any]
SECTIONS: Final = ("token_keys",)
MOST_KEYS: Final = 50
LEAST_BITS: Final = 2048
REFRESH_EVERY: Final = timedelta(minutes=5)
_ALGORITHM: Final = "RS256"
#: Whoever says which tokens are good can make some for every workspace.
NEEDED_SCOPE: Final = "workspace_service_api_keys.create"


def token_keys_json(row: TokenKeys | None) -> Json:
    """Return the keys of an organisation as the API shows them; None: there are none."""
    return {
        "jwks_uri": row.uri or None if row else None,
        "keys": [{"kid": key["kid"], "kty": "RSA", "alg": _ALGORITHM, **key} for key in row.keys] if row else [],
        "fetched_at": iso(row.fetched_at) if row else None,
        "fault": row.fault or None if row else None,
        "object": "jwks",
    }


def _usable(document: Mapping[str, Any]) -> Iterator[tuple[Json | None, str]]:
    """Yield (key, "") for each key of a set that can verify tokens, and (None, why not) for each that cannot."""
    keys = document.get("keys")
    if not isinstance(keys, list):
        yield None, "keys: must be a list"
        return
    for number, key in enumerate(keys):
        if not isinstance(key, dict) or key.get("kty") != "RSA":
            yield None, f"keys[{number}]: is no RSA key"
        elif key.get("use") not in {None, "sig"} or key.get("alg") not in {None, _ALGORITHM}:
            yield None, f"keys[{number}]: is not for signing with {_ALGORITHM}"
        elif not isinstance(key.get("kid"), str) or not 0 < len(key["kid"]) <= 255:
            yield None, f"keys[{number}].kid: must be a text of at most 255 characters"
        elif "d" in key:
            yield None, f"keys[{number}]: is a private key, which nobody but its owner may have"
        else:
            yield _public(key, number)


def _public(key: Mapping[str, Any], number: int) -> tuple[Json | None, str]:
    try:
        read = jwt.PyJWK({"kty": "RSA", "n": key.get("n"), "e": key.get("e")}, algorithm=_ALGORITHM)
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError):
        return None, f"keys[{number}]: cannot be read"
    if read.key.key_size < LEAST_BITS:
        return None, f"keys[{number}]: is shorter than {LEAST_BITS} bits"
    return {"kid": key["kid"], "n": str(key["n"]), "e": str(key["e"])}, ""


def read_keys(document: object, *, strict: bool) -> list[Json]:
    """Return the keys of a JSON Web Key Set that can verify tokens, by their ids, each once.

    Raises Invalid for a set without any, and, when `strict`, for any that cannot.
    """
    found = list(_usable(document)) if isinstance(document, dict) else [(None, "must be a JSON Web Key Set")]
    faults = [fault for key, fault in found if key is None]
    keys = {key["kid"]: key for key, _ in found if key is not None}
    if not keys or (strict and faults):
        raise Invalid("jwks: " + ("; ".join(faults[:5]) or "holds no key"))
    if len(keys) > MOST_KEYS:
        raise Invalid(f"jwks: holds more than {MOST_KEYS} keys")
    return [keys[kid] for kid in sorted(keys)]


def token_keys_of(organisation_id: Any) -> TokenKeys | None:
    """Return the keys of an organisation."""
    return TokenKeys.objects.filter(organisation_id=organisation_id).first()


def _fetched(uri: str) -> list[Json]:
    try:
        checked_url(uri)
        document = fetch_json(uri)
    except (ValueError, OutgoingFailed) as fault:
        raise Invalid(f"jwks_uri: {fault}") from None
    return read_keys(document, strict=False)


def set_token_keys(actor: Principal, given: Mapping[str, Any]) -> TokenKeys:
    """Set the keys: `jwks`, or `jwks_uri`, where they are read now and from then on.

    Raises Invalid for keys that cannot be used, Denied for an actor who could not make keys for every workspace.
    """
    if not actor.allows(NEEDED_SCOPE) or actor.workspace_ids is not None:
        raise Denied(f"Who sets the keys of tokens can call in every workspace: that needs {NEEDED_SCOPE} too.")
    uri, document = given.get("jwks_uri"), given.get("jwks")
    if bool(uri) == (document is not None):
        raise Invalid("give jwks_uri or jwks, one of them")
    keys = _fetched(uri) if uri else read_keys(document, strict=True)
    with transaction.atomic():
        TokenKeys.objects.get_or_create(organisation_id=actor.organisation_id)
        row = TokenKeys.objects.select_for_update().get(organisation_id=actor.organisation_id)
        before = token_keys_json(row) if row.keys else None
        row.uri, row.keys, row.fault = uri or "", keys, ""
        row.fetched_at = timezone.now() if uri else None
        row.save()
        audit.record(actor, "update" if before else "create", row, before=before, after=token_keys_json(row))
        touch(row.organisation_id, SECTIONS)
    return row


@transaction.atomic
def remove_token_keys(actor: Principal) -> None:
    """Take the keys away: no token is good from then on.  Raises Missing when there are none."""
    row = TokenKeys.objects.select_for_update().filter(organisation_id=actor.organisation_id).first()
    if row is None:
        raise Missing
    audit.record(actor, "delete", row, before=token_keys_json(row))
    row.delete()
    touch(actor.organisation_id, SECTIONS)


def refresh(row: TokenKeys) -> TokenKeys:
    """Read a published set again; what cannot be read leaves the keys as they were, and says so on the row."""
    try:
        keys, fault = _fetched(row.uri), ""
    except Invalid as invalid:
        keys, fault = row.keys, str(invalid.detail)
    with transaction.atomic():
        # What was set by somebody in the meantime stays.
        locked = TokenKeys.objects.select_for_update().filter(pk=row.pk, uri=row.uri).first()
        if locked is None:
            return row
        changed = keys != locked.keys
        locked.keys, locked.fault, locked.fetched_at = keys, fault, timezone.now()
        locked.save()
        if changed:
            touch(locked.organisation_id, SECTIONS)
    return locked


def refresh_due(now: datetime) -> int:
    """Read the published sets again that were not read for a while; return how many were."""
    due = TokenKeys.objects.exclude(uri="").filter(fetched_at__lte=now - REFRESH_EVERY)
    rows = list(due.order_by("fetched_at")[:100])
    for row in rows:
        refresh(row)
    return len(rows)
