"""API keys: mint, recognise, hash.

A key is `gh-<id><secret><checksum>`: 22 characters that name its row, 32 that are secret (190 bits), and 6 that
check the rest, all base62.  The checksum lets a secret scanner and the gateway tell a real key from noise without
any look-up; the prefix makes a leak findable.  Only a SHA-256 of the secret is stored: 190 bits of entropy need
no slow hash, and a slow hash on the request path would be a lever for denial of service.
"""

import hashlib
import hmac
import secrets
import zlib
from functools import lru_cache
from typing import Final, NamedTuple
from uuid import UUID

from shared.redact import Secret

PREFIX: Final = "gh-"
_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_DIGIT: Final = {char: index for index, char in enumerate(_ALPHABET)}
_ID_CHARS: Final = 22
_SECRET_CHARS: Final = 32
_CHECK_CHARS: Final = 6
LENGTH: Final = len(PREFIX) + _ID_CHARS + _SECRET_CHARS + _CHECK_CHARS


class ParsedKey(NamedTuple):
    """A well-formed key: the row that it names and the hash of its secret, as lower-case hex."""

    key_id: str
    secret_hash: str


class MintedKey(NamedTuple):
    """A new key: the text shown once to its owner, and what is stored of it."""

    text: Secret
    secret_hash: str
    masked: str


def _base62(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, digit = divmod(number, 62)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))


def _number(text: str) -> int:
    value = 0
    for char in text:
        value = value * 62 + _DIGIT[char]
    return value


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECK_CHARS)


def hash_secret(secret: str) -> str:
    """Return the stored form of a key's secret part: SHA-256, hex."""
    return hashlib.sha256(secret.encode()).hexdigest()


def mint_key(key_id: UUID) -> MintedKey:
    """Return a new API key for the row `key_id`."""
    secret = "".join(secrets.choice(_ALPHABET) for _ in range(_SECRET_CHARS))
    body = _base62(key_id.int, _ID_CHARS) + secret
    text = PREFIX + body + _checksum(body)
    return MintedKey(Secret(text), hash_secret(secret), f"{text[:8]}****{text[-4:]}")


# A busy caller sends the same key with every request; taking it apart costs more than finding it again.  What is kept
# is what the process holds during each request anyway, and no core dump is ever written.
@lru_cache(maxsize=4096)
def parse_key(text: str) -> ParsedKey | None:
    """Return what a presented key names, or None when it is no key of ours (form or checksum wrong)."""
    if len(text) != LENGTH or not text.startswith(PREFIX) or not text.isascii():
        return None
    body, check = text[len(PREFIX) : -_CHECK_CHARS], text[-_CHECK_CHARS:]
    if not body.isalnum() or not hmac.compare_digest(_checksum(body), check):
        return None
    number = _number(body[:_ID_CHARS])
    if number >> 128:
        return None
    return ParsedKey(str(UUID(int=number)), hash_secret(body[_ID_CHARS:]))


def same_hash(left: str, right: str) -> bool:
    """Compare two stored hashes in constant time."""
    return hmac.compare_digest(left, right)
