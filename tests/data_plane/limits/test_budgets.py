import asyncio

import msgspec
import pytest

from data_plane.core.budget import Want
from data_plane.limits import budgets as budgets_module
from data_plane.limits.budgets import GONE_S, MOST_GONE, Budgets
from data_plane.limits.slices import Granted, Refused, Returned, Spent
from data_plane.sync.link import BudgetNews
from shared.errors import BudgetExceeded, BudgetUnavailable, ProviderBudgetExceeded


def want(key="b", need=10, *, unit="tokens", kind="api_key", of_caller=True):
    return Want(key, unit, need, kind, of_caller)


def owner(_want):
    return "this API key"


class Agent:
    """The agent's end: answers each draw as it is told to, once the loop turns."""

    def __init__(self, answer):
        self.draws = []
        self._answer = answer
        self.now = 0.0
        self.budgets = Budgets(self._asked, lambda: self.now)

    def _asked(self, draws):
        self.draws += draws
        replies = [reply for reply in map(self._answer, draws) if reply is not None]
        asyncio.get_running_loop().call_soon(self.budgets.absorb, replies)


def granting(amount=100, window=1):
    return Agent(lambda draw: Granted(draw.key, f"id-{draw.key}", window, amount, draw.call))


def refusing(why="short", **fields):
    return Agent(lambda draw: Refused(draw.key, why, draw.call, **fields))


async def test_only_the_first_call_asks_and_what_is_not_spent_is_put_back():
    agent = granting(30)
    held = [await agent.budgets.reserve([want()], owner) for _ in range(3)]
    assert len(agent.draws) == 1
    for each in held:
        agent.budgets.settle(each, [4])
    again = [await agent.budgets.reserve([want(need=6)], owner) for _ in range(3)]
    assert (len(agent.draws), len(again)) == (1, 3)
    assert agent.budgets.take_spent() == [Spent("b", 1, 12)]
    assert agent.budgets.take_spent() == []


async def test_a_call_is_paid_by_all_its_budgets_or_by_none():
    agent = Agent(
        lambda draw: (
            Refused("c", "short", draw.call, 100, 3) if draw.key == "c" else Granted("b", "b", 1, 10, draw.call)
        )
    )
    with pytest.raises(BudgetExceeded) as refused:
        await agent.budgets.reserve([want("b"), want("c")], owner)
    assert refused.value.status == 412
    assert refused.value.final is True
    assert refused.value.body()["error"] == {
        "message": "Portkey Error: Usage limit exceeded: this API key allows 100 tokens, 3 tokens are left, and this"
        " request may take up to 10 tokens beside others on their way.",
        "type": "api_key_exhaust_error", "param": "api_key", "code": "04",
    }  # fmt: skip
    assert agent.budgets.refused == {"api_key": 1}
    # What was granted of the other one is there for the next call.
    await agent.budgets.reserve([want("b")], owner)
    assert [draw.key for draw in agent.draws] == ["b", "c"]


async def test_a_budget_of_an_account_leaves_other_targets_to_be_tried():
    agent = refusing(limit=2_000_000_000, left=0)
    with pytest.raises(ProviderBudgetExceeded, match=r"allows \$2, all of which is used") as refused:
        await agent.budgets.reserve([want(unit="cost", kind="integration_workspace", of_caller=False)], owner)
    assert refused.value.final is False
    assert refused.value.body()["error"]["type"] == "integration_exhaust_error"


async def test_what_cannot_be_confirmed_is_refused_and_not_let_through():
    with pytest.raises(BudgetUnavailable) as refused:
        await refusing("unreachable").budgets.reserve([want()], owner)
    assert (refused.value.status, refused.value.headers()) == (503, {"retry-after": "2"})
    with pytest.raises(BudgetUnavailable, match="cannot be confirmed by this process"):
        await Budgets().reserve([want()], owner)


async def test_an_agent_that_says_nothing_is_not_waited_for_for_ever(monkeypatch):
    monkeypatch.setattr(budgets_module, "ANSWER_S", 0.05)
    agent = Agent(lambda draw: None)
    with pytest.raises(BudgetUnavailable, match="in time"):
        await agent.budgets.reserve([want()], owner)
    assert agent.budgets.unreachable == 1
    # What comes too late is there for the next one.
    agent.budgets.absorb([Granted("b", "b", 1, 10, 0)])
    assert await agent.budgets.reserve([want()], owner)


async def test_a_limit_that_is_gone_charges_nothing_and_is_looked_for_again_later():
    agent = refusing("gone")
    assert await agent.budgets.reserve([want()], owner) == ()
    assert await agent.budgets.reserve([want()], owner) == ()
    assert len(agent.draws) == 1
    agent.now += GONE_S + 1
    await agent.budgets.reserve([want()], owner)
    assert len(agent.draws) == 2


async def test_many_calls_at_once_never_hold_more_than_was_granted():
    given = []

    def answer(draw):
        if sum(given) + draw.need > 100:
            return Refused(draw.key, "short", draw.call, 100, 0)
        given.append(draw.need)
        return Granted(draw.key, "b", 1, draw.need, draw.call)

    agent = Agent(answer)
    results = await asyncio.gather(
        *(agent.budgets.reserve([want(need=7)], owner) for _ in range(40)), return_exceptions=True
    )
    held = [result for result in results if isinstance(result, tuple)]
    assert len(held) == 14
    assert all(isinstance(result, BudgetExceeded) for result in results if result not in held)


async def test_what_a_call_costs_beyond_what_was_set_aside_is_spent_counted_and_asked_for():
    agent = granting(10)
    agent.budgets.settle(await agent.budgets.reserve([want()], owner), [25])
    assert agent.budgets.overshoot == {"tokens": 15}
    assert agent.budgets.take_spent() == [Spent("b", 1, 25)]
    # The next slice has to be larger by what is owed.
    with pytest.raises(BudgetUnavailable, match="in time"):
        await agent.budgets.reserve([want(need=90)], owner)
    assert agent.draws[1].need == 90 + 15


async def test_a_new_window_has_a_slice_of_its_own_and_old_calls_are_told_of_theirs():
    windows = iter((1, 2))
    agent = Agent(lambda draw: Granted("b", "b", next(windows), 10, draw.call))
    old = await agent.budgets.reserve([want()], owner)
    new = await agent.budgets.reserve([want()], owner)
    agent.budgets.settle(old, [3])
    agent.budgets.settle(new, [4])
    assert agent.budgets.take_spent() == [Spent("b", 1, 3), Spent("b", 2, 4)]


async def test_a_recall_hands_back_what_no_call_needs():
    agent = granting(30)
    held = await agent.budgets.reserve([want()], owner)
    assert agent.budgets.recall(["b", "unknown"]) == [Returned("b", 1, 20, is_closed=False)]
    agent.budgets.settle(held, [10])
    assert agent.budgets.recall(["b"]) == [Returned("b", 1, 0, is_closed=True)]
    assert agent.budgets.recall(["b"]) == []


async def test_a_call_whose_caller_left_leaves_its_slice_to_others():
    agent = granting(10)
    waiting = asyncio.create_task(agent.budgets.reserve([want()], owner))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await agent.budgets.reserve([want()], owner)
    assert len(agent.draws) == 1


async def test_a_slice_that_owes_something_is_closed_with_its_debt():
    agent = granting(10)
    agent.budgets.settle(await agent.budgets.reserve([want()], owner), [25])
    agent.budgets.take_spent()
    assert agent.budgets.recall(["b"]) == [Returned("b", 1, -15, is_closed=True)]
    # What comes next is all there for the next call.
    agent.budgets.absorb([Granted("b", "b", 1, 10, 99)])
    assert await agent.budgets.reserve([want()], owner)
    assert len(agent.draws) == 1


async def test_what_a_call_takes_of_a_limit_that_was_taken_away_is_not_added_to_the_next_one():
    agent = granting(30)
    first = await agent.budgets.reserve([want()], owner)
    second = await agent.budgets.reserve([want()], owner)
    agent.budgets.settle(first, [7])
    assert agent.budgets.take_spent() == [Spent("b", 1, 7)]
    agent.budgets.absorb([Refused("b", "gone", 99)])
    # The limit is there again, in the same window, and those who count it begin with what they were told.
    agent.now += GONE_S + 1
    third = await agent.budgets.reserve([want()], owner)
    agent.budgets.settle(third, [2])
    agent.budgets.settle(second, [5])
    assert agent.budgets.take_spent() == [Spent("b", 1, 2)]


async def test_absurd_amounts_can_be_told_and_break_nothing():
    agent = granting(30)
    for _ in range(6):
        agent.budgets.absorb([Granted("b", "b", 1, 2**60, 99)])
        agent.budgets.settle(await agent.budgets.reserve([want()], owner), [2**62])
    for _ in range(6):
        agent.budgets.settle(await agent.budgets.reserve([want("c")], owner), [2**62])
        agent.budgets.absorb([Granted("c", "c", 1, 2**62, 99)])
    news = BudgetNews([], agent.budgets.take_spent(), agent.budgets.recall(["b", "c"]))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(news), type=BudgetNews).spent[0].total == 2**62
    agent.budgets.settle(await agent.budgets.reserve([want("d")], owner), [2**66])
    asking = asyncio.create_task(agent.budgets.reserve([want("d", need=2**63)], owner))
    await asyncio.sleep(0)
    msgspec.msgpack.encode(agent.draws)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)


async def test_callers_cannot_fill_the_memory_with_counters_of_limits_that_are_gone():
    agent = refusing("gone")
    for number in range(MOST_GONE + 50):
        agent.now += GONE_S / 100
        await agent.budgets.reserve([want(f"p:pol/{number}")], owner)
    assert len(agent.budgets._gone) <= MOST_GONE


async def test_at_its_end_a_worker_hands_back_all_that_it_holds():
    agent = granting(30)
    for key in ("b", "c"):
        agent.budgets.settle(await agent.budgets.reserve([want(key)], owner), [4])
    assert agent.budgets.hand_back() == [Returned("b", 1, 26, is_closed=True), Returned("c", 1, 26, is_closed=True)]
    assert agent.budgets.hand_back() == []
