import asyncio

import pytest

from data_plane.sync.poller import Poller
from data_plane.upstream.control import ControlAnswer, ControlUnreachable
from shared.bundle.model import BundleRejected


class Client:
    """Answers polls from a list; an exception in it is raised."""

    def __init__(self, answers):
        self.answers, self.paths = list(answers), []
        self.drained = asyncio.Event()

    async def call(self, _method, path, *, timeout_s, limit):
        self.paths.append(path)
        if not self.answers:
            self.drained.set()
            await asyncio.Event().wait()
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return ControlAnswer(answer, b"head", {})


class Puller:
    """Takes heads as told: True is a new bundle, an exception is raised."""

    head = None

    def __init__(self, results):
        self.results = list(results)

    async def take(self, _content):
        result = self.results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result


async def run(monkeypatch, answers, results):
    pauses, rejected, connected = [], [], []

    async def nap(seconds):
        pauses.append(seconds)

    client = Client(answers)

    def was_rejected():
        rejected.append(True)

    poller = Poller(client, Puller(results), "g", on_rejected=was_rejected, on_connected=connected.append)
    monkeypatch.setattr("data_plane.sync.poller.asyncio.sleep", nap)
    task = asyncio.create_task(poller.run())
    await asyncio.wait_for(client.drained.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return poller, pauses, rejected, connected


async def test_a_new_bundle_goes_live_and_the_next_poll_follows_at_once(monkeypatch):
    _, pauses, rejected, connected = await run(monkeypatch, [200], [True])
    assert (pauses, rejected, connected) == ([0.0], [], [True])


async def test_failures_back_off_within_a_bound_and_the_loop_goes_on(monkeypatch):
    poller, pauses, _, connected = await run(monkeypatch, [ControlUnreachable("x")] * 12 + [200], [False])
    assert all(0 < pause <= 60 for pause in pauses[:12])
    assert poller._failures == 0
    assert connected == [False] * 12 + [True]


@pytest.mark.parametrize("status", [401, 403, 404, 500, 302])
async def test_no_status_of_the_control_plane_ends_or_deletes_anything(monkeypatch, status):
    _, pauses, rejected, connected = await run(monkeypatch, [status, status], [])
    assert (len(pauses), rejected, connected) == (2, [], [False, False])


async def test_a_rejected_bundle_is_reported_and_the_loop_goes_on(monkeypatch):
    poller, pauses, rejected, _ = await run(monkeypatch, [200, 200], [BundleRejected("rollback", "old"), True])
    assert (poller.errors, len(pauses), rejected) == (1, 2, [True])


async def test_any_exception_is_counted_and_the_loop_goes_on(monkeypatch):
    poller, pauses, rejected, _ = await run(monkeypatch, [200, 200], [RuntimeError("bug"), True])
    assert (poller.errors, len(pauses), rejected) == (1, 2, [])


async def test_the_poll_says_what_is_known(monkeypatch):
    client = Client([200])
    await run(monkeypatch, [], [])
    poller = Poller(client, Puller([False]), "g", on_rejected=None, on_connected=lambda _on: None)
    await poller._round()
    assert client.paths == ["/dp/v1/groups/g/head?known=0.0&head_no=0&wait=0"]


async def test_long_polls_that_are_cut_off_become_short_ones(monkeypatch):
    poller = Poller(Client([]), Puller([]), "g", on_rejected=None, on_connected=lambda _on: None)
    for _ in range(3):
        poller._note_broken(50, 6.0)
    poller._puller.head = type("Head", (), {"poll": type("Poll", (), {"wait": 50, "short": 30})})
    assert poller._wait_s() == 0
