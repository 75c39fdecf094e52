"""Who may sign what: the root of trust, its chain, and the envelopes verified under it.

Thresholds, roles and rotation are python-tuf's; keys and algorithms come from the trusted root, never from the
envelope that is being checked.  The first root is pinned by digest at enrolment.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import Key, Signer
from tuf.api.dsse import SimpleEnvelope
from tuf.api.exceptions import UnsignedMetadataError
from tuf.api.metadata import Root
from tuf.api.serialization import DeserializationError

from shared.bundle.model import (
    BUNDLE_ROLE,
    FRESHNESS_ROLE,
    HEAD_TYPE,
    MANIFEST_TYPE,
    MAX_HEAD_BYTES,
    MAX_MANIFEST_BYTES,
    MAX_ROOT_BYTES,
    ROOT_TYPE,
    BundleRejected,
)

MAX_CHAIN: Final = 1000
_ROLE_OF: Final = {HEAD_TYPE: FRESHNESS_ROLE, MANIFEST_TYPE: BUNDLE_ROLE, ROOT_TYPE: "root"}
_LIMIT_OF: Final = {HEAD_TYPE: MAX_HEAD_BYTES, MANIFEST_TYPE: MAX_MANIFEST_BYTES, ROOT_TYPE: MAX_ROOT_BYTES}


def sha256(content: bytes) -> str:
    """Return the hex SHA-256 of `content`."""
    return hashlib.sha256(content).hexdigest()


def sign_envelope(payload: bytes, payload_type: str, signers: list[Signer]) -> bytes:
    """Return the DSSE envelope, as JSON bytes, of `payload` signed by every signer."""
    envelope: SimpleEnvelope[Root] = SimpleEnvelope(payload, payload_type, {})
    for signer in signers:
        envelope.sign(signer)
    return envelope.to_bytes()


def read_envelope(content: bytes, payload_type: str) -> SimpleEnvelope[Root]:
    """Return the unverified envelope; raises BundleRejected when it is too large, malformed or of another type."""
    if len(content) > _LIMIT_OF[payload_type]:
        raise BundleRejected("too_large", f"envelope of {len(content)} bytes")
    try:
        envelope: SimpleEnvelope[Root] = SimpleEnvelope.from_bytes(content)
    except DeserializationError:
        raise BundleRejected("sig_invalid", "the envelope cannot be read") from None
    if envelope.payload_type != payload_type:
        raise BundleRejected("sig_invalid", "the envelope holds another type of object")
    return envelope


class TrustedRoot:
    """A verified root: version, epoch, and the keys of each role."""

    def __init__(self, root: Root, content: bytes) -> None:
        self._root = root
        self.content = content
        self.digest = sha256(content)
        self.version: int = root.version
        self.epoch: int = int(root.unrecognized_fields.get("x-epoch", 1))
        self.compromised: frozenset[str] = frozenset(root.unrecognized_fields.get("x-compromised", ()))

    def key_ids(self, role: str) -> frozenset[str]:
        """Return the ids of the keys that may sign for `role`."""
        return frozenset(self._root.get_delegated_role(role).keyids)

    def open(self, content: bytes, payload_type: str) -> bytes:
        """Return the payload of an envelope that the right role signed; raises BundleRejected otherwise."""
        envelope = read_envelope(content, payload_type)
        self.check(envelope, _ROLE_OF[payload_type])
        return envelope.payload

    def check(self, envelope: SimpleEnvelope[Root], role: str) -> None:
        """Raise BundleRejected unless `envelope` carries the threshold of signatures of `role`."""
        try:
            self._root.verify_delegate(role, envelope.pae(), envelope.signatures)
        except (UnsignedMetadataError, VerificationError, ValueError):
            code = "root_chain" if role == "root" else "sig_invalid"
            raise BundleRejected(code, f"not signed by the keys of role {role}") from None


def _parse_root(payload: bytes) -> Root:
    envelope: SimpleEnvelope[Root] = SimpleEnvelope(payload, ROOT_TYPE, {})
    try:
        root = envelope.get_signed()
    except DeserializationError:
        raise BundleRejected("root_chain", "the root cannot be read") from None
    if not isinstance(root, Root):
        raise BundleRejected("root_chain", "the envelope holds no root")
    return root


def pin_root(content: bytes, pinned_sha256: str) -> TrustedRoot:
    """Return the first root, trusted because its digest is the pinned one; raises BundleRejected."""
    if sha256(content) != pinned_sha256.lower():
        raise BundleRejected("root_chain", "the root is not the pinned one")
    return reopen_root(content)


def reopen_root(content: bytes) -> TrustedRoot:
    """Return a root that carries its own threshold of signatures; its origin must be trusted already."""
    envelope = read_envelope(content, ROOT_TYPE)
    trusted = TrustedRoot(_parse_root(envelope.payload), content)
    trusted.check(envelope, "root")
    return trusted


def follow_root(current: TrustedRoot, content: bytes) -> TrustedRoot:
    """Return the next root of the chain: version + 1, signed by the old and by the new threshold."""
    envelope = read_envelope(content, ROOT_TYPE)
    current.check(envelope, "root")
    following = reopen_root(content)
    if following.version != current.version + 1:
        raise BundleRejected("root_chain", f"version {following.version} does not follow {current.version}")
    if following.epoch < current.epoch:
        raise BundleRejected("root_chain", "the epoch goes back")
    return following


def make_root(
    *,
    version: int,
    keys: Mapping[str, Sequence[Key]],
    threshold: int,
    epoch: int = 1,
    compromised: tuple[str, ...] = (),
) -> bytes:
    """Return the payload of a root; `keys` maps the roles root, targets and timestamp to their public keys."""
    extra: dict[str, Any] = {"x-epoch": epoch, "x-compromised": list(compromised)}
    root = Root(version=version, unrecognized_fields=extra)
    for role, members in keys.items():
        for key in members:
            root.add_key(key, role)
        root.roles[role].threshold = threshold if role == "root" else 1
    # TUF wants a snapshot role; the manifest does its work here, so it is given to the bundle key.
    for key in keys[BUNDLE_ROLE]:
        root.add_key(key, "snapshot")
    envelope: SimpleEnvelope[Root] = SimpleEnvelope.from_signed(root)
    return envelope.payload
