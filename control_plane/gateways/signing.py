"""The signing keys of this installation, and the root of trust that names them.

Three root keys, of which two must sign; a bundle key and a freshness key.  They lie as PEM files in one folder that
only the publisher needs; the root keys are to be moved off the machine once the root is made.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import transaction
from securesystemslib.signer import CryptoSigner, Signer

from control_plane.gateways.models import SigningRoot
from shared.bundle.model import BUNDLE_ROLE, FRESHNESS_ROLE, ROOT_TYPE
from shared.bundle.trust import TrustedRoot, make_root, reopen_root, sha256, sign_envelope

ROOT_KEYS: Final = ("root-1", "root-2", "root-3")
ROOT_THRESHOLD: Final = 2
BUNDLE_KEY: Final = "bundle"
FRESHNESS_KEY: Final = "freshness"


class SigningKeysMissing(Exception):
    """There is no root of trust yet, or its keys are not where they should be."""


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.pem"


def make_key(folder: Path, name: str) -> None:
    """Make the key `name`, unless it is there."""
    path = _path(folder, name)
    if path.exists():
        return
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with os.fdopen(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())


def signer(folder: Path, name: str) -> CryptoSigner:
    """Return the signer of a key in `folder`; raises SigningKeysMissing."""
    try:
        private = serialization.load_pem_private_key(_path(folder, name).read_bytes(), password=None)
    except OSError:
        raise SigningKeysMissing(f"The signing key {name} is missing: run create_signing_keys.") from None
    return CryptoSigner(cast("Ed25519PrivateKey", private))


def create_root(folder: Path) -> TrustedRoot:
    """Return the newest root, making keys and root 1 when there is none."""
    newest = SigningRoot.objects.order_by("-version").first()
    if newest is not None:
        return reopen_root(bytes(newest.content))
    for name in (*ROOT_KEYS, BUNDLE_KEY, FRESHNESS_KEY):
        make_key(folder, name)
    return add_root(folder, version=1, signers=[signer(folder, name) for name in ROOT_KEYS])


def add_root(
    folder: Path, *, version: int, signers: list[CryptoSigner], epoch: int = 1, compromised: tuple[str, ...] = ()
) -> TrustedRoot:
    """Sign and store the root `version`, naming the keys that lie in `folder` now."""
    keys = {
        "root": [signer(folder, name).public_key for name in ROOT_KEYS],
        BUNDLE_ROLE: [signer(folder, BUNDLE_KEY).public_key],
        FRESHNESS_ROLE: [signer(folder, FRESHNESS_KEY).public_key],
    }
    payload = make_root(version=version, keys=keys, threshold=ROOT_THRESHOLD, epoch=epoch, compromised=compromised)
    content = sign_envelope(payload, ROOT_TYPE, cast("list[Signer]", signers))
    root = reopen_root(content)
    with transaction.atomic():
        SigningRoot.objects.create(version=version, content=content)
    return root


def first_root_digest() -> str:
    """Return the digest of root 1, which gateways pin; raises SigningKeysMissing."""
    first = SigningRoot.objects.filter(version=1).first()
    if first is None:
        raise SigningKeysMissing("There is no root of trust yet: run create_signing_keys.")
    return sha256(bytes(first.content))


@dataclass(frozen=True, slots=True)
class Signers:
    """What the publisher signs with, and the root that says so."""

    bundle: Signer
    freshness: Signer
    root: TrustedRoot

    @classmethod
    def load(cls, folder: Path) -> "Signers":
        """Return the signers of the newest root; raises SigningKeysMissing."""
        newest = SigningRoot.objects.order_by("-version").first()
        if newest is None:
            raise SigningKeysMissing("There is no root of trust yet: run create_signing_keys.")
        root = reopen_root(bytes(newest.content))
        return cls(signer(folder, BUNDLE_KEY), signer(folder, FRESHNESS_KEY), root)
