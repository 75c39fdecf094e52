import asyncio
import contextlib
import socket
import time

import msgspec
import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer
from prometheus_client import Gauge

from data_plane import settings
from data_plane.app import Worker
from data_plane.core.budget import Want
from data_plane.core.job import Principal
from data_plane.limits.slices import Granted, Returned, Spent
from data_plane.sync.link import Activate, Activated, BudgetNews, Connected, Deny, Gateways, Hello, Link, Shared, Totals
from shared.routing.breaker import BreakerCount
from shared.routing.sticky import StickyChoice
from shared.schema.log_record import LogRecord
from shared.schema.rows import OrgRow, WorkspaceRow
from shared.schema.strategy import BreakerPolicy
from tests.data_plane import kit
from tests.data_plane.state_kit import until

HELLO = Hello(kit.ORG, kit.GROUP, "gw-test-0001", {kit.KID: kit.PRIVATE})


@pytest.fixture
async def pair(tmp_path, monkeypatch):
    """Return (worker, the agent's end of its line)."""
    monkeypatch.setattr("data_plane.app.Metrics", Counts)
    monkeypatch.setattr(settings, "TRUSTED_CUSTOM_HOSTS", frozenset({"127.0.0.1"}))
    ours, theirs = socket.socketpair()
    agent = await Link.over(ours)
    line = await Link.over(theirs)
    worker = Worker(line, HELLO, tmp_path)
    worker.deps.recorder.start()
    yield worker, agent
    agent.close()
    line.close()
    await asyncio.sleep(0)


@pytest.fixture
async def line(pair):
    """The pair, with the worker listening; closed at the end."""
    worker, agent = pair
    listening = asyncio.create_task(worker.listen())
    yield pair
    agent.close()
    await asyncio.wait_for(listening, 5)
    await worker.close()


class Counts:
    """Stands where the metrics are, which only one worker of a process may have."""

    flushed = 0
    sessions = Gauge("sessions_of_a_test", "Stands where the gauge stands.", registry=None)

    def flush(self):
        self.flushed += 1

    def routing(self, breakers, sticky):
        self.open = breakers.open_count()

    def rates(self, admission):
        self.refused = dict(admission.refused)

    def budgets(self, budgets):
        self.exceeded = dict(budgets.refused)


def activation(seq, known=frozenset(), **sections):
    """Return the message for a revision, without the blobs that are known; and all its blobs."""
    manifest, blobs = kit.bundle(seq, **sections)
    sent = {digest: blob for digest, blob in blobs.items() if digest not in known}
    return Activate(msgspec.json.encode(manifest), sent), frozenset(blobs)


async def confirmed(agent):
    return await asyncio.wait_for(agent.receive(), 5)


async def test_an_activated_revision_is_in_use_before_it_is_confirmed(line):
    worker, agent = line
    assert worker.deps.holder.current is None
    agent.send(activation(4)[0])
    assert await confirmed(agent) == Activated(1, 4)
    snapshot = worker.deps.holder.current
    assert snapshot.name == "1.4"
    assert snapshot.opener.open(kit.SEALED).key.reveal() == kit.PROVIDER_KEY


async def test_a_worker_keeps_what_it_was_sent_for_the_active_revision(line):
    worker, agent = line
    first, known = activation(1)
    agent.send(first)
    await confirmed(agent)
    for seq in (2, 3):
        message, known = activation(seq, known, configs=[kit.config(f"pc-{seq}", {"provider": "@main"})])
        agent.send(message)
        assert await confirmed(agent) == Activated(1, seq)
    assert worker.deps.holder.current.plan(kit.WS, "pc-3") is not None
    assert worker.deps.holder.current.plan(kit.WS, "pc-2") is None


async def test_revocations_and_the_connection_reach_the_requests(line):
    worker, agent = line
    agent.send(Deny(["k:a", "ws:b"]))
    agent.send(Connected(True))
    await until(lambda: worker.deps.holder.connected)
    assert worker.deps.holder.denied == {"k:a", "ws:b"}
    agent.send(Deny([]))
    agent.send(Connected(False))
    await until(lambda: not worker.deps.holder.connected)
    assert worker.deps.holder.denied == frozenset()


async def test_how_many_gateways_share_the_limits_reaches_the_requests(line):
    worker, agent = line
    assert worker.deps.admission.gateways == settings.GATEWAYS
    agent.send(Gateways(30))
    await until(lambda: worker.deps.admission.gateways == 30)


class Stream:
    """Stands where a running stream stands."""

    def __init__(self, key_id):
        self.principal = Principal(
            kit.api_key(id=key_id), OrgRow(kit.ORG, "Demo"), WorkspaceRow(kit.WS, kit.ORG, "ws", "W")
        )
        self.refused = False

    def is_denied(self, denied):
        return not denied.isdisjoint(self.principal.denial_ids())

    def refuse(self):
        self.refused = True


async def test_running_streams_of_who_was_revoked_are_ended_and_no_others(line):
    worker, agent = line
    hit, missed = Stream("a"), Stream("b")
    worker.deps.streams.update({hit, missed})
    agent.send(Deny(["k:a"]))
    await until(lambda: hit.refused)
    assert not missed.refused


async def test_a_message_that_no_agent_sends_is_passed_over(line):
    worker, agent = line
    agent.send(Totals({"a": 1}))
    agent.send(Connected(True))
    await until(lambda: worker.deps.holder.connected)


async def test_listening_ends_when_the_agent_is_gone(pair):
    worker, agent = pair
    agent.close()
    await asyncio.wait_for(worker.listen(), 5)
    await worker.close()


async def test_what_was_dropped_is_told_now_and_then(line, monkeypatch):
    worker, agent = line
    monkeypatch.setattr("data_plane.app.REPORT_EVERY_S", 0.01)
    worker.deps.recorder.dropped["queue_full"] = 2
    reporting = asyncio.create_task(worker.report())
    assert await confirmed(agent) == Totals({"queue_full": 2})
    assert worker._metrics.flushed >= 1
    reporting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await reporting


async def test_a_worker_writes_its_records_below_the_state_folder_before_it_ends(pair, tmp_path):
    worker, agent = pair
    worker.deps.recorder.record(LogRecord("id-1", 1, kit.ORG, kit.WS, "chat", 200), {"id": "id-1", "request": b"{}"})
    await worker.close()
    folders = {
        path.parent.parent.name
        for path in (tmp_path / "spool").rglob("*")
        if path.is_file() and path.stat().st_size > 40
    }
    assert folders == {"usage", "payload"}
    assert await confirmed(agent) == Totals({})
    agent.close()


async def test_a_worker_hands_back_what_it_holds_of_budgets_before_it_ends(pair):
    worker, agent = pair
    budgets = worker.deps.budgets
    budgets.absorb([Granted("b", "b", 1, 30, 0)])
    budgets.settle(await budgets.reserve([Want("b", "tokens", 10, "api_key", of_caller=True)], str), [4])
    await worker.close()
    assert await confirmed(agent) == BudgetNews([], [Spent("b", 1, 4)], [Returned("b", 1, 26, is_closed=True)])
    agent.close()


async def test_the_application_answers_health_and_knows_no_other_path(line):
    worker, _ = line
    server = TestServer(worker.app)
    await server.start_server()
    async with ClientSession() as session:
        for path, status in (("/livez", 200), ("/readyz", 503), ("/v1/health", 200), ("/nope", 404)):
            async with session.get(server.make_url(path)) as response:
                assert (path, response.status) == (path, status)
    await server.close()


# what workers tell each other

POLICY = BreakerPolicy(cooldown_ms=30_000, failures=2)


@pytest.fixture
async def sharing(line, monkeypatch):
    """The line, with the worker telling what it counted."""
    monkeypatch.setattr("data_plane.app.SHARE_EVERY_S", 0.005)
    task = asyncio.create_task(line[0].share())
    yield line
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_what_was_counted_and_chosen_is_told_once(sharing):
    worker, agent = sharing
    worker.deps.breakers.note("b-1", POLICY, 503)
    worker.deps.sticky.remember("k-1", "config.targets[1]", 60)
    told = await confirmed(agent)
    assert ([count.id for count in told.breakers], [choice.key for choice in told.sticky]) == (["b-1"], ["k-1"])
    worker.deps.breakers.note("b-2", POLICY, 503)
    assert [count.id for count in (await confirmed(agent)).breakers] == ["b-2"]


async def test_what_another_worker_told_counts_here_and_is_not_told_on(sharing):
    worker, agent = sharing
    agent.send(
        Shared(
            [BreakerCount("b-1", 0, 2, 30_000, 2, None, 5, True)],
            [StickyChoice("k-1", "config.targets[0]", time.time() + 60)],
        )
    )
    await until(lambda: worker.deps.breakers.is_open("b-1") and worker.deps.sticky.recall("k-1"))
    worker.deps.breakers.note("b-2", POLICY, 503)
    told = await confirmed(agent)
    assert ([count.id for count in told.breakers], told.sticky) == (["b-2"], [])


async def test_what_was_counted_waits_here_while_the_agent_does_not_listen(pair, monkeypatch):
    worker, agent = pair
    monkeypatch.setattr("data_plane.app.SHARE_EVERY_S", 0.0)
    monkeypatch.setattr("data_plane.sync.link.MAX_WAITING_BYTES", 100_000)
    filling = Shared([], [StickyChoice("k" * 2_000_000, "config", 1.0)])
    worker._link.send(filling)
    assert worker._link.is_behind()
    task = asyncio.create_task(worker.share())
    for name in ("b-1", "b-2"):
        worker.deps.breakers.note(name, POLICY, 503)
        for _ in range(20):
            await asyncio.sleep(0)
    assert await confirmed(agent) == filling
    assert [count.id for count in (await confirmed(agent)).breakers] == ["b-1", "b-2"]
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await worker.close()
