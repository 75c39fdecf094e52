"""How a gateway proves itself to the control plane: a short JWT per request, signed by its group's identity key.

The token names the method, the path and a digest of the body, lives a minute, and is never stored, so there is no
bearer secret to steal.  Only EdDSA is accepted; the key is chosen by group, never by the token.
"""

import hashlib
import time
from typing import Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

AUDIENCE: Final = "gatehouse-control-plane"
LIFETIME_S: Final = 60
LEEWAY_S: Final = 30


class TokenRefused(ValueError):
    """A request token is missing, forged, expired or made for another request; `skewed` when only its time is off."""

    def __init__(self, message: str, *, skewed: bool = False) -> None:
        super().__init__(message)
        self.skewed = skewed


def body_digest(body: bytes) -> str:
    """Return the hex SHA-256 that binds a token to a body."""
    return hashlib.sha256(body).hexdigest()


def sign_request(
    key: Ed25519PrivateKey, *, group: str, instance: str, method: str, path: str, body: bytes, offset_s: float = 0.0
) -> str:
    """Return the token for one request; `offset_s` corrects this host's clock to the control plane's."""
    now = int(time.time() + offset_s)
    claims = {
        "iss": group, "sub": instance, "aud": AUDIENCE, "iat": now, "exp": now + LIFETIME_S,
        "htm": method, "htu": path, "bod": body_digest(body),
    }  # fmt: skip
    return jwt.encode(claims, key, algorithm="EdDSA")


def claimed_group(token: str) -> str:
    """Return the group that an unverified token names, to look up its key; raises TokenRefused."""
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
    except jwt.InvalidTokenError:
        raise TokenRefused("the request token cannot be read") from None
    group = claims.get("iss")
    if not isinstance(group, str):
        raise TokenRefused("the request token names no group")
    return group


def verify_request(token: str, public: bytes, *, method: str, path: str, body: bytes) -> str:
    """Return the instance that a valid token speaks for; raises TokenRefused."""
    key = Ed25519PublicKey.from_public_bytes(public)
    try:
        claims = jwt.decode(
            token, key, algorithms=["EdDSA"], audience=AUDIENCE, leeway=LEEWAY_S,
            options={"require": ["exp", "iat", "iss", "sub", "htm", "htu", "bod"]},
        )  # fmt: skip
    except (jwt.ExpiredSignatureError, jwt.ImmatureSignatureError):
        raise TokenRefused("the request token's time is off", skewed=True) from None
    except jwt.InvalidTokenError:
        raise TokenRefused("the request token is not valid") from None
    if claims["exp"] - claims["iat"] > LIFETIME_S:
        raise TokenRefused("the request token lives too long")
    if (claims["htm"], claims["htu"], claims["bod"]) != (method, path, body_digest(body)):
        raise TokenRefused("the request token was made for another request")
    return str(claims["sub"])
