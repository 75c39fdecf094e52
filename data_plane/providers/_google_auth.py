"""How does Google know who calls?  An API key in a header, or an account that is changed for a token.

A service account signs a statement of who it is, and Google's token service answers it with a token for an hour; a user
has agreed to be refreshed; an external account and the gateway's own are identities (`_google_identity.py`).
Source: https://developers.google.com/identity/protocols/oauth2/service-account
"""

import re
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlencode

import jwt
import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from data_plane.core.identity import GoogleIdentity, IdentityAsk
from data_plane.core.types import CallFacts, TokenAsk
from data_plane.providers._google_identity import SCOPE, AccountMalformed, read_external
from data_plane.providers._oauth import token_name
from shared.errors import BadRequest
from shared.redact import Secret

#: Where accounts are changed for tokens.  An account's own `token_uri` is not read: it could lead anywhere.
TOKEN_URL: Final = "https://oauth2.googleapis.com/token"  # noqa: S105 -- an address, no password
GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ACCOUNT: Final = "vertex_service_account_json"
AUTH_TYPE: Final = "vertex_auth_type"
#: The account is the gateway's own.
WORKLOAD: Final = "workload"
#: What a saved account says itself, when it calls by an identity.
_BOUND: Final = (AUTH_TYPE, ACCOUNT, "vertex_project_id")
_HOSTS: Final = re.compile(r"(?:[a-z0-9-]+-)?aiplatform\.googleapis\.com|aiplatform\.[a-z0-9-]+\.rep\.googleapis\.com")
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
def _ask(account: str, period: int) -> TokenAsk | IdentityAsk:
    try:
        told = orjson.loads(account)
        kind = told.get("type")
        if kind == "external_account":
            return _identity_ask(account, GoogleIdentity(read_external(told)), ACCOUNT)
        if kind == "authorized_user":
            return _refresh(account, told)
        return _statement(account, told, period)
    except AccountMalformed as fault:
        raise CredentialMalformed(
            f"The credential is not an external account for this: {fault}.", path=ACCOUNT
        ) from None
    except (ValueError, TypeError, KeyError, AttributeError, UnsupportedAlgorithm, jwt.PyJWTError):
        raise CredentialMalformed("The credential is not the JSON key of a service account.", path=ACCOUNT) from None


def _statement(account: str, told: Mapping[str, Any], period: int) -> TokenAsk:
    """Return the request for a token of a service account, good for `period` and as long behind it."""
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
    form = urlencode({"grant_type": GRANT, "assertion": statement})
    return TokenAsk(token_name(TOKEN_URL, account), TOKEN_URL, form.encode())


def _refresh(account: str, told: Mapping[str, Any]) -> TokenAsk:
    """Return the request for a token of a user who once agreed."""
    form = {
        "grant_type": "refresh_token",
        **{name: told[name] for name in ("client_id", "client_secret", "refresh_token")},
    }
    if not all(isinstance(value, str) and value for value in form.values()):
        raise TypeError
    return TokenAsk(token_name(TOKEN_URL, account), TOKEN_URL, urlencode(form).encode())


def _identity_ask(account: str, wanted: GoogleIdentity, path: str) -> IdentityAsk:
    return IdentityAsk(token_name("google", account), wanted, path, _BOUND, is_own=True, hosts=_HOSTS)


def token_of_account(account: str) -> TokenAsk | IdentityAsk:
    """Return how an account, the text of its JSON, gets its token now.  Raises CredentialMalformed."""
    return _ask(account, int(time.time()) // SIGNED_EVERY_S)


_OWN: Final = _identity_ask("", GoogleIdentity(), AUTH_TYPE)


def google_token(key: Secret | None, facts: CallFacts) -> TokenAsk | IdentityAsk | None:
    """Return how an account gets its token; None for a key that is a token already.

    The account's JSON stands in the setting `vertex_service_account_json`, or in place of the key; the gateway's own
    is used when `vertex_auth_type` says so.  Raises CredentialMalformed.
    """
    if facts.settings.get(AUTH_TYPE) == WORKLOAD and not facts.settings.get(ACCOUNT):
        return _OWN
    held = facts.settings.get(ACCOUNT) or key
    account = held.reveal().strip() if isinstance(held, Secret) else ""
    if held is key and not account.startswith("{"):
        return None
    return token_of_account(account)
