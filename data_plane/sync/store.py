"""The last good bundles on disk: what a gateway starts from when the control plane is gone.

Everything is stored in the form it came over the wire and verified again when it is read: the disk is trusted no more
than the network.  A file appears whole or not at all (temporary name, fsync, rename, fsync of the folder), and
`CURRENT` is written last, so a crash anywhere leaves the old or the new configuration.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import structlog

from data_plane.sync.faults import failpoint
from shared.bundle.codec import decode_index, open_blob
from shared.bundle.model import MANIFEST_TYPE, BlobRef, BundleRejected, Identity, Manifest
from shared.bundle.trust import TrustedRoot, follow_root, pin_root, read_envelope, sha256
from shared.bundle.verify import open_manifest

KEEP_MANIFESTS: Final = 3
log = structlog.get_logger(module=__name__)


@dataclass(frozen=True, slots=True)
class Stored:
    """A manifest with all its blobs, verified."""

    manifest: Manifest
    blobs: Mapping[str, bytes]


class BundleStore:
    """The bundle cache below `folder`; used by the agent to write and by workers to read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("manifests", "heads", "blobs", "trust", "tmp"):
            (folder / name).mkdir(parents=True, exist_ok=True, mode=0o700)

    # writing

    def put(self, path: Path, content: bytes, point: str) -> None:
        """Write a file so that it is whole or absent after a crash; raises OSError."""
        draft = self.folder / "tmp" / f"{path.name}.{os.getpid()}"
        descriptor = os.open(draft, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content[: len(content) // 2])
            failpoint(f"{point}.mid_write")
            file.write(content[len(content) // 2 :])
            file.flush()
            os.fsync(file.fileno())
        failpoint(f"{point}.before_rename")
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft.rename(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        failpoint(f"{point}.after_rename")

    def blob_path(self, digest: str) -> Path:
        """Return where a blob lies."""
        return self.folder / "blobs" / digest[:2] / digest

    def put_root(self, root: TrustedRoot) -> None:
        """Store a verified root; every version is kept for ever."""
        self.put(self.folder / "trust" / f"{root.version}.root.json", root.content, "root")

    def put_head(self, content: bytes) -> None:
        """Store the newest verified head."""
        self.put(self.folder / "heads" / "last.dsse", content, "head")

    def persist(self, manifest: Manifest, envelope: bytes, blobs: Mapping[str, bytes], root_version: int) -> None:
        """Store a verified bundle and make it the current one; raises OSError and then changes nothing."""
        for digest, packed in blobs.items():
            # A blob that rotted on disk has its name and may have its size; only its digest tells.
            if not self._is_whole(digest):
                self.put(self.blob_path(digest), packed, "blob")
        name = f"{manifest.epoch}.{manifest.seq}"
        self.put(self.folder / "manifests" / f"{name}.dsse", envelope, "manifest")
        current = self._pointer("CURRENT")
        if current and current.split()[0] != name:
            self.put(self.folder / "PREVIOUS", current.encode(), "previous")
        self.put(self.folder / "CURRENT", f"{name} {root_version}".encode(), "current")

    def _is_whole(self, digest: str) -> bool:
        try:
            return sha256(self.blob_path(digest).read_bytes()) == digest
        except OSError:
            return False

    def collect(self) -> None:
        """Delete what the newest few manifests do not need; called after a successful activation only."""
        names = sorted((self.folder / "manifests").glob("*.dsse"), key=_version_of, reverse=True)
        keep: set[str] = set()
        pointed = {text.split()[0] for text in (self._pointer("CURRENT"), self._pointer("PREVIOUS")) if text}
        for number, path in enumerate(names):
            if number < KEEP_MANIFESTS or path.stem in pointed:
                try:
                    keep |= self._digests(path)
                except (BundleRejected, OSError):
                    return
            else:
                path.unlink(missing_ok=True)
        for path in (self.folder / "blobs").glob("??/*"):
            if path.name not in keep:
                path.unlink(missing_ok=True)
        for path in (self.folder / "tmp").iterdir():
            path.unlink(missing_ok=True)

    def _digests(self, path: Path) -> set[str]:
        payload = read_envelope(path.read_bytes(), MANIFEST_TYPE).payload
        manifest = open_manifest_unverified(payload)
        digests = set()
        for section in manifest.sections.values():
            digests.add(section.index.d)
            index = open_blob(section.index, self.blob_path(section.index.d).read_bytes())
            digests |= {ref.d for ref in decode_index(index, section.buckets).values()}
        return digests

    # reading

    def roots(self, pinned_sha256: str) -> list[TrustedRoot]:
        """Return the chain of stored roots, oldest first, verified from the pinned digest on; empty when none is."""
        chain: list[TrustedRoot] = []
        while True:
            path = self.folder / "trust" / f"{len(chain) + 1}.root.json"
            if not path.exists():
                return chain
            content = path.read_bytes()
            try:
                chain.append(follow_root(chain[-1], content) if chain else pin_root(content, pinned_sha256))
            except BundleRejected as fault:
                log.error("stored_root_rejected", version=len(chain) + 1, reason=fault.detail)  # noqa: TRY400 -- a verdict
                return chain

    def head(self) -> bytes | None:
        """Return the last stored head's envelope, unverified."""
        path = self.folder / "heads" / "last.dsse"
        return path.read_bytes() if path.exists() else None

    def _pointer(self, name: str) -> str | None:
        try:
            return (self.folder / name).read_text().strip() or None
        except OSError:
            return None

    def candidates(self) -> list[tuple[str, int | None]]:
        """Return (version name, accepting root) of what to start from: CURRENT, PREVIOUS, then newest first."""
        found: list[tuple[str, int | None]] = []
        for pointer in ("CURRENT", "PREVIOUS"):
            text = (self._pointer(pointer) or "").split()
            if len(text) == 2 and text[1].isdigit():
                found.append((text[0], int(text[1])))
        named = {name for name, _ in found}
        others = sorted((self.folder / "manifests").glob("*.dsse"), key=_version_of, reverse=True)
        return found + [(path.stem, None) for path in others if path.stem not in named]

    def load(self, name: str, roots: list[TrustedRoot], accepted: int | None, identity: Identity) -> Stored:
        """Return the stored bundle `name`, verified anew; raises BundleRejected or OSError.

        A manifest whose key has left the newest root is still good under the root that accepted it, unless that
        key is listed as compromised: a rotation must not stop a restart while the control plane is gone.
        """
        envelope = (self.folder / "manifests" / f"{name}.dsse").read_bytes()
        manifest = self._verified(envelope, roots, accepted, identity)
        if f"{manifest.epoch}.{manifest.seq}" != name:
            raise BundleRejected("rollback", "a stored manifest has another version than its name")
        blobs: dict[str, bytes] = {}
        for section in manifest.sections.values():
            index = self.read_blob(section.index)
            blobs[section.index.d] = index
            for ref in decode_index(open_blob(section.index, index), section.buckets).values():
                blobs[ref.d] = self.read_blob(ref)
        return Stored(manifest, blobs)

    def _verified(
        self, envelope: bytes, roots: list[TrustedRoot], accepted: int | None, identity: Identity
    ) -> Manifest:
        try:
            return open_manifest(roots[-1], envelope, identity)
        except BundleRejected:
            older = next((root for root in roots if root.version == accepted), None)
            if older is None or older is roots[-1]:
                raise
            signers = set(read_envelope(envelope, MANIFEST_TYPE).signatures)
            if signers & roots[-1].compromised:
                raise
            return open_manifest(older, envelope, identity)

    def read_blob(self, ref: BlobRef) -> bytes:
        """Return a stored blob's packed bytes, its digest checked; raises BundleRejected or OSError."""
        packed = self.blob_path(ref.d).read_bytes()
        if len(packed) != ref.n or sha256(packed) != ref.d:
            raise BundleRejected("digest_mismatch", f"stored blob {ref.d[:12]}")
        return packed


def open_manifest_unverified(payload: bytes) -> Manifest:
    """Return the manifest in `payload` for housekeeping, where its signature does not matter."""
    try:
        return msgspec.json.decode(payload, type=Manifest)
    except (msgspec.ValidationError, msgspec.DecodeError):
        raise BundleRejected("schema_invalid", "a stored manifest cannot be read") from None


def _version_of(path: Path) -> tuple[int, int]:
    epoch, _, seq = path.stem.partition(".")
    return (int(epoch), int(seq)) if epoch.isdigit() and seq.isdigit() else (0, 0)
