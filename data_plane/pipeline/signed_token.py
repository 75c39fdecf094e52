"""Who is calling with a token (JWT) in the place of an API key?

An organisation's identity provider signs it; the keys come with the bundle, so nothing is asked for here, and tokens
are good while the control plane and the identity provider are away.  Such a caller is like one with an API key of the
workspace that the token names, and never an administrator.  Source: `contract.md` 6.3.
"""

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Final, Literal

import jwt
import msgspec
from jwt.types import Options

from data_plane.core.job import Principal
from data_plane.limits.slices import token_key
from data_plane.sync.snapshot import Snapshot
from shared.errors import Forbidden, Unauthenticated
from shared.schema.limits import BudgetRow, RateRow
from shared.schema.rows import ApiKeyRow, TokenKeysRow
from shared.token_budget import Terms, TokenBudget, terms_claimed

_ALGORITHM: Final = "RS256"
#: Longer ones would fill the memory of what was verified.
MAX_TOKEN_CHARS: Final = 8192
LEAST_KEY_BITS: Final = 2048
#: How far clocks may be apart.
LEEWAY_S: Final = 30.0
_OPTIONS: Final[Options] = {
    "require": ["exp"], "verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False,
    "verify_iss": False, "verify_sub": False, "verify_jti": False,
}  # fmt: skip
_PREFIX: Final = "portkey."
_INVALID: Final = "The token is not valid."


class UnknownTokenKey(Unauthenticated):
    """A token of a key that this snapshot does not have: perhaps it is newer than the snapshot."""


class _RateLimit(msgspec.Struct):
    type: Literal["requests", "tokens"]
    unit: Literal["rps", "rpm", "rph", "rpd", "rpw"]
    value: Annotated[int, msgspec.Meta(ge=0)]


@dataclass(frozen=True, slots=True)
class _Claims:
    """What a verified token says; times are Unix seconds."""

    workspace: str
    scopes: frozenset[str]
    expires: float
    not_before: float
    user: str | None
    config: str | None
    metadata: Mapping[str, str]
    rates: tuple[RateRow, ...]
    budget: Terms | None


def looks_signed(text: str) -> bool:
    """Return whether a presented key is written like a token."""
    return text.startswith("eyJ") and text.count(".") == 2


def _named(claims: Mapping[str, Any], *names: str) -> str | None:
    """Return the first of the claims that is a text."""
    return next((value for name in names if isinstance(value := claims.get(name), str) and value), None)


@lru_cache(maxsize=1024)
def _said(text: str) -> tuple[str, str]:
    """Return (the key's id, the organisation) that a token names, unverified; raises Unauthenticated."""
    try:
        read = jwt.decode_complete(text, options={"verify_signature": False})
    except (jwt.PyJWTError, UnicodeError, RecursionError):
        raise Unauthenticated(_INVALID) from None
    kid, organisation = read["header"].get("kid"), _named(read["payload"], "portkey_oid", "organisation_id")
    if read["header"].get("alg") != _ALGORITHM:
        raise Unauthenticated(f"The token must be signed with {_ALGORITHM}.")
    if not isinstance(kid, str) or not kid:
        raise Unauthenticated("The token does not name its key: its header needs kid.")
    if organisation is None:
        raise Unauthenticated("The token does not name its organisation: it needs organisation_id.")
    return kid, organisation


@lru_cache(maxsize=256)
def _public_key(modulus: str, exponent: str) -> jwt.PyJWK:
    key = jwt.PyJWK({"kty": "RSA", "n": modulus, "e": exponent}, algorithm=_ALGORITHM)
    if key.key.key_size < LEAST_KEY_BITS:
        raise Unauthenticated(f"The token's key is shorter than {LEAST_KEY_BITS} bits.")
    return key


@lru_cache(maxsize=4096)
def _verified(text: str, kid: str, row: TokenKeysRow) -> _Claims:
    """Return what a token says; raises Unauthenticated.  A busy caller sends the same one with every request."""
    key = next((key for key in row.keys if key.kid == kid), None)
    if key is None:
        raise UnknownTokenKey("The token's key is not known.")
    try:
        claims = jwt.decode(text, _public_key(key.n, key.e), algorithms=[_ALGORITHM], options=_OPTIONS)
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise Unauthenticated(_INVALID) from None
    return _read(claims)


def _read(claims: Mapping[str, Any]) -> _Claims:
    workspace = _named(claims, "portkey_workspace", "workspace_slug")
    expires, not_before = claims["exp"], claims.get("nbf", 0)
    if workspace is None:
        raise Unauthenticated("The token does not name its workspace: it needs workspace_slug.")
    if not all(isinstance(moment, int | float) and not isinstance(moment, bool) for moment in (expires, not_before)):
        raise Unauthenticated(_INVALID)
    defaults = claims.get("defaults")
    defaults = defaults if isinstance(defaults, dict) else {}
    metadata = defaults.get("metadata")
    return _Claims(
        workspace,
        _scopes(claims),
        float(expires),
        float(not_before),
        _named(claims, "email_id", "sub", "uid"),
        _named(defaults, "config_id"),
        {name: value for name, value in metadata.items() if isinstance(value, str)}
        if isinstance(metadata, dict)
        else {},
        _rates(claims.get("rate_limits")),
        _terms(claims.get("usage_limits")),
    )


def _rates(said: object) -> tuple[RateRow, ...]:
    """Return the limits that a token carries; raises Unauthenticated for any that could not be kept."""
    try:
        limits = msgspec.convert(said or [], list[_RateLimit])
    except msgspec.ValidationError:
        raise Unauthenticated("The token's rate_limits are not valid.") from None
    return tuple(RateRow(limit.type, limit.unit, limit.value) for limit in limits)


def _terms(said: object) -> Terms | None:
    """Return the terms of the budget that a token carries; raises Unauthenticated for any that could not be kept."""
    try:
        return terms_claimed(said)
    except ValueError as fault:
        raise Unauthenticated(f"The token's usage_limits are not valid: {fault}.") from None


def subject_of(user: str | None) -> str:
    """Return under which name the tokens of one person share their limits: a new token is no new allowance."""
    return hashlib.sha256((user or "").encode(errors="surrogatepass")).hexdigest()[:32]


def _budgets(claims: _Claims, organisation: str, workspace: str) -> tuple[BudgetRow, ...]:
    if claims.budget is None:
        return ()
    budget = TokenBudget(organisation, workspace, subject_of(claims.user), claims.budget)
    return (BudgetRow(token_key(budget), "token", claims.budget.unit),)


def _scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    said = claims.get("scopes") or claims.get("scope")
    words = said.split() if isinstance(said, str) else said
    if not isinstance(words, list):
        return frozenset()
    return frozenset(word.removeprefix(_PREFIX) for word in words if isinstance(word, str))


def caller_of(text: str, snapshot: Snapshot) -> Principal:
    """Return the caller that a token stands for; raises Unauthenticated (401), or Forbidden (403) for its workspace."""
    if len(text) > MAX_TOKEN_CHARS:
        raise Unauthenticated(f"The token is longer than {MAX_TOKEN_CHARS} characters.")
    kid, organisation = _said(text)
    org, row = snapshot.orgs.get(organisation), snapshot.token_keys.get(organisation)
    if org is None or row is None:
        raise UnknownTokenKey("The token's key is not known.")
    claims = _verified(text, kid, row)
    now = time.time()
    if claims.expires <= now:
        raise Unauthenticated("The token has expired.")
    if claims.not_before > now + LEEWAY_S:
        raise Unauthenticated("The token is not valid yet.")
    workspace = snapshot.workspace_named(org.id, claims.workspace)
    if workspace is None:
        raise Forbidden("The token's workspace is none of its organisation.")
    key = ApiKeyRow(
        "", org.id, workspace.id, (), claims.scopes, user=claims.user, expires=claims.expires, config=claims.config,
        metadata=dict(claims.metadata), rates=claims.rates, budgets=_budgets(claims, org.id, workspace.id),
    )  # fmt: skip
    return Principal(key, org, workspace, signed_by=kid)


def is_trusted(principal: Principal, snapshot: Snapshot) -> bool:
    """Return whether the key that signed a caller's token is still one of its organisation's."""
    row = snapshot.token_keys.get(principal.org.id)
    return row is not None and any(key.kid == principal.signed_by for key in row.keys)
