"""How does Google know who calls?  An API key in a header, or a service account that is changed for a token.

The account signs a statement of who it is, and Google's token service answers it with a token for an hour.
Source: https://developers.google.com/identity/protocols/oauth2/service-account
"""

import time
from functools import lru_cache
from typing import Final
from urllib.parse import urlencode

import jwt
import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from data_plane.core.types import CallFacts, TokenAsk
from data_plane.providers._oauth import token_name
from shared.errors import BadRequest
from shared.redact import Secret

#: Where accounts are changed for tokens.  An account's own `token_uri` is not read: it could lead anywhere.
TOKEN_URL: Final = "https://oauth2.googleapis.com/token"  # noqa: S105 -- an address, no password
SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ACCOUNT: Final = "vertex_service_account_json"
#: The longest that Google lets a statement hold.
STATED_S: Final = 3600
#: How long one statement is used: signing takes as long as a whole request, and no statement may run out on its way.
SIGNED_EVERY_S: Final = 1800


class CredentialMalformed(BadRequest):
    """The credential of a target is not what its provider takes; another target may have a better one."""

    code = "invalid_credential"
    final = False


def api_key(secret: Secret, headers: dict[str, str]) -> None:
    """Write `secret` into `headers` as Google's API key."""
    headers["x-goog-api-key"] = secret.reveal()


# The text is the key of the cache, so that looking up costs no hashing of it; it is in memory anyway, in the snapshot.
@lru_cache(maxsize=256)
def _ask(account: str, period: int) -> TokenAsk:
    try:
        told = orjson.loads(account)
        email, private_key = told["client_email"], told["private_key"]
        stated_at = period * SIGNED_EVERY_S
        claims = {"iss": email, "scope": SCOPE, "aud": TOKEN_URL, "iat": stated_at, "exp": stated_at + STATED_S}
        key_id = told.get("private_key_id")
        named = {"kid": key_id} if isinstance(key_id, str) else None
        # Proving that the numbers are prime would stop the process for as long as thirty requests take.
        signer = load_pem_private_key(private_key.encode(), None, unsafe_skip_rsa_key_validation=True)
        if not isinstance(signer, RSAPrivateKey):
            raise TypeError
        statement = jwt.encode(claims, signer, algorithm="RS256", headers=named)
    except (ValueError, TypeError, KeyError, AttributeError, UnsupportedAlgorithm, jwt.PyJWTError):
        raise CredentialMalformed("The credential is not the JSON key of a service account.", path=ACCOUNT) from None
    form = urlencode({"grant_type": GRANT, "assertion": statement})
    return TokenAsk(token_name(TOKEN_URL, account), TOKEN_URL, form.encode())


def service_account_token(key: Secret | None, facts: CallFacts) -> TokenAsk | None:
    """Return the request for a token of a service account; None for a key that is a token already.

    The account's JSON stands in the setting `vertex_service_account_json`, or in place of the key.  Raises
    CredentialMalformed.
    """
    held = facts.settings.get(ACCOUNT) or key
    account = held.reveal().strip() if isinstance(held, Secret) else ""
    if held is key and not account.startswith("{"):
        return None
    return _ask(account, int(time.time()) // SIGNED_EVERY_S)
