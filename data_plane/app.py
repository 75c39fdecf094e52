"""The composition root of a worker: builds what requests need, keeps it fed by the agent, closes it at the end."""

import asyncio
import contextlib
from pathlib import Path

import msgspec
import structlog
from aiohttp import web

from data_plane import settings
from data_plane.batches.store import BatchStore
from data_plane.core.duplex import SessionLimits
from data_plane.core.identity import OwnIdentity
from data_plane.http.keys import BATCHES, DEPS, METRICS, PAYLOADS, RELAY
from data_plane.http.metrics import Metrics
from data_plane.http.routes import add_routes
from data_plane.limits.admission import Admission
from data_plane.limits.budgets import Budgets
from data_plane.limits.shared_counters import SharedCounters
from data_plane.limits.slices import Draw
from data_plane.pipeline.deps import Deps
from data_plane.pipeline.plans import PlanMemo
from data_plane.pipeline.resolve import Rules
from data_plane.pipeline.session import Session
from data_plane.providers.registry import load_providers
from data_plane.recorder.payloads import PayloadStore
from data_plane.recorder.recorder import Recorder
from data_plane.recorder.spool import SpoolWriter
from data_plane.sync.link import (
    Activate,
    Activated,
    BudgetNews,
    BudgetReplies,
    Connected,
    Deny,
    Gateways,
    Hello,
    Link,
    Shared,
    Totals,
)
from data_plane.sync.secrets import SecretOpener
from data_plane.sync.snapshot import Holder, build_snapshot
from data_plane.sync.tables import blob_refs
from data_plane.upstream.admin import AdminRelay
from data_plane.upstream.client import UpstreamClient
from data_plane.upstream.identity.identities import make_identities
from data_plane.upstream.sockets import Sockets
from data_plane.upstream.tokens import Tokens
from shared.bundle.codec import open_blob
from shared.bundle.model import Identity, Manifest

USAGE_SEGMENT_BYTES = 8 * 1024 * 1024
PAYLOAD_SEGMENT_BYTES = 32 * 1024 * 1024
REPORT_EVERY_S = 2.0
SHARE_EVERY_S = 0.05

log = structlog.get_logger(module=__name__)


def build_app(
    deps: Deps,
    payloads: PayloadStore,
    metrics: Metrics,
    max_body_bytes: int,
    *,
    batches: BatchStore | None = None,
    relay: AdminRelay | None = None,
) -> web.Application:
    """Return the application around `deps`; without `batches` it keeps no files and runs no batches of its own."""
    app = web.Application(client_max_size=max_body_bytes)
    app[DEPS] = deps
    app[METRICS] = metrics
    app[PAYLOADS] = payloads
    if batches is not None:
        app[BATCHES] = batches
    if relay is not None:
        app[RELAY] = relay
    add_routes(app)
    return app


def make_recorder(state: Path, payloads: PayloadStore) -> Recorder:
    """Return the recorder of this process, with spool streams of its own."""
    return Recorder(
        SpoolWriter(state / "spool" / "usage", segment_bytes=USAGE_SEGMENT_BYTES),
        SpoolWriter(state / "spool" / "payload", segment_bytes=PAYLOAD_SEGMENT_BYTES),
        payloads.put,
    )


class Worker:
    """One worker process: what the agent says arrives here."""

    def __init__(self, link: Link, hello: Hello, state: Path) -> None:
        self._link = link
        self._identity = Identity(hello.org, hello.group)
        self._opener = SecretOpener(self._identity, hello.sealing_keys)
        self._blobs: dict[str, bytes] = {}
        payloads = PayloadStore(state / "payloads")
        client = UpstreamClient(settings.TRUSTED_CUSTOM_HOSTS)
        self.deps = Deps(
            holder=Holder(),
            providers=load_providers(),
            client=client,
            tokens=Tokens(client),
            identities=make_identities(
                client,
                settings.CLOUD_VARIABLES,
                allowed=OwnIdentity(settings.CLOUD_IDENTITY),
                folders=settings.CLOUD_TOKEN_FOLDERS,
                trusted_hosts=settings.TRUSTED_CUSTOM_HOSTS,
            ),
            recorder=make_recorder(state, payloads),
            trusted_hosts=settings.TRUSTED_CUSTOM_HOSTS,
            gateway=hello.instance,
            propagation_wait_s=settings.PROPAGATION_WAIT_S,
            memo=PlanMemo(settings.TRUSTED_CUSTOM_HOSTS),
            rules=Rules(settings.METADATA_HEADERS, settings.BLOCK_INLINE),
            jitter=settings.RETRY_JITTER,
            admission=Admission(
                SharedCounters(settings.REDIS_URL) if settings.REDIS_URL else None, gateways=settings.GATEWAYS
            ),
            budgets=Budgets(self._draw),
            boot=hello.boot,
            propagates=settings.PROPAGATES,
            proxies=settings.TRUSTED_PROXIES,
            max_upload_bytes=settings.MAX_UPLOAD_BYTES,
            sockets=Sockets(
                settings.TRUSTED_CUSTOM_HOSTS,
                most=settings.REALTIME_SESSIONS,
                max_message_bytes=settings.REALTIME_MAX_MESSAGE_BYTES,
            ),
            session_limits=SessionLimits(
                settings.REALTIME_MAX_MESSAGE_BYTES, settings.REALTIME_IDLE_S, settings.REALTIME_LONGEST_S
            ),
        )
        self._metrics = Metrics()
        self.batches = BatchStore(settings.BATCH_DIR, settings.BATCH_MAX_BYTES) if settings.BATCH_CONCURRENCY else None
        self._relay = AdminRelay(settings.ADMIN_URL) if settings.ADMIN_URL else None
        self.app = build_app(
            self.deps, payloads, self._metrics, settings.MAX_BODY_BYTES, batches=self.batches, relay=self._relay
        )

    def _activate(self, message: Activate) -> None:
        holder = self.deps.holder
        manifest = msgspec.json.decode(message.manifest, type=Manifest)
        self._blobs.update(message.blobs)
        snapshot = build_snapshot(manifest, self._blobs, self._opener, holder.current)
        self._forget_blobs(manifest)
        holder.swap(snapshot)
        self._link.send(Activated(*manifest.version))
        for session in self._sessions():
            if session.is_orphan(snapshot):
                session.refuse()

    def _forget_blobs(self, manifest: Manifest) -> None:
        """Keep what the active manifest consists of: the agent sends only what it did not send for that one."""
        needed: set[str] = set()
        for section in manifest.sections.values():
            needed.add(section.index.d)
            needed.update(ref.d for ref in blob_refs(section, open_blob(section.index, self._blobs[section.index.d])))
        self._blobs = {digest: blob for digest, blob in self._blobs.items() if digest in needed}

    def _deny(self, ids: list[str]) -> None:
        holder = self.deps.holder
        holder.deny(frozenset(ids))
        for relay in list(self.deps.streams):
            if relay.is_denied(holder.denied):
                relay.refuse()

    def _sessions(self) -> list[Session]:
        return [relay for relay in self.deps.streams if isinstance(relay, Session)]

    async def drain(self) -> None:
        """End the realtime sessions, which do not end by themselves, when the time of running requests is over."""
        await asyncio.sleep(settings.SHUTDOWN_S)
        for session in self._sessions():
            session.drain()

    async def listen(self) -> None:
        """Follow the agent until it hangs up."""
        while True:
            try:
                message = await self._link.receive()
            except EOFError:
                return
            match message:
                case Activate():
                    self._activate(message)
                case Deny():
                    self._deny(message.ids)
                case Connected():
                    self.deps.holder.connected = message.on
                case Gateways():
                    self.deps.admission.share_among(message.count)
                case BudgetReplies():
                    self._take_budgets(message)
                case Shared():
                    self.deps.breakers.absorb(message.breakers)
                    self.deps.sticky.absorb(message.sticky)
                    self.deps.admission.counters.absorb(message.rates)
                case _:
                    log.warning("message_unexpected", kind=type(message).__name__)

    def _draw(self, draws: list[Draw]) -> None:
        self._link.send(BudgetNews(draws, self.deps.budgets.take_spent()))

    def _tell_spent(self) -> None:
        spent = self.deps.budgets.take_spent()
        if spent:
            self._link.send(BudgetNews([], spent))

    def _hand_back(self) -> None:
        spent, returned = self.deps.budgets.take_spent(), self.deps.budgets.hand_back()
        if spent or returned:
            self._link.send(BudgetNews([], spent, returned))

    def _take_budgets(self, message: BudgetReplies) -> None:
        budgets = self.deps.budgets
        budgets.absorb([*message.granted, *message.refused])
        if message.recalled:
            # What was spent is told before what is handed back, so that nothing seems free that is spent.
            spent = budgets.take_spent()
            self._link.send(BudgetNews([], spent, budgets.recall(message.recalled)))

    async def report(self) -> None:
        """Share this worker's counts with the others, and tell the agent what was dropped, now and then."""
        while True:
            await asyncio.sleep(REPORT_EVERY_S)
            self._metrics.flush()
            self._metrics.routing(self.deps.breakers, self.deps.sticky)
            self._metrics.rates(self.deps.admission)
            self._metrics.budgets(self.deps.budgets)
            self._metrics.sessions.set(self.deps.sockets.open_count)
            self._link.send(Totals(self.deps.recorder.totals()))

    async def share(self) -> None:
        """Tell the other workers what breakers counted and what was chosen for keeps, as soon as there is some."""
        while True:
            await asyncio.sleep(SHARE_EVERY_S)
            if self._link.is_behind():
                # What was counted waits where it is bounded.
                continue
            counts, choices = self.deps.breakers.take_untold(), self.deps.sticky.take_untold()
            rates = self.deps.admission.counters.take_untold()
            if counts or choices or rates:
                self._link.send(Shared(counts, choices, rates))
            self._tell_spent()
            await self.deps.admission.flush()

    async def close(self) -> None:
        """Write out the records and close every connection."""
        with contextlib.suppress(ConnectionError):
            self._hand_back()
            self._link.send(Totals(self.deps.recorder.totals()))
        await asyncio.to_thread(self.deps.recorder.close)
        await self.deps.identities.close()
        await self.deps.sockets.close()
        await self.deps.admission.close()
        await self.deps.client.close()
        if self._relay is not None:
            await self._relay.close()
