"""Head in, bundle out: the order in which things are verified, remembered, fetched and stored.

root chain → head → guard → manifest → guard → blobs → rows → live → disk.  The revocations of a head are in force
before anything else is done, so neither a large bundle nor a bad one nor a slow disk can hold them up.  The disk comes
last and by itself (`store`): a bundle takes ten syncs, and where others use the disk too, each of them takes its time.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec
import structlog

from data_plane.sync.activate import Verdict, check_shrink, examine
from data_plane.sync.guard import Guard
from data_plane.sync.secrets import SecretOpener
from data_plane.sync.store import BundleStore
from data_plane.sync.tables import blob_refs
from data_plane.upstream.control import ControlClient, ControlUnreachable
from shared import wire
from shared.bundle.codec import open_blob
from shared.bundle.model import (
    HEAD_LIFETIME_S,
    HEAD_TYPE,
    MAX_MANIFEST_BYTES,
    MAX_ROOT_BYTES,
    BlobRef,
    BundleRejected,
    Head,
    Identity,
    Manifest,
)
from shared.bundle.trust import TrustedRoot, follow_root, pin_root, read_envelope
from shared.bundle.verify import (
    Marks,
    check_head,
    check_manifest,
    hinted_root_version,
    is_fresh,
    marks_after_head,
    under_root,
)

CONCURRENT_BLOBS: Final = 8
MAX_ROOT_STEPS: Final = 1000
RETRY_LOCAL_S: Final = 300.0

log = structlog.get_logger(module=__name__)


@dataclass(frozen=True, slots=True)
class Live:
    """The bundle in use: its manifest, its blobs by digest, and what was found in it."""

    manifest: Manifest
    blobs: Mapping[str, bytes]
    verdict: Verdict
    digest: str


@dataclass(frozen=True, slots=True)
class _Unstored:
    """What is live and not on disk yet."""

    manifest: Manifest
    envelope: bytes
    blobs: Mapping[str, bytes]
    root_version: int


class Puller:
    """Keeps one bundle current: the state machine between the network, the disk and the workers."""

    def __init__(
        self,
        *,
        store: BundleStore,
        guard: Guard,
        identity: Identity,
        root_sha256: str,
        opener: SecretOpener,
        client: ControlClient,
        on_deny: Callable[[frozenset[str]], None],
        on_live: Callable[[], None],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._guard = guard
        self._identity = identity
        self._root_sha256 = root_sha256
        self._opener = opener
        self._client = client
        self._on_deny = on_deny
        self._on_live = on_live
        self._wall = wall
        self.roots: list[TrustedRoot] = []
        self.live: Live | None = None
        self.head: Head | None = None
        self.fresh_at: float | None = None
        self._started = time.monotonic()
        self.persisted: tuple[int, int] = (0, 0)
        self.fault: BundleRejected | None = None
        self._refused: tuple[str, float] | None = None
        self._unstored: _Unstored | None = None
        self._unstored_head: bytes | None = None
        self._to_store = asyncio.Event()

    @property
    def marks(self) -> Marks:
        """Return the highest versions seen."""
        return self._guard.marks

    def head_age_s(self) -> float | None:
        """Return the seconds since the last proof of freshness, None when there was none since the start."""
        return None if self.fresh_at is None else time.monotonic() - self.fresh_at

    def is_stale(self) -> bool:
        """Return whether it may be that somebody withholds newer heads: an alarm, never a reason not to serve."""
        age_s = self.head_age_s()
        return time.monotonic() - self._started > HEAD_LIFETIME_S if age_s is None else age_s > HEAD_LIFETIME_S

    # start without a network

    def load(self) -> bool:
        """Take up the newest stored bundle that verifies; return whether there is one.  Needs no network."""
        self.roots = self._store.roots(self._root_sha256)
        if not self.roots:
            return False
        self._guard.put(under_root(self._guard.marks, self.roots[-1]))
        self._on_deny(frozenset(self._guard.marks.revoked))
        for name, accepted in self._store.candidates():
            try:
                stored = self._store.load(name, self.roots, accepted, self._identity)
                verdict = examine(stored.manifest, stored.blobs, self._opener, None)
            except (BundleRejected, OSError) as fault:
                log.warning("stored_bundle_refused", bundle=name, reason=str(fault)[:200])
                continue
            self.live = Live(stored.manifest, stored.blobs, verdict, "")
            self.persisted = stored.manifest.version
            if self._guard.lost:
                marks = self._guard.marks
                self._guard.put(Marks(manifest=stored.manifest.version, freshness_keys=marks.freshness_keys))
            return True
        return False

    # with a network

    async def root_for(self, version: int) -> None:
        """Follow the chain of roots up to `version`; raises BundleRejected or ControlUnreachable."""
        if not self.roots:
            first = pin_root(await self._get("/root/1", MAX_ROOT_BYTES), self._root_sha256)
            self._keep_root(first)
        steps = 0
        while self.roots[-1].version < version:
            steps += 1
            if steps > MAX_ROOT_STEPS:
                raise BundleRejected("root_chain", "too many roots at once")
            content = await self._get(f"/root/{self.roots[-1].version + 1}", MAX_ROOT_BYTES)
            self._keep_root(follow_root(self.roots[-1], content))

    def _keep_root(self, root: TrustedRoot) -> None:
        try:
            self._store.put_root(root)
        except OSError as fault:
            log.error("root_not_stored", reason=fault.strerror)  # noqa: TRY400 -- a full disk needs no stack
        self.roots.append(root)
        self._guard.put(under_root(self._guard.marks, root))
        self._on_deny(frozenset(self._guard.marks.revoked))

    async def _get(self, path: str, limit: int) -> bytes:
        answer = await self._client.call("GET", wire.DP_PREFIX + path, limit=limit, timeout_s=60.0)
        if answer.status != 200:
            raise ControlUnreachable(f"status {answer.status}")
        return answer.body

    async def take(self, content: bytes) -> bool:
        """Take in a head; return whether a new bundle went live.  What is to be stored waits for `store`.

        Raises BundleRejected for anything that must not be used, and ControlUnreachable when a part cannot be
        fetched; the live bundle stays as it is in both cases.
        """
        try:
            return await self._take(content)
        except BundleRejected as fault:
            self.fault = fault
            raise

    async def _take(self, content: bytes) -> bool:
        await self.root_for(max(1, hinted_root_version(read_envelope(content, HEAD_TYPE).payload)))
        root = self.roots[-1]
        head = check_head(root, content, self._identity, self._guard.marks)
        if head == self.head:
            return False
        marks = marks_after_head(self._guard.marks, head)
        self._on_deny(frozenset(marks.revoked))
        self._guard.put(marks)
        self.head = head
        if is_fresh(head, self._wall() + self._client.offset_s):
            self.fresh_at = time.monotonic()
        self._unstored_head = content
        self._to_store.set()
        if self.live is not None and self.live.manifest.version == head.version:
            self._release(head)
            return False
        if self._refused is not None and self._refused[0] == head.manifest.d and time.monotonic() < self._refused[1]:
            return False
        await self._adopt(head, root)
        return True

    async def _adopt(self, head: Head, root: TrustedRoot) -> None:
        try:
            envelope = await self._get(f"/manifests/{head.manifest.d}", MAX_MANIFEST_BYTES)
            manifest = check_manifest(root, envelope, head, self._identity, self._guard.marks)
            marks = self._guard.marks
            self._guard.put(
                type(marks)(manifest.version, marks.head, marks.head_no, marks.freshness_keys, marks.revoked)
            )
            blobs = await self._blobs(manifest)
            check_shrink(manifest, self.live.manifest if self.live else None)
            previous = self.live.verdict.snapshot if self.live else None
            verdict = await asyncio.to_thread(examine, manifest, blobs, self._opener, previous)
        except BundleRejected:
            self._refused = (head.manifest.d, float("inf"))
            raise
        self._refused = None
        self.fault = None
        self.live = Live(manifest, blobs, verdict, head.manifest.d)
        self._unstored = _Unstored(manifest, envelope, blobs, root.version)
        self._to_store.set()
        self._on_live()

    def _release(self, head: Head) -> None:
        """Forget revocations that the live and persisted manifest knows of by itself."""
        if self.persisted >= head.version and self._guard.marks.revoked != head.revoked:
            self._guard.put(msgspec.structs.replace(self._guard.marks, revoked=tuple(head.revoked)))
            self._on_deny(frozenset(head.revoked))

    async def store(self) -> bool:
        """Wait for something to store, and store the newest; return whether the disk took it.

        A disk that refuses does not keep a bundle from going live, and is reported; what it refused waits on.
        """
        await self._to_store.wait()
        self._to_store.clear()
        bundle, head = self._unstored, self._unstored_head
        try:
            if head is not None:
                await asyncio.to_thread(self._store.put_head, head)
            if bundle is not None:
                await asyncio.to_thread(
                    self._store.persist, bundle.manifest, bundle.envelope, bundle.blobs, bundle.root_version
                )
                self.persisted = bundle.manifest.version
                await asyncio.to_thread(self._store.collect)
        except OSError as fault:
            log.error("bundle_not_stored", reason=fault.strerror)  # noqa: TRY400 -- a full disk needs no stack
            self.fault = BundleRejected("persist_failed", fault.strerror or "the disk refused")
            self._to_store.set()
            return False
        if self._unstored is bundle:
            self._unstored = None
        if self._unstored_head is head:
            self._unstored_head = None
        if self.fault is not None and self.fault.code == "persist_failed":
            self.fault = None
        if self.head is not None:
            self._release(self.head)
        return True

    async def _blobs(self, manifest: Manifest) -> dict[str, bytes]:
        held: dict[str, bytes] = dict(self.live.blobs) if self.live else {}
        indexes = [section.index for section in manifest.sections.values()]
        blobs = await self._fetch(indexes, held)
        refs: list[BlobRef] = []
        for section in manifest.sections.values():
            refs += blob_refs(section, open_blob(section.index, blobs[section.index.d]))
        blobs.update(await self._fetch(refs, held))
        return blobs

    async def _fetch(self, refs: list[BlobRef], held: Mapping[str, bytes]) -> dict[str, bytes]:
        """Return the packed bytes of `refs`: from memory, else from disk, else over the network."""
        slots = asyncio.Semaphore(CONCURRENT_BLOBS)

        async def one(ref: BlobRef) -> tuple[str, bytes]:
            if ref.d in held:
                return ref.d, held[ref.d]
            try:
                return ref.d, self._store.read_blob(ref)
            except (BundleRejected, OSError):
                pass
            async with slots:
                packed = await self._get(f"/blobs/{ref.d}", ref.n)
            open_blob(ref, packed)
            return ref.d, packed

        return dict(await asyncio.gather(*(one(ref) for ref in refs)))
