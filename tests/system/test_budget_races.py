"""Twenty gateways race for one budget, over the real edge and its database; through an outage, and through a reset.

The gateways are those parts of one that have to do with budgets (agent's keeper, two workers' slices), in this process:
what is proved here is that the planes agree on money, whatever happens between them.
"""

import asyncio
import random
from collections import Counter
from contextlib import AsyncExitStack
from uuid import uuid4

from data_plane.core.budget import Want
from data_plane.limits.budgets import Budgets
from data_plane.limits.keeper import LeaseKeeper, now_s
from data_plane.sync.enrol import load_identity
from data_plane.upstream.control import ControlClient, Speaker
from shared.errors import BudgetExceeded, BudgetUnavailable
from tests.system.system_kit import wait_for

GATEWAYS, CALLERS = 20, 3
DOLLAR = 10**9
LIMIT = 100 * DOLLAR
#: What a call may cost at most; what it costs is drawn from a part of it.
NEED = DOLLAR // 2


class Gateway:
    """One gateway of the system's group: a keeper and two workers."""

    def __init__(self, system, number, clock):
        who = load_identity(system.state)
        instance = f"race-{uuid4().hex[:8]}-{number}"
        self.client = ControlClient(system.edge_url, Speaker(who.identity.group, instance, who.signing_key))
        self.keeper = LeaseKeeper(
            self.client, instance, uuid4().hex, reply=self._reply, recall=self._recall, is_drained=lambda: False,
            clock=clock,
        )  # fmt: skip
        self.keeper.leases.workers = 2
        self.workers = [Budgets(lambda draws, line=line: self._hear(line, draws)) for line in (1, 2)]

    def _hear(self, line, draws):
        # What a worker says arrives in the order in which it was said.
        asyncio.get_running_loop().call_soon(
            lambda: self.keeper.heard(line, draws, self.workers[line - 1].take_spent(), [])
        )

    def _reply(self, line, granted, refused):
        self.workers[line - 1].absorb([*granted, *refused])

    def _recall(self, keys):
        for line, worker in enumerate(self.workers, 1):
            asyncio.get_running_loop().call_soon(self._hand_back, line, worker, keys)

    def _hand_back(self, line, worker, keys):
        spent = worker.take_spent()
        self.keeper.heard(line, [], spent, worker.recall(keys))

    async def tell(self):
        """Tell the agent what workers spent, as they do 20 times a second."""
        while True:
            await asyncio.sleep(0.05)
            for line, worker in enumerate(self.workers, 1):
                self.keeper.heard(line, [], worker.take_spent(), [])

    async def end(self):
        for line, worker in enumerate(self.workers, 1):
            self.keeper.heard(line, [], worker.take_spent(), [])
        await self.keeper.end()


class Race:
    """All gateways and their callers; `spent` is by window."""

    def __init__(self, system, budget, clocks):
        self.system, self.budget = system, budget
        self.gateways = [Gateway(system, number, clock) for number, clock in enumerate(clocks)]
        self.spent = Counter()
        self.refused = Counter()
        self.draw = random.Random(7)

    async def __aenter__(self):
        self._stack = AsyncExitStack()
        for gateway in self.gateways:
            self._stack.push_async_callback(gateway.client.close)
        self._tasks = [asyncio.create_task(run) for each in self.gateways for run in (each.keeper.run(), each.tell())]
        return self

    async def __aexit__(self, *_):
        await self._stop()
        await self._stack.aclose()

    async def _stop(self):
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def finish(self):
        """Let every gateway tell the last of it and hand back the rest, as one that stops does."""
        await self._stop()
        for gateway in self.gateways:
            await gateway.end()

    async def call(self, worker, need=NEED):
        """Make a call; raises what a caller would be refused with."""
        want = Want(self.budget, "cost", need, "api_key", of_caller=True)
        held = await worker.reserve([want], lambda _: "this API key")
        await asyncio.sleep(self.draw.random() / 100)
        cost = self.draw.randint(need // 10, need)
        worker.settle(held, [cost])
        self.spent[held[0].slice.window] += cost

    async def until_refused(self, kind, *, patience=12):
        """Let every caller call until it was refused in this way so often; other refusals are tried again.

        It takes a while until what others hold, and do not spend, has been handed back.
        """

        async def caller(worker):
            left = patience
            while left:
                try:
                    await self.call(worker)
                except (BudgetExceeded, BudgetUnavailable) as refusal:
                    self.refused[type(refusal)] += 1
                    left -= type(refusal) is kind
                    await asyncio.sleep(0.3)

        workers = [worker for gateway in self.gateways for worker in gateway.workers]
        async with asyncio.timeout(120):
            await asyncio.gather(*(caller(worker) for worker in workers for _ in range(CALLERS)))


def new_budget(system, limit=100, **fields):
    """Return the id of the budget of a new key."""
    made = system.new_key("raced", usage_limits={"type": "cost", "credit_limit": limit, **fields})
    return str(system.query("SELECT id FROM budgets_budget WHERE owner_id = %s", made["id"])[0][0])


def standing(system, budget):
    """Return (spent, committed, the number of the window)."""
    return system.query('SELECT spent, committed, "window" FROM budgets_budget WHERE id = %s', budget)[0]


async def test_twenty_gateways_that_race_for_a_hundred_dollars_overspend_nothing(system):
    budget = new_budget(system)
    async with Race(system, budget, [now_s] * GATEWAYS) as race:
        await race.until_refused(BudgetExceeded)
        await race.finish()
    assert LIMIT - 4 * NEED <= race.spent[1] <= LIMIT
    assert race.refused[BudgetUnavailable] == 0
    assert standing(system, budget) == (race.spent[1], race.spent[1], 1)


async def test_ten_minutes_without_the_control_plane_overspend_nothing_either(system):
    budget, moved = new_budget(system), [0.0]
    async with Race(system, budget, [lambda: now_s() + moved[0]] * GATEWAYS) as race:
        for _ in range(2):
            await asyncio.gather(*(race.call(worker) for each in race.gateways for worker in each.workers))
        before = race.spent[1]
        await asyncio.to_thread(system.kill_control_plane)
        try:
            await race.until_refused(BudgetUnavailable, patience=2)
            moved[0] += 600
            # Nothing comes of waiting: what was not granted before is not there.
            during = race.spent[1]
            await race.until_refused(BudgetUnavailable, patience=2)
            assert race.spent[1] - during <= GATEWAYS * NEED
        finally:
            await asyncio.to_thread(system.start_control_plane)
        assert before < during <= LIMIT
        await race.until_refused(BudgetExceeded)
        await race.finish()
    assert LIMIT - 4 * NEED <= race.spent[1] <= LIMIT
    assert standing(system, budget) == (race.spent[1], race.spent[1], 1)


async def test_clocks_that_differ_make_no_window_twice_at_the_end_of_a_month(system):
    budget = new_budget(system, 20, periodic_reset="monthly")
    skews = [number * 60 - 600 for number in range(GATEWAYS)]
    async with Race(system, budget, [lambda skew=skew: now_s() + skew for skew in skews]) as race:
        await race.until_refused(BudgetExceeded)
        with_sql = "UPDATE budgets_budget SET next_reset_at = now() WHERE id = %s RETURNING 1"
        assert await asyncio.to_thread(system.query, with_sql, budget) == [(1,)]
        await race.until_refused(BudgetExceeded)
        await race.finish()
    assert set(race.spent) == {1, 2}
    assert all(20 * DOLLAR - 4 * NEED <= spent <= 20 * DOLLAR for spent in race.spent.values())
    assert standing(system, budget) == (race.spent[2], race.spent[2], 2)


async def test_calls_that_cost_more_than_was_set_aside_are_booked_and_bounded(system):
    share = 3
    budget = new_budget(system, 10)
    async with Race(system, budget, [now_s] * 4) as race:
        most = 0

        async def careless(worker):
            nonlocal most
            want = Want(budget, "cost", NEED, "api_key", of_caller=True)
            while True:
                try:
                    held = await worker.reserve([want], lambda _: "this API key")
                except BudgetExceeded:
                    return
                await asyncio.sleep(0.005)
                worker.settle(held, [NEED * share])
                race.spent[1] += NEED * share
                most = max(most, race.spent[1])

        async with asyncio.timeout(60):
            await asyncio.gather(*(careless(worker) for each in race.gateways for worker in each.workers))
        await race.finish()
    # The published bound: for each call on its way, what it cost beyond what was set aside for it.
    assert 10 * DOLLAR - 4 * NEED <= race.spent[1] <= 10 * DOLLAR + 8 * NEED * (share - 1)
    assert standing(system, budget)[0] == race.spent[1]
    wait_for(lambda: system.query("SELECT status FROM budgets_budget WHERE id = %s", budget) == [("exhausted",)], "out")
