"""May this head or manifest be used?  The rules against forgery, replay, rollback, freeze and mix-and-match.

Pure: what was seen before comes in as `Marks`, what must be remembered goes out as `Marks`.  Two marks, one per
signing role: a stolen freshness key can raise the head's mark, never the manifest's, and the head's mark is forgotten
when the root changes the freshness key, so such a theft heals by rotation alone.
"""

from typing import Any, TypeVar

import msgspec

from shared.bundle.model import (
    FORMAT,
    FRESHNESS_ROLE,
    HEAD_TYPE,
    MANIFEST_TYPE,
    MAX_AHEAD_S,
    MAX_BLOBS,
    MAX_RAW_BYTES,
    MAX_REVOKED,
    BundleRejected,
    Head,
    Identity,
    Manifest,
)
from shared.bundle.trust import TrustedRoot, sha256

#: Features of a manifest that this version understands; any other one in `requires` is refused.
FEATURES: frozenset[str] = frozenset()

S = TypeVar("S", Head, Manifest)


class Marks(msgspec.Struct, frozen=True):
    """The highest versions ever verified; versions are (epoch, seq)."""

    manifest: tuple[int, int] = (0, 0)
    head: tuple[int, int] = (0, 0)
    head_no: int = 0
    freshness_keys: tuple[str, ...] = ()
    revoked: tuple[str, ...] = ()


def under_root(marks: Marks, root: TrustedRoot) -> Marks:
    """Return the marks as they count under `root`: a changed freshness key forgets what the old one could poison."""
    keys = tuple(sorted(root.key_ids(FRESHNESS_ROLE)))
    if marks.freshness_keys == keys:
        return marks
    if not marks.freshness_keys:
        return msgspec.structs.replace(marks, freshness_keys=keys)
    return Marks(manifest=marks.manifest, freshness_keys=keys)


def _decode(payload: bytes, kind: type[S]) -> S:
    try:
        return msgspec.json.decode(payload, type=kind)
    except (msgspec.ValidationError, msgspec.DecodeError, RecursionError) as fault:
        raise BundleRejected("schema_invalid", str(fault)[:200]) from None


def _check_audience(signed: Any, identity: Identity) -> None:
    if (signed.org, signed.group) != (identity.org, identity.group):
        raise BundleRejected("wrong_audience", "addressed to another organisation or gateway group")


def hinted_root_version(head_envelope_payload: bytes) -> int:
    """Return the root version that an unverified head names: a hint to fetch the chain, nothing more.

    0 when it cannot be read: what is wrong with the head is said when it is verified.
    """
    try:
        return _decode(head_envelope_payload, Head).root_version
    except BundleRejected:
        return 0


def check_head(root: TrustedRoot, content: bytes, identity: Identity, marks: Marks) -> Head:
    """Return the verified head, or raise BundleRejected; equal to what is known already is not a fault."""
    head = _decode(root.open(content, HEAD_TYPE), Head)
    _check_audience(head, identity)
    if head.epoch != root.epoch:
        raise BundleRejected("rollback", "the head's epoch is not the root's")
    if len(head.revoked) > MAX_REVOKED:
        raise BundleRejected("too_large", "too many revocations in one head")
    if head.version < max(marks.manifest, marks.head):
        raise BundleRejected("rollback", "the head is older than one seen before")
    if head.epoch == marks.head[0] and head.head_no < marks.head_no:
        raise BundleRejected("rollback", "the head was renewed since")
    return head


def marks_after_head(marks: Marks, head: Head) -> Marks:
    """Return the marks to persist before anything that the head names is fetched."""
    revoked = tuple(sorted(set(marks.revoked) | set(head.revoked)))
    return msgspec.structs.replace(marks, head=max(marks.head, head.version), head_no=head.head_no, revoked=revoked)


def is_fresh(head: Head, now_s: float) -> bool:
    """Return whether `head` proves freshness at the wall time `now_s`: not expired, not from far ahead."""
    return head.issued_at - MAX_AHEAD_S <= now_s <= head.expires


def check_manifest(root: TrustedRoot, content: bytes, head: Head, identity: Identity, marks: Marks) -> Manifest:
    """Return the verified manifest that `head` names, or raise BundleRejected."""
    if len(content) != head.manifest.n or sha256(content) != head.manifest.d:
        raise BundleRejected("digest_mismatch", "not the manifest that the head names")
    manifest = open_manifest(root, content, identity)
    if manifest.version != head.version:
        raise BundleRejected("rollback", "head and manifest have different versions")
    if manifest.version < marks.manifest:
        raise BundleRejected("rollback", "the manifest is older than one seen before")
    return manifest


def open_manifest(root: TrustedRoot, content: bytes, identity: Identity) -> Manifest:
    """Return a manifest whose signature, audience and features hold; its place in time is not looked at."""
    manifest = _decode(root.open(content, MANIFEST_TYPE), Manifest)
    _check_audience(manifest, identity)
    if manifest.min_reader > FORMAT:
        raise BundleRejected("unsupported_format", f"needs a reader of format {manifest.min_reader}")
    missing = set(manifest.requires) - FEATURES
    if missing:
        raise BundleRejected("missing_feature", ", ".join(sorted(missing)))
    refs = [section.index for section in manifest.sections.values()]
    if sum(ref.raw for ref in refs) > MAX_RAW_BYTES or len(refs) > MAX_BLOBS:
        raise BundleRejected("too_large", "the manifest names too much")
    return manifest
