"""What does an OpenID provider say of a person?  Discovery, the code flow with PKCE, and the proof of its answer.

Sources: OpenID Connect Core 1.0 (3.1), Discovery 1.0 (4), RFC 7636 (PKCE), RFC 7523 (signed assertions).
Nothing is cached: two calls a sign-in are cheap, and a key that the provider took back is refused at once.
"""

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode

import jwt
from django.conf import settings

from control_plane.core.outgoing import OutgoingFailed, checked_url, fetch_json
from control_plane.orgs.models import IdentityProvider
from shared.ids import uuid7

SCOPES: Final = "openid profile email"
#: Signatures by a key that only the provider has; never by one that is shared.
ALGORITHMS: Final = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)
CLOCK_SKEW_S: Final = 60
_ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ASSERTION_LIFETIME_S: Final = 60
_WELL_KNOWN: Final = "/.well-known/openid-configuration"


class NotVouched(RuntimeError):
    """The provider cannot be used, or does not vouch for the person; the sentence is for the log and for owners."""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where an issuer does what; `userinfo` is "" when it has none."""

    issuer: str
    authorization: str
    token: str
    jwks: str
    userinfo: str


@dataclass(frozen=True, slots=True)
class Errand:
    """What must come back from the provider unchanged, kept in the browser's session: state, nonce, PKCE verifier."""

    state: str
    nonce: str
    verifier: str


@dataclass(frozen=True, slots=True)
class Claims:
    """What the provider says of a person; `email_verified` is None when it does not say."""

    issuer: str
    subject: str
    email: str
    email_verified: bool | None
    first_name: str
    last_name: str


def redirect_uri() -> str:
    """Return the address to which providers send people back; it is registered there."""
    return f"{settings.PUBLIC_URL}/sso/callback"


def _fetched(what: str, url: str, **sent: Any) -> dict[str, Any]:
    try:
        return fetch_json(url, **sent)
    except OutgoingFailed as fault:
        raise NotVouched(f"{what}: {fault}") from None


def discover(issuer: str) -> Endpoints:
    """Return the endpoints of an issuer.  Raises NotVouched when its document is missing, or another issuer's."""
    document = _fetched("discovery", issuer.rstrip("/") + _WELL_KNOWN)
    if document.get("issuer") != issuer:
        raise NotVouched("discovery: the document names another issuer")
    found = {name: str(document.get(name) or "") for name in _ENDPOINTS}
    for name, url in found.items():
        try:
            if url or name != "userinfo_endpoint":
                checked_url(url)
        except ValueError as fault:
            raise NotVouched(f"discovery: {name}: {fault}") from None
    return Endpoints(issuer, *(found[name] for name in _ENDPOINTS))


_ENDPOINTS: Final = ("authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint")


def new_errand() -> Errand:
    """Return fresh secrets for one sign-in."""
    return Errand(*(secrets.token_urlsafe(32) for _ in range(3)))


def authorization_url(provider: IdentityProvider, endpoints: Endpoints, errand: Errand, hint: str) -> str:
    """Return where to send the browser; `hint` is the e-mail address that the person typed, or ""."""
    challenge = base64.urlsafe_b64encode(hashlib.sha256(errand.verifier.encode()).digest()).rstrip(b"=").decode()
    query = {
        "response_type": "code",
        "client_id": provider.client_id,
        "redirect_uri": redirect_uri(),
        "scope": SCOPES,
        "state": errand.state,
        "nonce": errand.nonce,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        **({"login_hint": hint} if hint else {}),
    }
    separator = "&" if "?" in endpoints.authorization else "?"
    return f"{endpoints.authorization}{separator}{urlencode(query)}"


def _assertion(provider: IdentityProvider, endpoints: Endpoints, key: str) -> str:
    now = int(time.time())
    claims = {
        "iss": provider.client_id,
        "sub": provider.client_id,
        "aud": endpoints.token,
        "jti": str(uuid7()),
        "iat": now,
        "exp": now + _ASSERTION_LIFETIME_S,
    }
    algorithm = "ES256" if "EC PRIVATE" in key else "RS256"
    try:
        return jwt.encode(claims, key, algorithm=algorithm)
    except (ValueError, TypeError, jwt.PyJWTError):
        raise NotVouched("the private key cannot sign") from None


def _client_proof(provider: IdentityProvider, endpoints: Endpoints) -> tuple[dict[str, str], dict[str, str]]:
    """Return the form fields and headers that prove who we are to the token endpoint."""
    secret = provider.opened().reveal()
    if provider.token_endpoint_auth_method == "client_secret_post":  # noqa: S105 -- the name of a method
        return {"client_id": provider.client_id, "client_secret": secret}, {}
    if provider.token_endpoint_auth_method == "private_key_jwt":  # noqa: S105 -- the name of a method
        assertion = _assertion(provider, endpoints, secret)
        form = {"client_assertion_type": _ASSERTION, "client_assertion": assertion}
        return {"client_id": provider.client_id, **form}, {}
    pair = f"{quote(provider.client_id, safe='')}:{quote(secret, safe='')}"
    return {}, {"authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def redeem(provider: IdentityProvider, endpoints: Endpoints, code: str, errand: Errand) -> Claims:
    """Change the code that a browser brought back for what the provider says of the person.

    Raises NotVouched when the provider refuses, or its token is not signed by it, for us, now, and for this errand.
    """
    fields, headers = _client_proof(provider, endpoints)
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect_uri(),
        "code_verifier": errand.verifier,
        **fields,
    }
    answer = _fetched("token endpoint", endpoints.token, form=form, headers=headers)
    claims = _proved(str(answer.get("id_token") or ""), provider.client_id, endpoints)
    if not hmac.compare_digest(str(claims.get("nonce") or "").encode(), errand.nonce.encode()):
        raise NotVouched("id_token: the nonce is not ours")
    if not claims.get("email") and endpoints.userinfo:
        bearer = {"authorization": f"Bearer {answer.get('access_token')}"}
        told = _fetched("userinfo", endpoints.userinfo, headers=bearer)
        # The answer is not signed: it counts for the person that the token names, and for nobody else.
        if told.get("sub") != claims["sub"]:
            raise NotVouched("userinfo: it tells of another person")
        claims = {**told, **claims}
    return _as_claims(endpoints.issuer, claims)


def _proved(token: str, client_id: str, endpoints: Endpoints) -> dict[str, Any]:
    try:
        header = jwt.get_unverified_header(token)
        algorithm = str(header.get("alg"))
        if algorithm not in ALGORITHMS:
            raise NotVouched("id_token: signed by an algorithm that is not accepted")
        claims: dict[str, Any] = jwt.decode(
            token,
            _key(header, algorithm, endpoints),
            algorithms=[algorithm],
            audience=client_id,
            issuer=endpoints.issuer,
            leeway=CLOCK_SKEW_S,
            options={"require": ["exp", "iat", "iss", "aud", "sub"]},
        )
    except jwt.PyJWTError as fault:
        raise NotVouched(f"id_token: {type(fault).__name__}") from None
    if claims.get("azp", client_id) != client_id or (isinstance(claims["aud"], list) and len(claims["aud"]) > 1):
        raise NotVouched("id_token: made for another client too")
    return claims


def _key(header: Mapping[str, Any], algorithm: str, endpoints: Endpoints) -> jwt.PyJWK:
    """Return the provider's key that the token's header names; without a name, its only one."""
    listed = _fetched("keys", endpoints.jwks).get("keys")
    keys = [key for key in listed or () if isinstance(key, dict) and key.get("use", "sig") == "sig"]
    wanted = header.get("kid")
    named = [key for key in keys if key.get("kid") == wanted] if wanted is not None else keys
    if len(named) != 1:
        raise NotVouched("id_token: signed by a key that the provider does not list")
    return jwt.PyJWK(named[0], algorithm=algorithm)


def _as_claims(issuer: str, claims: Mapping[str, Any]) -> Claims:
    verified = claims.get("email_verified")
    return Claims(
        issuer=issuer,
        subject=str(claims["sub"])[:255],
        email=str(claims.get("email") or "").strip().lower(),
        email_verified=None if verified is None else verified is True or verified == "true",
        first_name=str(claims.get("given_name") or "").replace("\x00", "")[:120],
        last_name=str(claims.get("family_name") or "").replace("\x00", "")[:120],
    )
