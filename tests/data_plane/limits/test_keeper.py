"""Reports over HTTP to a control plane of the test's making: one at a time, signed, and bounded."""

import asyncio
import contextlib

import msgspec
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from data_plane.limits import keeper as keeper_module
from data_plane.limits.keeper import LeaseKeeper
from data_plane.limits.slices import Draw, Granted, Refused, Spent
from data_plane.upstream.control import ControlClient, ControlUnreachable, Speaker
from shared.crypto.request_token import verify_request
from shared.wire import MAX_ASKS, MAX_USAGE_BYTES, BudgetAnswer, BudgetAsk, UsageAnswer, UsageReport
from tests.data_plane.state_kit import serving, until

KEY = Ed25519PrivateKey.generate()


class Control:
    """The usage endpoint: answers with what the test says, and checks each call's token."""

    def __init__(self):
        self.reports, self.status, self.running, self.most_running = [], 200, 0, 0
        self.body = self.hangs = None
        self.most_at_once = MAX_ASKS
        self.answer = lambda ask: BudgetAnswer(budget="b", window=1, ceiling=ask.spent + 100, limit=1000, left=900)

    async def handle(self, request):
        assert (request.method, request.path) == ("POST", "/dp/v1/usage")
        body = await request.read()
        token = request.headers["authorization"].removeprefix("Bearer ")
        public = KEY.public_key().public_bytes_raw()
        assert verify_request(token, public, method="POST", path=request.raw_path, body=body) == "gw-1"
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        await asyncio.sleep(0)
        self.running -= 1
        report = msgspec.json.decode(body, type=UsageReport)
        if self.hangs is not None:
            self.hangs.set()
            await asyncio.Event().wait()
        if len(report.asks) > self.most_at_once:
            await asyncio.Event().wait()
        self.reports.append(report)
        if self.body is not None:
            return web.Response(body=self.body)
        if self.status != 200:
            return web.Response(status=self.status)
        answers = None if self.answer is None else tuple(self.answer(ask) for ask in report.asks)
        return web.Response(body=msgspec.json.encode(UsageAnswer(answers)))


class Setting:
    def __init__(self, control, keeper, client):
        self.control, self.keeper, self.client = control, keeper, client
        self.granted, self.refused, self.recalled = [], [], []

    def reply(self, line, granted, refused):
        self.granted += [(line, each) for each in granted]
        self.refused += [(line, each) for each in refused]


@pytest.fixture
async def setting():
    async with contextlib.AsyncExitStack() as stack:
        control = Control()
        url = await stack.enter_async_context(serving(control))
        client = ControlClient(url, Speaker("group", "gw-1", KEY))
        stack.push_async_callback(client.close)
        made = Setting(control, None, client)
        made.is_drained = False
        made.keeper = LeaseKeeper(
            client, "gw-1", "0" * 32, reply=made.reply, recall=made.recalled.extend, is_drained=lambda: made.is_drained
        )
        made.running = asyncio.create_task(made.keeper.run())
        yield made
        made.running.cancel()
        await asyncio.gather(made.running, return_exceptions=True)


def draw(setting, need=10, key="b", call=1, line=1):
    setting.keeper.heard(line, [Draw(key, need, call)], [], [])


async def test_a_call_that_waits_is_asked_for_at_once_and_told_what_came_of_it(setting):
    draw(setting)
    await until(lambda: setting.granted)
    assert setting.granted == [(1, Granted("b", "b", 1, 50, 1))]
    report = setting.control.reports[0]
    assert (report.instance, report.boot, report.seq, report.asks[0].want) == ("gw-1", "0" * 32, 1, 10)


async def test_many_workers_at_once_make_one_report_at_a_time(setting):
    for number in range(50):
        draw(setting, need=1, key=f"b{number}", call=number, line=number % 3)
    await until(lambda: len(setting.granted) == 50)
    assert setting.control.most_running == 1
    assert [report.seq for report in setting.control.reports] == list(range(1, len(setting.control.reports) + 1))


@pytest.mark.parametrize("status", [500, 401, 404])
async def test_while_nobody_answers_those_who_wait_are_refused_and_it_goes_on_afterwards(setting, status):
    setting.control.status = status
    draw(setting)
    await until(lambda: setting.refused)
    assert setting.refused == [(1, Refused("b", "unreachable", 1))]
    setting.control.status = 200
    await until(lambda: draw(setting, call=2) or setting.granted)


async def test_an_answer_that_is_none_grants_nothing(setting):
    setting.control.answer = None
    draw(setting)
    await until(lambda: setting.refused)
    assert setting.granted == []


async def test_what_was_spent_is_told_without_anybody_waiting(setting):
    draw(setting)
    await until(lambda: setting.granted)
    setting.keeper.heard(1, [], [Spent("b", 1, 7)], [])
    await until(lambda: any(ask.spent == 7 for report in setting.control.reports for ask in report.asks))


async def test_a_recall_reaches_the_workers(setting):
    setting.control.answer = lambda ask: BudgetAnswer(budget="b", window=1, ceiling=100, limit=1000, recall=True)
    draw(setting)
    await until(lambda: setting.recalled)
    assert setting.recalled == ["b"]


async def test_it_is_told_once_that_no_records_of_earlier_runs_are_left(setting):
    draw(setting)
    await until(lambda: setting.granted)
    assert [report.drained for report in setting.control.reports] == [False]
    setting.is_drained = True
    await until(lambda: any(report.drained for report in setting.control.reports))
    setting.keeper.heard(1, [], [Spent("b", 1, 7)], [])
    await until(lambda: any(ask.spent == 7 for report in setting.control.reports for ask in report.asks))
    assert sum(report.drained for report in setting.control.reports) == 1


async def test_the_end_tells_all_that_was_spent_and_gives_the_rest_back(setting):
    draw(setting)
    await until(lambda: setting.granted)
    setting.keeper.heard(1, [], [Spent("b", 1, 7)], [])
    await setting.keeper.end()
    last = setting.control.reports[-1]
    assert (last.ended, last.asks[-1].spent) == (True, 7)
    setting.control.status = 500
    with pytest.raises(ControlUnreachable):
        await setting.keeper.end()


@pytest.mark.parametrize(("is_shipped", "ended"), [(False, False), (True, True)])
async def test_what_a_worker_took_along_stays_set_aside_until_all_records_are_here(setting, is_shipped, ended):
    draw(setting)
    await until(lambda: setting.granted)
    setting.keeper.leases.gone(1)
    await setting.keeper.end(is_shipped=is_shipped)
    assert setting.control.reports[-1].ended is ended


async def test_what_was_told_in_a_report_that_was_cut_off_is_told_again_at_the_end(setting):
    draw(setting)
    await until(lambda: setting.granted)
    setting.control.hangs = asyncio.Event()
    setting.keeper.heard(1, [], [Spent("b", 1, 7)], [])
    await setting.control.hangs.wait()
    setting.running.cancel()
    await asyncio.gather(setting.running, return_exceptions=True)
    setting.control.hangs = None
    await setting.keeper.end()
    assert [ask.spent for ask in setting.control.reports[-1].asks] == [7]


async def test_an_answer_that_cannot_be_read_is_like_none(setting):
    setting.control.body = b"<html>"
    draw(setting)
    await until(lambda: setting.refused)
    with pytest.raises(ControlUnreachable):
        await setting.keeper.end()


def test_the_largest_report_that_there_can_be_is_taken():
    worst = BudgetAsk(
        policy="0" * 36, value_key="\x01" * 512, window=2**31, spent=2**62, ceiling=2**62, want=2**62, wish=2**80
    )
    report = UsageReport("i" * 64, "0" * 32, 2**62, (worst,) * MAX_ASKS)
    assert len(msgspec.json.encode(report)) <= MAX_USAGE_BYTES


async def test_a_control_plane_that_is_slow_is_asked_for_less_at_a_time(setting, monkeypatch):
    monkeypatch.setattr(keeper_module, "CALL_TIMEOUT_S", 0.2)
    setting.control.most_at_once = 60
    for number in range(400):
        draw(setting, need=1, key=f"b{number}", call=number)
    await until(lambda: setting.refused)
    # Callers try again.
    calls = iter(range(1000, 10**6))
    await until(lambda: draw(setting, need=1, key="b7", call=next(calls)) or setting.granted)
    assert all(len(report.asks) <= 60 for report in setting.control.reports)
