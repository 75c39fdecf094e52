"""Changing credentials for tokens, as OAuth 2 does it: the form that is posted, and the name the token is kept under.

Source: RFC 6749, section 4.4.
"""

from hashlib import sha256
from urllib.parse import urlencode

from data_plane.core.types import TokenAsk
from shared.redact import Secret


def token_name(*parts: str | Secret) -> str:
    """Return a name for the token of an account that tells nothing of its secrets."""
    told = "\x1f".join(part.reveal() if isinstance(part, Secret) else part for part in parts)
    return sha256(told.encode("utf-8", "surrogatepass")).hexdigest()


def client_credentials(url: str, client_id: str, secret: Secret, scope: str) -> TokenAsk:
    """Return the request for a token of an application, for `scope`."""
    form = urlencode(
        {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret.reveal(), "scope": scope}
    )
    return TokenAsk(token_name(url, client_id, secret, scope), url, form.encode())
