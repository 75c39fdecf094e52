"""Whose API key is this?  Authentication of the Admin API.

`x-portkey-api-key` wins; without it, `Authorization: Bearer` counts.  SDKs send a placeholder there beside the
other header, so it is not even looked at then.
"""

from typing import Final

from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from control_plane.core.audit import CURRENT_CALL
from control_plane.core.errors import Denied
from control_plane.core.principal import Principal
from control_plane.keys.models import USED_GRAIN, ApiKey
from shared.client_address import is_within
from shared.crypto.tokens import parse_key, same_hash

KEY_HEADER: Final = "x-portkey-api-key"
REFUSED: Final = "The API key is not valid."
EXPIRED: Final = "The API key has expired."


def presented_key(headers: object) -> str | None:
    """Return the key that a request's headers (a mapping) present, None when there is none."""
    get = getattr(headers, "get", dict[str, str]().get)
    key = get(KEY_HEADER)
    if key:
        return str(key).strip()
    scheme, _, token = str(get("authorization") or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def principal_of_key(row: ApiKey) -> Principal:
    """Return what the holder of an API key is."""
    return Principal(
        kind="api_key",
        id=str(row.pk),
        name=row.name,
        organisation_id=row.organisation_id,
        workspace_ids=None if row.workspace_id is None else frozenset({row.workspace_id}),
        scopes=frozenset(row.scopes),
        key_type=row.type,
        user_id=row.user_id,
    )


def authenticate_key(text: str) -> ApiKey:
    """Return the row of a presented key.

    Raises AuthenticationFailed, with the same sentence whether the key is malformed, unknown, or its secret wrong.
    """
    parsed = parse_key(text)
    row = ApiKey.objects.select_related("organisation").filter(pk=parsed.key_id).first() if parsed else None
    if parsed is None or row is None or row.organisation.status != "active":
        raise AuthenticationFailed(REFUSED)
    now = timezone.now()
    # Every hash is compared, so that the time taken does not tell which one matched.
    if not sum(same_hash(parsed.secret_hash, known) for known in row.hashes_at(now)):
        raise AuthenticationFailed(REFUSED)
    if row.expires_at is not None and row.expires_at <= now:
        raise AuthenticationFailed(EXPIRED)
    if row.last_used_at is None or row.last_used_at < now - USED_GRAIN:
        ApiKey.objects.filter(pk=row.pk).update(last_used_at=now)
    return row


class ApiKeyAuthentication(BaseAuthentication):
    """Gives requests with a valid key a Principal, as `user` and as `auth`."""

    def authenticate(self, request: Request) -> tuple[Principal, Principal] | None:
        """Return the principal twice, None when no key is presented."""
        key = presented_key(request.headers)
        if key is None:
            return None
        row = authenticate_key(key)
        call = CURRENT_CALL.get()
        if row.allowed_ips is not None and not is_within(tuple(row.allowed_ips), (call and call.client_ip) or ""):
            raise Denied("This API key may not be used from this address.")
        principal = principal_of_key(row)
        return principal, principal

    def authenticate_header(self, request: Request) -> str:
        """Return the scheme named in answers with status 401."""
        return "Bearer"
