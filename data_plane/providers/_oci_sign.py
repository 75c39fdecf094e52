"""How are requests to Oracle's cloud signed?  With an API signing key (RSA) of a user, over headers and body.

What is signed: the date, the method with path and query, the host, and of a body its length, type and hash.
Source: https://docs.oracle.com/iaas/Content/API/Concepts/signingrequests.htm (signature version 1)
"""

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from email.utils import formatdate
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from data_plane.core.types import CallFacts, UpstreamRequest
from data_plane.providers._google_auth import CredentialMalformed
from data_plane.providers._openai_like import bearer
from data_plane.providers.base import CredentialField
from shared.errors import BadRequest, Unsupported
from shared.redact import Secret

PRIVATE_KEY: Final = "oracle_private_key"
PASSPHRASE: Final = "oracle_key_passphrase"  # noqa: S105 -- the name of a setting
#: Whose key it is, in the order in which a signature names them.
_OWNER: Final = ("oracle_tenancy", "oracle_user", "oracle_fingerprint")
OCI_FIELDS: Final = (
    CredentialField("oracle_tenancy", "Tenancy OCID", required=False),
    CredentialField("oracle_user", "User OCID", required=False),
    CredentialField("oracle_fingerprint", "Fingerprint of the API signing key", required=False),
    CredentialField(PRIVATE_KEY, "API signing key (PEM)", secret=True, required=False),
    CredentialField(PASSPHRASE, "Passphrase of the signing key", secret=True, required=False),
)
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
_OF_A_SIGNATURE: Final = frozenset({"authorization", "date", "x-date", "x-content-sha256"})
_BEGIN: Final = "-----BEGIN"


# Reading a key takes as long as signing with it.  The text is in memory anyway, in the snapshot.
@lru_cache(maxsize=256)
def _read_key(pem: str, passphrase: str | None) -> RSAPrivateKey:
    try:
        # Forms and environments often turn line ends into two characters.
        text = pem.strip().replace("\\n", "\n")
        # Proving that the numbers are prime would stop the process for as long as thirty requests take.
        key = load_pem_private_key(
            text.encode(), passphrase.encode() if passphrase else None, unsafe_skip_rsa_key_validation=True
        )
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise CredentialMalformed(
            "The credential is not an RSA key in PEM, or not with this passphrase.", path=PRIVATE_KEY
        ) from None
    if not isinstance(key, RSAPrivateKey):
        raise CredentialMalformed("The credential is not an RSA key.", path=PRIVATE_KEY)
    return key


def _key_id(settings: Mapping[str, Any]) -> str:
    parts: list[str] = []
    for name in _OWNER:
        part = settings.get(name)
        if not isinstance(part, str) or not part:
            raise CredentialMalformed(f"{name} is required to sign a call.", path=name)
        if not (part.isascii() and part.isprintable()) or set(part) & set('/" '):
            raise CredentialMalformed(f"{name} is no part of a signature.", path=name)
        parts.append(part)
    return "/".join(parts)


def _body_parts(request: UpstreamRequest) -> tuple[bytes | memoryview, ...]:
    return (request.body,) if isinstance(request.body, bytes) else request.body


def _signed_lines(request: UpstreamRequest, date: str) -> dict[str, str]:
    """Return what is signed, by the names of headers, in order; writes the headers that are not there yet."""
    parts = urlsplit(request.url)
    target = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
    lines = {"date": date, "(request-target)": f"{request.method.lower()} {target}", "host": parts.netloc}
    request.headers["date"] = date
    if request.method in _WITH_BODY:
        digest = hashlib.sha256()
        for part in _body_parts(request):
            digest.update(part)
        request.headers["x-content-sha256"] = b64encode(digest.digest()).decode()
        request.headers.setdefault("content-type", "application/json")
        lines |= {
            "content-length": str(sum(memoryview(part).nbytes for part in _body_parts(request))),
            "content-type": request.headers["content-type"],
            "x-content-sha256": request.headers["x-content-sha256"],
        }
    return lines


def sign_request(request: UpstreamRequest, key: RSAPrivateKey, key_id: str, *, now_s: float) -> None:
    """Write the signature of a whole `request` into its headers; `now_s` is in seconds since 1970.

    What a caller may have sent of an earlier signature is taken out.
    """
    headers = request.headers
    for name in [name for name in headers if name.lower() in _OF_A_SIGNATURE]:
        del headers[name]
    lines = _signed_lines(request, formatdate(now_s, usegmt=True))
    text = "\n".join(f"{name}: {value}" for name, value in lines.items())
    signature = b64encode(key.sign(text.encode("utf-8", "replace"), PKCS1v15(), SHA256())).decode()
    headers["authorization"] = (
        f'Signature version="1",keyId="{key_id}",algorithm="rsa-sha256",headers="{" ".join(lines)}",'
        f'signature="{signature}"'
    )


def sign_as_user(
    request: UpstreamRequest, key: Secret | None, facts: CallFacts, *, provider: str, now_s: float
) -> None:
    """Sign with the account's signing key, which may stand in place of `key`; any other `key` is a token.

    Raises BadRequest when there is neither, CredentialMalformed for a key that is none, Unsupported for an upload.
    """
    settings = facts.settings
    held = settings.get(PRIVATE_KEY)
    if not isinstance(held, Secret) and key is not None and key.reveal().lstrip().startswith(_BEGIN):
        held = key
    if not isinstance(held, Secret):
        if not key:
            raise BadRequest(f"{provider} needs {PRIVATE_KEY} and whose it is, or an API key.", path=PRIVATE_KEY)
        bearer(key, request.headers)
        return
    if request.upload is not None:
        raise Unsupported(f"{provider} cannot sign a body that is sent on while it arrives.")
    passphrase = settings.get(PASSPHRASE)
    signer = _read_key(held.reveal(), passphrase.reveal() if isinstance(passphrase, Secret) else None)
    sign_request(request, signer, _key_id(settings), now_s=now_s)
