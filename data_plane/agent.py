"""The agent: everything of a gateway that is not a request.  One for each host, parent of the workers.

Pulls, verifies and stores configuration, hands it to the workers, carries records away, reports status.  Nothing that
happens to it or to the control plane stops the workers from serving.
"""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
import structlog

from data_plane import settings
from data_plane.limits.keeper import LeaseKeeper
from data_plane.limits.slices import Granted, Refused
from data_plane.recorder.backlog import enforce_cap, live_streams, spool_state
from data_plane.recorder.payloads import PayloadStore
from data_plane.recorder.upload import Uploader
from data_plane.sync.enrol import GatewayIdentity
from data_plane.sync.fleet import Fleet
from data_plane.sync.guard import Guard
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
from data_plane.sync.poller import Poller
from data_plane.sync.pull import Puller
from data_plane.sync.secrets import SecretOpener
from data_plane.sync.store import BundleStore
from data_plane.upstream.control import ControlClient, ControlUnreachable, Speaker
from shared import wire
from shared.version import VERSION

ACK_TIMEOUT_S: Final = 5.0
STORE_AGAIN_S: Final = 10.0
STATUS_EVERY_S: Final = 60.0
REPORT_TOGETHER_S: Final = 0.05
SWEEP_EVERY_S: Final = 5.0
DRAIN_LOOK_S: Final = 0.05
#: A new gateway waits so long to learn how many there are, before it takes a configuration and serves.
FIRST_ANSWER_S: Final = 5.0
FAREWELL_S: Final = 2.0

log = structlog.get_logger(module=__name__)


class WorkerLine:
    """The agent's end of the line to one worker, and what that worker has."""

    def __init__(self, link: Link, number: int) -> None:
        self.link = link
        self.number = number
        self.sent: frozenset[str] = frozenset()
        self.version: tuple[int, int] = (0, 0)
        self.given: tuple[int, int] = (0, 0)
        self.dropped: dict[str, int] = {}


class Agent:
    """Runs the background work of one gateway."""

    def __init__(self, identity: GatewayIdentity, state: Path) -> None:
        self._identity = identity
        self._state = state
        self._boot_id = uuid.uuid4().hex
        self._lines: list[WorkerLine] = []
        self._attached = 0
        self._gone_drops: dict[str, int] = {}
        self._acked = asyncio.Condition()
        self._has_new = asyncio.Event()
        self._connected = False
        self._stale = False
        self._denied: frozenset[str] = frozenset()
        self._status_due = asyncio.Event()
        self._has_reported = asyncio.Event()
        self._fleet = Fleet(state / "gateways")
        who = identity.identity
        self._client = ControlClient(settings.EDGE_URL, Speaker(who.group, identity.instance, identity.signing_key))
        self.puller = Puller(
            store=BundleStore(state / "bundles"),
            guard=Guard(state / "guard.bin"),
            identity=who,
            root_sha256=identity.root_sha256,
            opener=SecretOpener(who, identity.sealing_keys),
            client=self._client,
            on_deny=self._deny,
            on_live=self._went_live,
        )
        self._poller = Poller(
            self._client, self.puller, who.group, on_rejected=self._status_due.set, on_connected=self._set_connected,
            max_backoff_s=settings.MAX_BACKOFF_S,
        )  # fmt: skip
        self._uploader = Uploader(self._client, state / "spool", max_backoff_s=settings.MAX_BACKOFF_S)
        self._earlier = frozenset(live_streams(state / "spool"))
        self.keeper = LeaseKeeper(
            self._client, identity.instance, self._boot_id, reply=self._reply, recall=self._recall,
            is_drained=lambda: self._earlier.isdisjoint(live_streams(state / "spool")),
        )  # fmt: skip

    # workers

    async def attach(self, link: Link) -> None:
        """Give a new worker all it needs, then listen to it until it is gone."""
        self._attached += 1
        line = WorkerLine(link, self._attached)
        who = self._identity
        link.send(Hello(who.identity.org, who.identity.group, who.instance, who.sealing_keys, self._boot_id))
        link.send(Deny(sorted(self._denied)))
        link.send(Connected(self._connected))
        if self._fleet.count:
            link.send(Gateways(self._fleet.count))
        self._lines.append(line)
        self.keeper.leases.workers = len(self._lines)
        self._bring_up_to_date(line)
        try:
            await self._listen(line)
        finally:
            self._lines.remove(line)
            self.keeper.leases.workers = len(self._lines)
            self.keeper.leases.gone(line.number)
            for reason, count in line.dropped.items():
                self._gone_drops[reason] = self._gone_drops.get(reason, 0) + count
            link.close()

    async def _listen(self, line: WorkerLine) -> None:
        while True:
            try:
                message = await line.link.receive()
            except EOFError:
                return
            match message:
                case Activated():
                    async with self._acked:
                        line.version = (message.epoch, message.seq)
                        self._acked.notify_all()
                    self._bring_up_to_date(line)
                    if self.puller.live is not None and self._active() >= self.puller.live.manifest.version:
                        # Also when it took longer than anybody waited for.
                        self._status_due.set()
                case Totals():
                    line.dropped = message.dropped
                case Shared():
                    for other in self._lines:
                        if other is not line:
                            # What a worker that hangs does not hear, it counts by itself.
                            other.link.offer(message)
                case BudgetNews():
                    self.keeper.heard(line.number, message.draws, message.spent, message.returned)
                case _:
                    log.warning("message_unexpected", kind=type(message).__name__)

    def _reply(self, number: int, granted: list[Granted], refused: list[Refused]) -> None:
        for line in self._lines:
            if line.number == number:
                line.link.send(BudgetReplies(granted, refused))

    def _recall(self, keys: list[str]) -> None:
        for line in self._lines:
            line.link.send(BudgetReplies(recalled=keys))

    def _bring_up_to_date(self, line: WorkerLine) -> None:
        """Hand the live bundle to a worker; one that still works on an earlier one gets it when it has confirmed."""
        live = self.puller.live
        if live is None or line.version >= live.manifest.version or line.given > line.version:
            return
        line.given = live.manifest.version
        blobs = {digest: blob for digest, blob in live.blobs.items() if digest not in line.sent}
        line.sent = frozenset(live.blobs)
        line.link.send(Activate(msgspec.json.encode(live.manifest), blobs))

    def _tell_all(self, message: Deny | Connected | Gateways) -> None:
        for line in self._lines:
            line.link.send(message)

    def _deny(self, ids: frozenset[str]) -> None:
        if ids != self._denied:
            self._denied = ids
            self._tell_all(Deny(sorted(ids)))
            self._status_due.set()

    def _set_connected(self, on: bool) -> None:  # noqa: FBT001 -- the poller's callback
        if on != self._connected:
            self._connected = on
            self._tell_all(Connected(on))

    def _went_live(self) -> None:
        """Hand the live bundle to every worker.  Nothing waits for them here: revocations come by the next poll."""
        for line in self._lines:
            self._bring_up_to_date(line)
        self._has_new.set()

    async def _confirm(self) -> None:
        """Wait for a bundle, then a bounded time until all workers use it, and report that."""
        await self._has_new.wait()
        self._has_new.clear()
        live = self.puller.live
        if live is not None:
            try:
                async with asyncio.timeout(ACK_TIMEOUT_S), self._acked:
                    await self._acked.wait_for(lambda: self._active() >= live.manifest.version)
            except TimeoutError:
                log.warning("activation_unconfirmed", seq=live.manifest.seq)
            else:
                log.info("bundle_active", seq=live.manifest.seq, quarantined=len(live.verdict.quarantined))
        self._status_due.set()

    def _active(self) -> tuple[int, int]:
        return min((line.version for line in self._lines), default=(0, 0))

    # background

    async def run(self) -> None:
        """Do the background work until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._poll())
            tasks.create_task(self._forever(self._store, 0.0))
            tasks.create_task(self._uploader.run())
            tasks.create_task(self.keeper.run())
            tasks.create_task(self._forever(self._report, 0.0))
            tasks.create_task(self._forever(self._confirm, 0.0))
            tasks.create_task(self._forever(self._sweep, SWEEP_EVERY_S))

    async def _poll(self) -> None:
        if not self._fleet.count:
            # Whoever does not know how many gateways there are would take the whole of every limit for itself.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FIRST_ANSWER_S):
                    await self._has_reported.wait()
        await self._poller.run()

    async def _forever(self, step: Callable[[], Awaitable[None]], pause_s: float) -> None:
        while True:
            try:
                await step()
            except ControlUnreachable:
                await asyncio.sleep(5.0)
            except Exception:  # background work is an edge: one failure must not end it
                log.exception("background_failed", step=getattr(step, "__name__", ""))
                await asyncio.sleep(1.0)
            await asyncio.sleep(pause_s)

    async def _store(self) -> None:
        is_stored = await self.puller.store()
        self._status_due.set()
        if not is_stored:
            await asyncio.sleep(STORE_AGAIN_S)

    async def _sweep(self) -> None:
        await asyncio.to_thread(self._sweep_disk)
        if self.puller.is_stale() != self._stale:
            self._stale = not self._stale
            log.warning("configuration_stale" if self._stale else "configuration_fresh_again")
            self._status_due.set()

    def _sweep_disk(self) -> None:
        spool = self._state / "spool"
        lost = enforce_cap(spool / "usage", settings.SPOOL_MAX_BYTES)
        lost_bodies = enforce_cap(spool / "payload", settings.PAYLOAD_SPOOL_MAX_BYTES)
        for kind, count in (("usage_segments", lost), ("payload_segments", lost_bodies)):
            if count:
                self._gone_drops[kind] = self._gone_drops.get(kind, 0) + count
                log.error("spool_over_cap", kind=kind, segments=count)
        PayloadStore(self._state / "payloads").sweep(settings.PAYLOAD_KEEP_DAYS, datetime.now(UTC))

    async def _report(self) -> None:
        """Send a status report, then wait for a reason to send the next."""
        self._status_due.clear()
        try:
            await self._send_status(self._state_name())
        finally:
            self._has_reported.set()
        try:
            async with asyncio.timeout(STATUS_EVERY_S):
                await self._status_due.wait()
        except TimeoutError:
            return
        # A new bundle is live, used by all and stored within a moment: one report tells of all three.
        await asyncio.sleep(REPORT_TOGETHER_S)

    async def _send_status(self, state: str) -> None:
        body = msgspec.json.encode(await asyncio.to_thread(self._status, state))
        try:
            answer = await self._client.call(
                "POST", f"{wire.DP_PREFIX}/status", body=body, headers={"content-type": "application/json"}
            )
            told = msgspec.json.decode(answer.body, type=wire.StatusAnswer) if answer.status == 200 else None
        except msgspec.DecodeError:
            told = None
        except ControlUnreachable:
            self._fleet.unheard()
            raise
        if told is None:
            self._fleet.unheard()
        elif self._fleet.told(told.gateways):
            self._tell_all(Gateways(self._fleet.count))
            await asyncio.to_thread(self._fleet.store)

    def _dropped(self) -> dict[str, int]:
        total = dict(self._gone_drops)
        for line in self._lines:
            for reason, count in line.dropped.items():
                total[reason] = total.get(reason, 0) + count
        if self._uploader.quarantined:
            total["refused"] = self._uploader.quarantined
        return total

    def _status(self, state: str) -> wire.StatusReport:
        puller, fault = self.puller, self.puller.fault
        spooled, oldest_s = spool_state(self._state / "spool", time.time())
        marks = puller.marks
        return wire.StatusReport(
            instance=self._identity.instance,
            boot_id=self._boot_id,
            state=state,
            version=VERSION,
            address=f"{settings.GATEWAY_HOST}:{settings.GATEWAY_PORT}",
            workers=len(self._lines),
            active=wire.ReportedVersion(*self._active()),
            persisted=wire.ReportedVersion(*puller.persisted),
            hwm=wire.ReportedVersion(*max(marks.manifest, marks.head)),
            root_version=puller.roots[-1].version if puller.roots else 0,
            sealing_kid=next(iter(self._identity.sealing_keys), ""),
            head_age_s=None if (age_s := puller.head_age_s()) is None else round(age_s, 1),
            stale=puller.is_stale(),
            last_error=wire.StatusFault(fault.code, fault.detail[:512], fault.section, fault.item) if fault else None,
            quarantined=puller.live.verdict.quarantined if puller.live else (),
            spool_bytes=spooled,
            spool_oldest_s=round(oldest_s, 1),
            dropped=self._dropped(),
            clock_offset_ms=int(self._client.offset_s * 1000),
        )

    def _state_name(self) -> str:
        fault, live = self.puller.fault, self.puller.live
        if fault is not None and fault.code != "persist_failed":
            return "REJECTED"
        if live is None:
            return "STARTING"
        return "ACTIVE" if self._active() >= live.manifest.version else "VERIFIED"

    async def drain(self, timeout_s: float) -> None:
        """Wait until every record is carried away, or until it takes too long or nobody takes them."""
        try:
            async with asyncio.timeout(timeout_s if self._connected else 0.0):
                # The spool is files that other processes write: there is nothing to be notified by.
                while await asyncio.to_thread(live_streams, self._state / "spool"):  # noqa: ASYNC110 -- see above
                    await asyncio.sleep(DRAIN_LOOK_S)
        except TimeoutError:
            log.info("spool_kept", reason="not carried away before the end")

    async def hand_back(self) -> None:
        """Tell what was spent of budgets and give the rest to others; where nobody listens, it stays set aside."""
        try:
            is_shipped = not await asyncio.to_thread(live_streams, self._state / "spool")
            await self.keeper.end(is_shipped=is_shipped)
        except ControlUnreachable as fault:
            log.warning("leases_not_handed_back", reason=str(fault))

    async def close(self) -> None:
        """Say that this gateway has stopped, to a control plane that is there, and hang up."""
        if self._connected:
            with contextlib.suppress(ControlUnreachable, TimeoutError):
                async with asyncio.timeout(FAREWELL_S):
                    await self._send_status(wire.STOPPED)
            self._connected = False
        await self._client.close()
