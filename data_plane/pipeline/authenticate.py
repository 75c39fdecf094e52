"""Who is calling?  Headers → principal, against the snapshot alone.

The key may come as `x-portkey-api-key`, or alone as `Authorization: Bearer` or `x-api-key`, so that the plain OpenAI
and Anthropic SDKs work with nothing but a base URL and a key.
"""

import time
from collections.abc import Mapping
from typing import Final

from data_plane.core.exchange import Call
from data_plane.core.job import Principal
from data_plane.pipeline.signed_token import caller_of, is_trusted, looks_signed
from data_plane.sync.snapshot import Snapshot
from shared import wire
from shared.client_address import is_within
from shared.crypto.tokens import parse_key, same_hash
from shared.errors import Forbidden, Unauthenticated
from shared.schema.rows import ApiKeyRow

REQUIRED_SCOPE: Final = "completions.write"


class UnknownKey(Unauthenticated):
    """A well-formed key that this snapshot does not have: perhaps it is newer than the snapshot."""


def presented_key(headers: Mapping[str, str]) -> str | None:
    """Return the gateway key that a request presents; None when there is none."""
    key = headers.get(wire.API_KEY)
    if key:
        return key.strip()
    bearer = headers.get("authorization")
    if bearer and bearer[:7].lower() == "bearer ":
        return bearer[7:].strip()
    key = headers.get("x-api-key")
    return key.strip() if key else None


def authenticate(call: Call, snapshot: Snapshot, denied: frozenset[str]) -> Principal:
    """Return the caller; raises Unauthenticated (401) or Forbidden (403)."""
    text = presented_key(call.headers)
    if not text:
        raise Unauthenticated(
            "No API key was sent. Send a Gatehouse key as x-portkey-api-key or as Authorization: Bearer."
        )
    if looks_signed(text):
        principal = caller_of(text, snapshot)
        check_denied(principal, denied)
        return principal
    parsed = parse_key(text)
    if parsed is None:
        raise Unauthenticated("The API key is not valid.")
    if denied and f"k:{parsed.key_id}" in denied:
        raise Unauthenticated("The API key was revoked.")
    key = snapshot.api_keys.get(parsed.key_id)
    if key is None:
        raise UnknownKey("The API key is not valid.")
    if not any([same_hash(parsed.secret_hash, known) for known in key.hashes]):  # noqa: C419 -- compares all, always
        raise UnknownKey("The API key is not valid.")
    if key.ips is not None and not is_within(key.ips, call.client):
        raise Forbidden("This API key may not be used from this address.")
    return _principal(key, snapshot, denied)


def is_known(principal: Principal, snapshot: Snapshot) -> bool:
    """Return whether a newer configuration still knows a caller's key, or the key that signed the caller's token."""
    if principal.signed_by is not None:
        return is_trusted(principal, snapshot)
    return snapshot.api_keys.get(principal.key.id) is not None


def principal_of(key_id: str, snapshot: Snapshot, denied: frozenset[str]) -> Principal:
    """Return the caller whose key has this id, for work that goes on without it; raises Unauthenticated (401)."""
    key = snapshot.api_keys.get(key_id)
    if key is None:
        raise Unauthenticated("The API key is not valid any more.")
    return _principal(key, snapshot, denied)


def _principal(key: ApiKeyRow, snapshot: Snapshot, denied: frozenset[str]) -> Principal:
    if key.expires is not None and key.expires <= time.time():
        raise Unauthenticated("The API key has expired.")
    org, workspace = snapshot.orgs.get(key.org), snapshot.workspaces.get(key.ws)
    if org is None or workspace is None:
        raise Unauthenticated("The API key's workspace is not active.")
    principal = Principal(key, org, workspace)
    check_denied(principal, denied)
    return principal


def check_denied(principal: Principal, denied: frozenset[str]) -> None:
    """Raise Unauthenticated when the caller was revoked since."""
    if denied and not denied.isdisjoint(principal.denial_ids()):
        raise Unauthenticated("The API key was revoked.")


def require_scope(principal: Principal, *scopes: str) -> None:
    """Raise Forbidden unless the caller's key has one of `scopes`."""
    if principal.key.scopes.isdisjoint(scopes):
        raise Forbidden(f"The API key lacks the scope {scopes[0]}.")
