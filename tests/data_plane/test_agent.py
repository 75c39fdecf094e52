import asyncio
import contextlib
import socket

import msgspec
import pytest

from data_plane import settings
from data_plane.agent import Agent
from data_plane.sync.link import Activate, Activated, Connected, Deny, Gateways, Hello, Link, Shared, Totals
from shared.bundle.model import Manifest
from shared.routing.breaker import BreakerCount
from shared.routing.sticky import StickyChoice
from shared.wire import STOPPED, ReportedVersion
from tests.data_plane import kit
from tests.data_plane.state_kit import INSTANCE, Edge, serving, until, write_bundle, write_identity
from tests.data_plane.sync.control_kit import ControlPlane


class Worker:
    """The far end of the line to a worker; keeps what it is told and confirms what it is given."""

    def __init__(self, link, attached, *, confirms=True):
        self.link, self.attached, self.confirms = link, attached, confirms
        self.told = []
        self._task = asyncio.create_task(self._listen())

    async def _listen(self):
        with contextlib.suppress(EOFError):
            while True:
                message = await self.link.receive()
                self.told.append(message)
                if isinstance(message, Activate) and self.confirms:
                    self.confirm(message)

    def confirm(self, message):
        self.link.send(Activated(*msgspec.json.decode(message.manifest, type=Manifest).version))

    def heard(self, kind):
        return [message for message in self.told if isinstance(message, kind)]

    async def leave(self):
        self.link.close()
        await self._task
        await self.attached


class Setting:
    """An agent with its state folder, its edge and its workers."""

    def __init__(self, agent, edge, control):
        self.agent, self.edge, self.control = agent, edge, control
        self.workers = []

    async def worker(self, **how):
        ours, theirs = socket.socketpair()
        attached = asyncio.create_task(self.agent.attach(await Link.over(ours)))
        made = Worker(await Link.over(theirs), attached, **how)
        self.workers.append(made)
        await until(lambda: made.heard(Connected))
        return made

    def report(self, **wanted):
        """Return the newest report if it says what is wanted."""
        last = self.edge.last
        return last if last and all(getattr(last, name) == value for name, value in wanted.items()) else None


@pytest.fixture
async def start(tmp_path, monkeypatch):
    """Return a function that starts an agent; `stored` is a revision that it finds on its disk."""
    async with contextlib.AsyncExitStack() as stack:

        async def started(stored=None, **sections):
            control = ControlPlane()
            edge = Edge(control)
            monkeypatch.setattr(settings, "EDGE_URL", await stack.enter_async_context(serving(edge)))
            identity = write_identity(tmp_path, control.root_sha256)
            if stored:
                await write_bundle(tmp_path, control, stored, **sections)
            agent = Agent(identity, tmp_path)
            agent.puller.load()
            made = Setting(agent, edge, control)

            async def stop():
                running.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await running
                for worker in made.workers:
                    await worker.leave()
                await agent.close()
                await asyncio.sleep(0)

            stack.push_async_callback(stop)
            running = asyncio.create_task(agent.run())
            return made

        yield started


# what a worker is told


async def test_a_worker_is_told_who_it_is_then_what_it_has_to_know(start):
    made = await start(stored=3)
    worker = await made.worker()
    await until(lambda: worker.heard(Activate))
    hello, deny, connected, activate = worker.told[:4]
    boot = made.agent.keeper.boot
    assert hello == Hello(kit.ORG, kit.GROUP, INSTANCE, {kit.KID: kit.PRIVATE}, boot)
    assert len(boot) == 32
    assert (deny, connected) == (Deny([]), Connected(False))
    assert msgspec.json.decode(activate.manifest, type=Manifest).version == (1, 3)


async def test_a_worker_without_any_configuration_waits_for_one(start):
    made = await start()
    worker = await made.worker()
    assert worker.heard(Activate) == []
    await made.edge.publish(1)
    await until(lambda: worker.heard(Activate))


async def test_a_revocation_and_the_connection_are_told_at_once_and_to_workers_that_come_later(start):
    made = await start(stored=1)
    early = await made.worker()
    await made.edge.publish(2, head={"revoked": ["k:gone", "ws:gone"]})
    await until(lambda: Connected(True) in early.told and Deny(["k:gone", "ws:gone"]) in early.told)
    late = await made.worker()
    assert late.told[1:3] == [Deny(["k:gone", "ws:gone"]), Connected(True)]


async def test_a_lost_control_plane_is_told_once_it_is_noticed(start, monkeypatch):
    monkeypatch.setattr(settings, "MAX_BACKOFF_S", 0.05)
    made = await start(stored=1)
    worker = await made.worker()
    await made.edge.publish(2)
    await until(lambda: Connected(True) in worker.told)
    made.edge.away = True
    await made.edge.publish(3)
    await until(lambda: worker.heard(Connected)[-1] == Connected(False))


async def test_how_many_gateways_there_are_is_told_to_all_workers_and_to_later_ones_before_they_serve(start):
    made = await start(stored=1)
    early = await made.worker()
    made.edge.gateways = 3
    await made.edge.publish(2)
    await until(lambda: Gateways(3) in early.told)
    late = await made.worker()
    assert [type(message) for message in late.told[2:4]] == [Connected, Gateways]
    await until(lambda: late.heard(Activate))
    made.edge.gateways = 30
    made.agent._status_due.set()
    await until(lambda: Gateways(30) in early.told and Gateways(30) in late.told)
    assert early.heard(Gateways) == [Gateways(3), Gateways(30)]


async def test_how_many_gateways_there_are_is_kept_while_the_control_plane_is_away_and_for_the_next_start(
    start, tmp_path
):
    (tmp_path / "gateways").write_text("5")
    made = await start(stored=1)
    assert (await made.worker()).heard(Gateways) == [Gateways(5)]
    made.edge.gateways = 7
    made.agent._status_due.set()
    await until(lambda: (tmp_path / "gateways").read_text() == "7")
    made.edge.away = True
    asked = len(made.edge.asked)
    made.agent._status_due.set()
    await until(lambda: "/status" in made.edge.asked[asked:])
    assert (await made.worker()).heard(Gateways) == [Gateways(7)]


async def test_a_gateway_asks_how_many_there_are_before_it_takes_a_configuration(start):
    made = await start()
    made.edge.gateways = 4
    worker = await made.worker()
    await made.edge.publish(1)
    await until(lambda: worker.heard(Activate))
    assert made.edge.asked[0] == "/status"
    assert [type(message) for message in worker.told if isinstance(message, Gateways | Activate)] == [
        Gateways,
        Activate,
    ]


async def test_a_control_plane_that_does_not_say_how_many_there_are_holds_up_no_configuration(start, monkeypatch):
    monkeypatch.setattr("data_plane.agent.FIRST_ANSWER_S", 0.05)
    made = await start()
    made.edge.holds = True
    worker = await made.worker()
    await made.edge.publish(1)
    await until(lambda: worker.heard(Activate))
    assert worker.heard(Gateways) == []
    made.edge.holds = False


async def test_every_worker_gets_a_new_revision_and_only_what_it_has_not(start):
    made = await start(stored=1)
    workers = [await made.worker(), await made.worker()]
    await made.edge.publish(2, configs=[kit.config("pc-1", {"provider": "@main"})])
    for worker in workers:
        first, second = await until(lambda worker=worker: worker.heard(Activate)[1:] and worker.heard(Activate))
        assert msgspec.json.decode(second.manifest, type=Manifest).version == (1, 2)
        assert second.blobs
        assert not set(second.blobs) & set(first.blobs)


async def test_a_worker_that_leaves_is_no_longer_counted(start):
    made = await start(stored=1)
    first, second = await made.worker(), await made.worker()
    await made.edge.publish(2)
    await until(lambda: made.report(workers=2))
    await first.leave()
    made.workers.remove(first)
    await made.edge.publish(3)
    await until(lambda: made.report(workers=1, state="ACTIVE"))
    assert second.heard(Activate)


# what is reported


async def test_without_a_configuration_the_state_is_starting(start):
    made = await start()
    report = await until(lambda: made.edge.last)
    assert (report.state, report.instance, report.active.seq, report.persisted.seq, report.last_error) == (
        "STARTING",
        INSTANCE,
        0,
        0,
        None,
    )
    assert (report.sealing_kid, report.workers) == (kit.KID, 0)


async def test_the_state_is_active_when_every_worker_says_so(start):
    made = await start(stored=1)
    await made.worker()
    await made.worker()
    await made.edge.publish(2)
    report = await until(lambda: made.report(state="ACTIVE", workers=2, persisted=ReportedVersion(1, 2)))
    assert ((report.active.seq, report.persisted.seq, report.hwm.seq), report.root_version) == ((2, 2, 2), 1)
    assert report.quarantined == ()


async def test_a_worker_that_does_not_confirm_keeps_the_state_from_active(start, monkeypatch):
    monkeypatch.setattr("data_plane.agent.ACK_TIMEOUT_S", 0.05)
    made = await start(stored=1)
    await made.worker()
    slow = await made.worker()
    await until(lambda: slow.heard(Activate))
    slow.confirms = False
    await made.edge.publish(2)
    report = await until(lambda: made.report(state="VERIFIED", persisted=ReportedVersion(1, 2)))
    assert (report.active.seq, report.persisted.seq) == (1, 2)


async def test_a_worker_that_does_not_confirm_holds_up_no_revocation_and_gets_the_newest_bundle_alone(start):
    made = await start(stored=1)
    quick, slow = await made.worker(), await made.worker(confirms=False)
    await until(lambda: slow.heard(Activate))
    for seq in (2, 3):
        await made.edge.publish(seq, head={"revoked": [f"k:{seq}"]})
        await until(lambda seq=seq: len(quick.heard(Activate)) == seq)
    await until(lambda: Deny(["k:2", "k:3"]) in slow.told)
    assert len(slow.heard(Activate)) == 1
    slow.confirm(slow.heard(Activate)[0])
    await until(lambda: len(slow.heard(Activate)) == 2)
    newest = msgspec.json.decode(slow.heard(Activate)[1].manifest, type=Manifest)
    assert newest.version == (1, 3)
    slow.confirm(slow.heard(Activate)[1])
    await until(lambda: made.report(state="ACTIVE", workers=2, persisted=ReportedVersion(1, 3)))


async def test_a_disk_that_refuses_is_reported_and_asked_again(start, monkeypatch):
    monkeypatch.setattr("data_plane.agent.STORE_AGAIN_S", 0.05)
    made = await start(stored=1)
    await made.worker()
    store, persist = made.agent.puller._store, made.agent.puller._store.persist

    def refuse(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "persist", refuse)
    await made.edge.publish(2)
    report = await until(lambda: made.report(active=ReportedVersion(1, 2), persisted=ReportedVersion(1, 1)))
    report = await until(lambda: made.edge.last if made.edge.last.last_error else None)
    assert report.last_error.code == "persist_failed"
    monkeypatch.setattr(store, "persist", persist)
    report = await until(lambda: made.report(persisted=ReportedVersion(1, 2), last_error=None))
    assert report.state == "ACTIVE"


async def test_a_refused_bundle_is_reported_with_its_reason_and_the_old_one_serves(start):
    made = await start(stored=1)
    worker = await made.worker()
    await made.edge.publish(2, raw={"orgs": {kit.ORG: b'{"id":"org-1","name":7}'}})
    report = await until(lambda: made.report(state="REJECTED"))
    assert (report.last_error.code, report.last_error.section) == ("schema_invalid", "orgs")
    assert (report.active.seq, report.persisted.seq) == (1, 1)
    assert len(worker.heard(Activate)) == 1


async def test_a_row_that_does_not_hold_is_reported_and_the_rest_is_used(start):
    made = await start(stored=1)
    await made.worker()
    await made.edge.publish(2, raw={"configs": {f"{kit.WS}/bad": b'{"id":"ws-1/bad"}'}})
    report = await until(lambda: made.report(state="ACTIVE", quarantined=(f"configs/{kit.WS}/bad",)))
    assert report.active.seq == 2


async def test_a_gateway_that_ends_says_so_to_a_control_plane_that_is_there(start):
    made = await start(stored=1)
    await made.edge.publish(2)
    worker = await made.worker()
    await until(lambda: Connected(True) in worker.told)
    await made.agent.close()
    assert STOPPED in [report.state for report in made.edge.reports]


async def test_a_gateway_that_ends_waits_a_bounded_time_for_a_control_plane_that_does_not_answer(start, monkeypatch):
    monkeypatch.setattr("data_plane.agent.FAREWELL_S", 0.05)
    made = await start(stored=1)
    await made.edge.publish(2)
    worker = await made.worker()
    await until(lambda: Connected(True) in worker.told)
    made.edge.holds = True
    await asyncio.wait_for(made.agent.close(), 10)
    made.edge.holds = False


async def test_a_report_holds_no_secret(start):
    made = await start(stored=1)
    await made.worker()
    await made.edge.publish(2)
    report = await until(lambda: made.report(state="ACTIVE"))
    text = msgspec.json.encode(report)
    for secret in (kit.PROVIDER_KEY.encode(), kit.KEY_TEXT.encode(), kit.PRIVATE):
        assert secret not in text


async def test_what_a_worker_dropped_is_counted_also_when_it_is_gone(start):
    made = await start(stored=1)
    first, second = await made.worker(), await made.worker()
    first.link.send(Totals({"queue_full": 2}))
    first.link.send(Totals({"queue_full": 3, "disk": 1}))
    second.link.send(Totals({"queue_full": 10}))
    await first.leave()
    made.workers.remove(first)
    await made.edge.publish(2)
    report = await until(lambda: made.report(workers=1, state="ACTIVE", dropped={"queue_full": 13, "disk": 1}))
    third = await made.worker()
    third.link.send(Totals({"queue_full": 1}))
    await made.edge.publish(3)
    assert report.workers == 1
    await until(lambda: made.report(workers=2, dropped={"queue_full": 14, "disk": 1}))


async def test_a_message_that_no_worker_sends_is_passed_over(start):
    made = await start(stored=1)
    worker = await made.worker()
    worker.link.send(Deny(["k:x"]))
    worker.link.send(Totals({"queue_full": 1}))
    await made.edge.publish(2)
    await until(lambda: made.report(dropped={"queue_full": 1}))


async def test_draining_ends_at_its_bound_and_at_once_when_nobody_takes_records(start):
    made = await start(stored=1)
    async with asyncio.timeout(5):
        await made.agent.drain(3600.0)


# what workers tell each other

TOLD = Shared([BreakerCount("b", 0, 2, 30_000, 2, None, 5, True)], [StickyChoice("k", "config.targets[0]", 5.0)])


async def test_what_a_worker_counted_is_told_to_all_others_and_never_back(start):
    made = await start(stored=1)
    first, second, third = await made.worker(), await made.worker(), await made.worker()
    first.link.send(TOLD)
    await until(lambda: second.heard(Shared) and third.heard(Shared))
    second.link.send(Totals({}))
    second.link.send(TOLD)
    await until(lambda: first.heard(Shared) and len(third.heard(Shared)) == 2)
    assert (first.heard(Shared), second.heard(Shared)) == ([TOLD], [TOLD])


async def test_a_worker_that_dies_takes_nothing_from_the_others(start):
    made = await start(stored=1)
    first, second, third = await made.worker(), await made.worker(), await made.worker()
    second.link._writer.transport.abort()
    for _ in range(20):
        first.link.send(TOLD)
    await until(lambda: len(third.heard(Shared)) == 20)
    third.link.send(TOLD)
    await until(lambda: first.heard(Shared))


async def test_a_worker_that_leaves_shares_no_budget_any_more(start):
    made = await start(stored=1)
    first, _ = await made.worker(), await made.worker()
    assert made.agent.keeper.leases.workers == 2
    await first.leave()
    assert made.agent.keeper.leases.workers == 1


async def test_a_worker_that_hangs_is_not_fed_without_end(start, monkeypatch):
    monkeypatch.setattr("data_plane.sync.link.MAX_WAITING_BYTES", 1_000_000)
    made = await start(stored=1)
    first, second = await made.worker(), await made.worker()
    ours, theirs = socket.socketpair()
    attached = asyncio.create_task(made.agent.attach(await Link.over(ours)))
    hung = await Link.over(theirs)
    await until(lambda: len(made.agent._lines) == 3)
    large = Shared([], [StickyChoice("k" * 1_000_000, "config", 1.0)])
    for number in range(1, 21):
        first.link.send(large)
        await until(lambda number=number: len(second.heard(Shared)) == number)
    assert made.agent._lines[2].link._writer.transport.get_write_buffer_size() < 3_000_000
    hung.close()
    await attached
