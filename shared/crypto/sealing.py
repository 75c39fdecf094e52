"""Seal a secret to a gateway group: HPKE (RFC 9180), X25519, HKDF-SHA256, AES-256-GCM.

Everything that a sealed secret belongs to goes into `info`, so a ciphertext moved to another row, group or version
does not open.  A secret is sealed once, when it is written, and stored sealed: sealing again would change the bytes
and defeat content addressing.
"""

import hashlib
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

_SUITE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


class SealedTo(NamedTuple):
    """What a sealed secret is bound to."""

    org: str
    group: str
    secret_id: str
    version: int

    def info(self) -> bytes:
        """Return the HPKE `info`; parts are ids without NUL, so the join is unambiguous."""
        parts = ("gatehouse/secret/v1", self.org, self.group, self.secret_id, str(self.version))
        return b"\0".join(part.encode() for part in parts)


class SealBroken(ValueError):
    """A ciphertext does not open under this key and binding."""


def sealing_kid(public: bytes) -> str:
    """Return the short name of a sealing key: 16 hex characters of its SHA-256."""
    return hashlib.sha256(public).hexdigest()[:16]


def generate_sealing_key() -> tuple[bytes, bytes]:
    """Return a new raw (private, public) X25519 pair, 32 bytes each."""
    private = X25519PrivateKey.generate()
    return private.private_bytes_raw(), private.public_key().public_bytes_raw()


def seal(public: bytes, plaintext: bytes, to: SealedTo) -> bytes:
    """Return `plaintext` sealed to the raw public key, bound to `to`."""
    return _SUITE.encrypt(plaintext, X25519PublicKey.from_public_bytes(public), to.info())


def unseal(private: bytes, sealed: bytes, to: SealedTo) -> bytes:
    """Return the plaintext; raises SealBroken when key, bytes or binding do not fit."""
    try:
        return _SUITE.decrypt(sealed, X25519PrivateKey.from_private_bytes(private), to.info())
    except (InvalidTag, ValueError):
        raise SealBroken("the sealed secret does not open") from None
