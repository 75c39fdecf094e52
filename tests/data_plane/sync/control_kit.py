"""A control plane for one group, in memory: it signs real bundles, and can be told to misbehave."""

import json

import msgspec

from data_plane.sync.guard import Guard
from data_plane.sync.pull import Puller
from data_plane.sync.store import BundleStore
from data_plane.upstream.control import ControlAnswer, ControlUnreachable
from shared.bundle.model import MANIFEST_TYPE
from shared.bundle.trust import sha256, sign_envelope
from tests.data_plane import kit
from tests.shared.bundle.signing_kit import NOW, Kit


class ControlPlane:
    """Stands where `ControlClient` stands; `lost` makes every call fail, `bend` changes what is served."""

    offset_s = 0.0

    def __init__(self):
        self.kit = Kit()
        self.roots = [self.kit.root()]
        self.files = {}
        self.calls = []
        self.lost = False
        self.bend = {}
        self.reports = []

    @property
    def root_sha256(self):
        return sha256(self.roots[0])

    def add_root(self, **changes):
        self.roots.append(self.kit.root(version=len(self.roots) + 1, **changes))

    def publish(self, seq, *, head=None, manifest=None, raw=None, head_no=None, **sections):
        """Return the head of a new revision, and serve its parts."""
        made, blobs = kit.bundle(seq, raw=raw, **sections)
        made = msgspec.structs.replace(made, **(manifest or {}))
        envelope = sign_envelope(msgspec.json.encode(made), MANIFEST_TYPE, [self.kit.bundle])
        self.files |= {f"/blobs/{digest}": blob for digest, blob in blobs.items()}
        self.files[f"/manifests/{sha256(envelope)}"] = envelope
        fields = {"root_version": len(self.roots), "epoch": made.epoch, "head_no": head_no or seq, **(head or {})}
        return self.kit.head(envelope, seq, **fields)

    async def call(self, method, path, *, body=b"", headers=None, timeout_s=30.0, limit=0):
        part = path.removeprefix("/dp/v1")
        self.calls.append(part)
        if self.lost:
            raise ControlUnreachable("lost")
        if part.startswith("/root/"):
            number = int(part.rpartition("/")[2])
            found = self.roots[number - 1] if number <= len(self.roots) else None
        else:
            found = self.files.get(part)
        found = self.bend.get(part, found)
        return ControlAnswer(200 if found is not None else 404, found or b"", {})

    def fetched(self, kind):
        return [call for call in self.calls if call.startswith(f"/{kind}/")]


class StoringPuller(Puller):
    """Stores what it took before it says so; an agent does that beside the next poll."""

    async def take(self, content):
        taken = await super().take(content)
        if self._to_store.is_set():
            await self.store()
        return taken


def puller(control, folder, denied=None, wall=lambda: NOW + 1, live=None):
    """Return a puller on `folder`, as after a start of the process."""
    seen = denied if denied is not None else []
    said = live if live is not None else []
    return StoringPuller(
        store=BundleStore(folder / "bundles"), guard=Guard(folder / "guard.bin"), identity=kit.IDENTITY,
        root_sha256=control.root_sha256, opener=kit.opener(), client=control, on_deny=seen.append,
        on_live=lambda: said.append(True), wall=wall,
    )  # fmt: skip


def flip(content, at=-5):
    bent = bytearray(content)
    bent[at] ^= 1
    return bytes(bent)


def bend_json(content, **changes):
    return json.dumps({**json.loads(content), **changes}).encode()
