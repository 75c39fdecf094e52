"""Exchange the one-time enrolment token for this gateway group's identity.

Keys are made here and written to disk before the call, so an answer that gets lost can be asked for again with the
same token and the same keys.  The private keys never leave this host.  The root of trust is pinned: its digest comes
with the token from the operator, never from the network.
"""

import base64
import os
import uuid
from pathlib import Path
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from data_plane.upstream.control import ControlClient, ControlUnreachable
from shared import wire
from shared.bundle.model import Identity
from shared.crypto.sealing import generate_sealing_key, sealing_kid
from shared.redact import Secret

CAPABILITIES: Final = ("gbp/1",)


class EnrolmentFailed(SystemExit):
    """The gateway has no identity and cannot get one; the sentence says why."""


class EnrolmentDelayed(Exception):
    """The control plane cannot be reached yet; trying again may help."""


class _StoredIdentity(msgspec.Struct):
    org: str
    group: str
    root_sha256: str
    instance: str


class GatewayIdentity:
    """Who this gateway is: group, instance, and the private keys of the group."""

    def __init__(self, stored: _StoredIdentity, identity_key: bytes, sealing_keys: dict[str, bytes]) -> None:
        self.identity = Identity(stored.org, stored.group)
        self.root_sha256 = stored.root_sha256
        self.instance = stored.instance
        self.signing_key = Ed25519PrivateKey.from_private_bytes(identity_key)
        self.sealing_keys = sealing_keys

    def __repr__(self) -> str:
        return f"GatewayIdentity({self.identity.group}, {self.instance})"


def _write_private(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o400)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _keys(folder: Path) -> tuple[bytes, dict[str, bytes]]:
    """Return (identity key, sealing keys by id), made when they are not there yet."""
    identity_path = folder / "identity.key"
    if not identity_path.exists():
        _write_private(identity_path, Ed25519PrivateKey.generate().private_bytes_raw())
    if not list(folder.glob("sealing-*.key")):
        private, public = generate_sealing_key()
        _write_private(folder / f"sealing-{sealing_kid(public)}.key", private)
    sealing = {path.stem.removeprefix("sealing-"): path.read_bytes() for path in folder.glob("sealing-*.key")}
    return identity_path.read_bytes(), sealing


def load_identity(folder: Path) -> GatewayIdentity | None:
    """Return the identity stored below `folder`, None before enrolment."""
    path = folder / "identity.json"
    if not path.exists():
        return None
    stored = msgspec.json.decode(path.read_bytes(), type=_StoredIdentity)
    return GatewayIdentity(stored, *_keys(folder / "keys"))


def _public(identity_key: bytes, sealing_keys: dict[str, bytes]) -> tuple[str, str]:
    from_raw = Ed25519PrivateKey.from_private_bytes(identity_key).public_key().public_bytes_raw()
    sealing = x25519_public(next(iter(sealing_keys.values())))
    return base64.b64encode(from_raw).decode(), base64.b64encode(sealing).decode()


def x25519_public(private: bytes) -> bytes:
    """Return the raw public key of a raw X25519 private key."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


async def enrol(folder: Path, edge_url: str, token: Secret, root_sha256: str, group_name: str) -> GatewayIdentity:
    """Return the identity that the control plane gives for `token`, and store it.

    Raises EnrolmentFailed when the token or the root is refused, EnrolmentDelayed when nobody answers.
    """
    identity_key, sealing_keys = _keys(folder / "keys")
    identity_pub, sealing_pub = _public(identity_key, sealing_keys)
    ask = wire.EnrolRequest(token.reveal(), identity_pub, sealing_pub, group_name, CAPABILITIES)
    client = ControlClient(edge_url, None)
    try:
        answer = await client.call("POST", f"{wire.DP_PREFIX}/enroll", body=msgspec.json.encode(ask))
    except ControlUnreachable as fault:
        raise EnrolmentDelayed(str(fault)) from None
    finally:
        await client.close()
    if answer.status >= 500:
        raise EnrolmentDelayed(f"status {answer.status}")
    if answer.status != 200:
        raise EnrolmentFailed(
            f"The control plane refused the enrolment token (status {answer.status}): "
            "it is wrong, used by another gateway, or older than an hour. Make a new one."
        )
    given = msgspec.json.decode(answer.body, type=wire.EnrolAnswer)
    if given.root_sha256.lower() != root_sha256.lower():
        raise EnrolmentFailed("The control plane's root of trust is not the one given by GATEHOUSE_ROOT_SHA256.")
    stored = _StoredIdentity(given.org, given.group, root_sha256.lower(), f"gw-{uuid.uuid4().hex[:12]}")
    draft = folder / "identity.tmp"
    draft.unlink(missing_ok=True)
    _write_private(draft, msgspec.json.encode(stored))
    draft.rename(folder / "identity.json")
    return GatewayIdentity(stored, identity_key, sealing_keys)
