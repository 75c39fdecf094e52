import asyncio
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_plane.limits.lease import IDLE_S, MOST_COUNTERS, RECALL_S, RENEW_S, SILENT_S, TELL_S, WAIT_S, Leases
from data_plane.limits.slices import OF_POLICY, Draw, Granted, Refused, Returned, Spent, policy_key
from shared.wire import BudgetAnswer, BudgetAsk
from tests.data_plane.limits.lease_kit import Budget, Gateway, Site


def answered(leases, now=0.0, **fields):
    """Answer what is due with one answer for all of it; return the asks and what workers are told."""
    asked = leases.due(now, 400)
    usual = {"budget": "b", "window": 1, "ceiling": 100, "limit": 1000, "left": 1000}
    replies = leases.absorb(asked, [BudgetAnswer(**{**usual, **fields}) for _ in asked], now)
    return [ask for _, ask in asked], replies


def test_a_call_waits_until_the_control_plane_has_granted_something():
    leases = Leases()
    assert leases.draw(1, Draw("b", 10, 7), 0.0) is None
    asks, replies = answered(leases)
    assert asks == [BudgetAsk(budget="b", want=10, wish=10_000)]
    assert replies == [(1, Granted("b", "b", 1, 50, 7))]
    assert leases.draw(2, Draw("b", 10, 8), 0.0) == Granted("b", "b", 1, 25, 8)


def test_what_workers_hold_and_have_spent_is_never_given_twice():
    leases = Leases()
    leases.draw(1, Draw("b", 60, 1), 0.0)
    answered(leases)
    leases.told(1, [Spent("b", 1, 60)], 0.0)
    assert leases.draw(2, Draw("b", 40, 2), 0.0) == Granted("b", "b", 1, 40, 2)
    assert leases.draw(2, Draw("b", 1, 3), 0.0) is None


def test_a_call_that_cost_more_than_was_set_aside_is_paid_from_what_comes_next():
    leases = Leases()
    leases.draw(1, Draw("b", 100, 1), 0.0)
    answered(leases)
    leases.told(1, [Spent("b", 1, 130)], 0.0)
    # The worker asks for what it owes as well.
    assert leases.draw(1, Draw("b", 10 + 30, 2), 0.0) is None
    ((_, ask),) = leases.due(1.0, 400)
    assert (ask.spent, ask.ceiling, ask.want) == (130, 130, 10)
    replies = leases.absorb([("b", ask)], [BudgetAnswer(budget="b", window=1, ceiling=140, limit=1000)], 1.0)
    assert replies == [(1, Granted("b", "b", 1, 40, 2))]
    assert leases.draw(2, Draw("b", 1, 3), 1.0) is None


def test_a_counter_of_a_policy_is_asked_for_by_its_name_until_its_id_is_known():
    leases, key = Leases(), policy_key("pol-1", "metadata._user:a/b")
    leases.draw(1, Draw(key, 5, 1), 0.0)
    asks, _ = answered(leases, budget="counter-1")
    assert (asks[0].policy, asks[0].value_key, asks[0].budget) == ("pol-1", "metadata._user:a/b", "")
    leases.told(1, [Spent(key, 1, 5)], 1.0)
    ((_, ask),) = leases.due(1.0 + TELL_S, 400)
    assert (ask.policy, ask.budget, ask.spent) == ("", "counter-1", 5)


@pytest.mark.parametrize(("is_held", "waits"), [(True, True), (False, False)])
def test_a_short_budget_is_waited_for_only_while_others_hold_some_of_it(is_held, waits):
    leases = Leases()
    leases.draw(1, Draw("b", 10, 1), 0.0)
    _, replies = answered(leases, status="short", ceiling=0, is_held=is_held, left=4)
    assert replies == ([] if waits else [(1, Refused("b", "short", 1, 1000, 4))])
    if waits:
        assert answered(leases, 0.5)[1] == [(1, Granted("b", "b", 1, 50, 1))]
    else:
        assert leases.draw(1, Draw("b", 10, 2), 0.5) == Refused("b", "short", 2, 1000, 4)
        # What needs less may find enough, and after a while everything is asked for again.
        assert leases.draw(1, Draw("b", 3, 3), 0.5) is None
        assert leases.draw(1, Draw("b", 10, 4), 2.0) is None


def test_nobody_waits_longer_than_a_call_may_for_what_others_hold():
    leases = Leases()
    leases.draw(1, Draw("b", 10, 1), 0.0)
    for now in (0.0, 0.5, 1.0, 1.5):
        assert answered(leases, now, status="short", ceiling=0, is_held=True)[1] == []
    assert answered(leases, 1.9, status="short", ceiling=0, is_held=True)[1] == [
        (1, Refused("b", "short", 1, 1000, 1000))
    ]


def test_while_the_control_plane_is_away_leases_are_spent_and_then_nothing():
    leases = Leases()
    leases.draw(1, Draw("b", 60, 1), 0.0)
    answered(leases)
    assert isinstance(leases.draw(2, Draw("b", 40, 2), 0.0), Granted)
    leases.told(1, [Spent("b", 1, 60)], 0.0)
    leases.told(2, [Spent("b", 1, 40)], 0.0)
    assert leases.draw(1, Draw("b", 1, 3), 0.0) is None
    leases.due(0.0, 400)
    assert leases.unreachable(0.0) == [(1, Refused("b", "unreachable", 3, 1000, 1000))]
    # Nobody waits for a control plane that was away a moment ago.
    assert leases.draw(1, Draw("b", 1, 4), 0.5) == Refused("b", "unreachable", 4)
    assert leases.draw(1, Draw("b", 1, 5), 1.5) is None


@pytest.mark.parametrize("is_away", [True, False])
def test_what_other_workers_hold_is_asked_for_before_a_call_is_refused(is_away):
    leases = Leases()
    leases.draw(1, Draw("b", 60, 1), 0.0)
    answered(leases)
    leases.draw(2, Draw("b", 40, 2), 0.0)
    assert leases.draw(1, Draw("b", 30, 3), 0.0) is None
    asked = leases.due(0.0, 400)
    short = BudgetAnswer(status="short", budget="b", window=1, ceiling=100, limit=100, left=100)
    assert (leases.unreachable(0.0) if is_away else leases.absorb(asked, [short], 0.0)) == []
    assert leases.recalled == {"b"}
    assert leases.returned(2, [Returned("b", 1, 25)]) == []
    assert leases.returned(1, [Returned("b", 1, 5)]) == [(1, Granted("b", "b", 1, 30, 3))]


def test_nobody_waits_for_ever_for_what_other_workers_hold():
    leases = Leases()
    leases.draw(1, Draw("b", 60, 1), 0.0)
    answered(leases)
    leases.draw(2, Draw("b", 60, 2), 0.0)
    told = []
    for step in range(12):
        leases.due(step * 0.2, 400)
        told += leases.unreachable(step * 0.2)
    assert told == [(2, Refused("b", "unreachable", 2, 1000, 1000))]


def test_a_budget_that_is_gone_is_no_limit():
    leases = Leases()
    leases.draw(1, Draw("b", 10, 1), 0.0)
    assert answered(leases, status="gone")[1] == [(1, Refused("b", "gone", 1))]
    assert len(leases) == 0


def test_a_token_that_nobody_counts_has_nothing_to_spend():
    leases, key = Leases(), "t:org/ws/ada/tokens/100/never"
    leases.draw(1, Draw(key, 5, 1), 0.0)
    asks, replies = answered(leases, status="gone")
    assert (asks[0].token, asks[0].budget) == ("org/ws/ada/tokens/100/never", "")
    assert (replies, len(leases)) == ([(1, Refused(key, "short", 1, 0, 0))], 0)


def test_a_recall_hands_back_what_workers_do_not_need():
    leases = Leases()
    leases.draw(1, Draw("b", 10, 1), 0.0)
    answered(leases)
    leases.told(1, [Spent("b", 1, 10)], 0.0)
    answered(leases, TELL_S, recall=True)
    assert leases.recalled == {"b"}
    leases.recalled.clear()
    leases.returned(1, [Returned("b", 1, 40)])
    ((_, ask),) = leases.due(TELL_S + RECALL_S, 400)
    assert (ask.spent, ask.ceiling) == (10, 10)
    # Handed back is handed back, though the answer may never come.
    leases.unreachable(TELL_S + RECALL_S)
    assert leases.draw(1, Draw("b", 1, 2), TELL_S + RECALL_S + 2) is None


def test_a_new_window_voids_what_was_held_and_still_hears_of_what_was_spent():
    leases = Leases()
    leases.draw(1, Draw("b", 10, 1), 0.0)
    answered(leases)
    leases.told(1, [Spent("b", 1, 10)], 0.0)
    answered(leases, TELL_S, window=2, ceiling=0)
    assert leases.recalled == {"b"}
    # A call that was on its way is of the window that paid for it.
    leases.told(1, [Spent("b", 1, 30)], TELL_S)
    leases.returned(1, [Returned("b", 1, 20)])
    assert leases.draw(1, Draw("b", 5, 2), TELL_S) is None
    past, now = [ask for _, ask in leases.due(2 * TELL_S, 400)]
    assert (past.window, past.spent, past.is_past) == (1, 30, True)
    assert (now.window, now.spent, now.ceiling, now.want) == (2, 0, 0, 5)


def test_an_idle_lease_is_handed_back_and_its_books_are_closed():
    leases = Leases()
    leases.draw(1, Draw("b", 10, 1), 0.0)
    answered(leases)
    leases.told(1, [Spent("b", 1, 10)], 0.0)
    now = TELL_S
    while now < IDLE_S + 60 and len(leases):
        answered(leases, now, ceiling=100 if now < IDLE_S else 10)
        if leases.recalled:
            leases.recalled.clear()
            leases.returned(1, [Returned("b", 1, 40, is_closed=True)])
        now += RECALL_S if now > IDLE_S else RENEW_S
    assert len(leases) == 0
    # Whoever opens it again goes on from what the control plane knows.
    leases.draw(1, Draw("b", 10, 2), now)
    answered(leases, now, spent=10, ceiling=60)
    leases.told(1, [Spent("b", 1, 4)], now)
    assert leases.due(now + TELL_S, 400)[0][1].spent == 14


def test_a_worker_that_is_gone_keeps_what_it_held():
    leases = Leases()
    leases.draw(1, Draw("b", 10, 1), 0.0)
    answered(leases)
    leases.gone(1)
    assert leases.draw(2, Draw("b", 60, 2), 0.0) is None
    assert isinstance(leases.draw(2, Draw("b", 40, 3), 0.0), Granted)


def test_nothing_is_spent_of_a_lease_that_was_confirmed_too_long_ago():
    leases = Leases()
    leases.draw(1, Draw("b", 10, 1), 0.0)
    answered(leases)
    leases.due(SILENT_S + 1, 400)
    assert leases.recalled == {"b"}
    leases.returned(1, [Returned("b", 1, 50)])
    assert leases.draw(1, Draw("b", 10, 2), SILENT_S + 1) is None


def test_only_as_much_is_asked_at_once_as_a_report_may_have():
    leases = Leases()
    for number in range(30):
        leases.draw(1, Draw(f"b{number}", 1, number), 0.0)
    first = leases.due(0.0, 20)
    second = leases.due(0.0, 400)
    assert (len(first), len({key for key, _ in first + second})) == (20, 30)


def test_a_slice_that_is_closed_while_the_next_one_is_on_its_way_is_not_given_twice():
    leases = Leases()
    leases.draw(1, Draw("b", 10, 1), 0.0)
    answered(leases)
    leases.draw(2, Draw("b", 10, 2), 0.0)
    # The first worker needs more than is left, so both are asked for what they hold.
    assert leases.draw(1, Draw("b", 60, 3), 0.0) is None
    assert leases.returned(2, [Returned("b", 1, 25, is_closed=True)]) == []
    answered(leases, ceiling=110)
    given = leases.returned(2, [])
    assert given == []
    # What the first one hands back crosses the slice that it is sent.
    leases.told(1, [Spent("b", 1, 20)], 0.0)
    assert leases.returned(1, [Returned("b", 1, 30, is_closed=True)]) == []
    # Out are the 20 that were spent and the 60 on their way: 30 are left, and no more.
    assert leases.draw(2, Draw("b", 31, 4), 0.0) is None
    assert isinstance(leases.draw(2, Draw("b", 30, 5), 0.0), Granted)


def test_a_slice_is_closed_with_what_it_owes_and_nothing_is_forgotten_or_kept():
    leases = Leases()
    leases.draw(1, Draw("b", 50, 1), 0.0)
    answered(leases)
    leases.told(1, [Spent("b", 1, 70)], 0.0)
    leases.returned(1, [Returned("b", 1, -20, is_closed=True)])
    assert isinstance(leases.draw(1, Draw("b", 30, 2), 0.0), Granted)
    assert leases.draw(2, Draw("b", 1, 3), 0.0) is None


def test_many_calls_that_wait_for_one_budget_are_looked_at_once():
    leases = Leases()
    for number in range(20_000):
        leases.draw(1, Draw("b", 10, number), 0.0)
    began = time.process_time()
    assert answered(leases, status="short", ceiling=0, is_held=True)[1] == []
    assert len(answered(leases, 2.0, status="short", ceiling=0, is_held=True)[1]) == 20_000
    assert time.process_time() - began < 5


def test_what_was_granted_in_an_answer_that_was_lost_is_handed_back_although_nobody_calls_again():
    leases = Leases()
    leases.draw(1, Draw("b", 10, 1), 0.0)
    leases.due(0.0, 400)
    assert leases.unreachable(0.0) == [(1, Refused("b", "unreachable", 1))]
    # The control plane sets what it does not hear of free again.
    assert [ask for _, ask in leases.due(TELL_S, 400)] == [BudgetAsk(budget="b")]


def test_a_lease_that_was_handed_back_in_a_report_that_was_lost_is_handed_back_again():
    leases = Leases()
    leases.draw(1, Draw("b", 10, 1), 0.0)
    answered(leases)
    leases.returned(1, [Returned("b", 1, 50, is_closed=True)])
    answered(leases, RENEW_S, recall=True)
    assert leases.due(RENEW_S + RECALL_S, 400)[0][1].ceiling == 0
    leases.unreachable(RENEW_S + RECALL_S)
    ((_, ask),) = leases.due(2 * RENEW_S, 400)
    assert (ask.window, ask.spent, ask.ceiling) == (1, 0, 0)


def test_what_was_told_in_a_report_whose_fate_nobody_knows_is_told_again_at_the_end():
    leases = Leases()
    leases.draw(1, Draw("b", 10, 1), 0.0)
    answered(leases)
    leases.told(1, [Spent("b", 1, 10)], 0.0)
    assert leases.due(TELL_S, 400)[0][1].spent == 10
    # Cut off: neither an answer nor a failure.
    assert [ask.spent for _, ask in leases.due(TELL_S, 400, at_end=True)] == [10]


@pytest.mark.parametrize("spent", [50, 70])
def test_the_books_of_a_lease_that_is_spent_are_closed_when_nobody_uses_it(spent):
    leases = Leases()
    leases.draw(1, Draw("b", 50, 1), 0.0)
    answered(leases, ceiling=50)
    leases.told(1, [Spent("b", 1, spent)], 0.0)
    answered(leases, TELL_S, status="short", ceiling=spent)
    now = TELL_S
    while now < IDLE_S + 60 and len(leases):
        answered(leases, now, status="short", ceiling=spent, spent=spent)
        if leases.recalled:
            leases.recalled.clear()
            leases.returned(1, [Returned("b", 1, 50 - spent, is_closed=True)])
        now += RENEW_S
    assert len(leases) == 0


def test_the_books_of_a_budget_that_was_never_granted_are_closed():
    leases = Leases()
    for number in range(100):
        leases.draw(1, Draw(policy_key("pol", f"v{number}"), 10, number), 0.0)
    leases.due(0.0, 10)
    leases.unreachable(0.0)
    now = 0.0
    while now < 60:
        now += RENEW_S
        answered(leases, now, ceiling=0, status="short")
    now += IDLE_S
    for _ in range(3):
        answered(leases, now, ceiling=0, status="short")
        now += RENEW_S
    assert len(leases) == 0


def test_calls_that_nobody_waits_for_any_more_are_forgotten():
    leases = Leases()
    for number in range(100):
        leases.draw(1, Draw(policy_key("pol", f"v{number}"), 10, number), 0.0)
    leases.due(0.0, 10)
    leases.due(4 * WAIT_S, 10)
    asked = {key for key, ask in leases.due(5 * WAIT_S, 400) if ask.want}
    assert asked == set()


def test_new_counters_without_number_do_not_keep_other_budgets_waiting():
    leases = Leases()
    for number in range(3000):
        leases.draw(1, Draw(policy_key("pol", f"v{number}"), 1, number), 0.0)
    for number in range(20):
        leases.draw(1, Draw(f"b{number}", 1, 5000 + number), 0.0)
    asked = {key for key, _ in leases.due(0.0, 100)}
    assert {f"b{number}" for number in range(20)} <= asked
    assert len(asked) == 100
    # Nor do others keep new counters waiting.
    for number in range(300):
        leases.draw(1, Draw(f"c{number}", 1, 6000 + number), 0.0)
    assert sum(key.startswith(OF_POLICY) for key, _ in leases.due(0.1, 100)) == 50


def test_each_waits_for_its_turn_when_there_is_more_to_ask_than_a_report_may_have():
    leases = Leases()
    for number in range(1000):
        leases.draw(1, Draw(f"b{number}", 1, number), 0.0)
    seen = set()
    for turn in range(10):
        asked = leases.due(turn * 0.1, 100)
        seen |= {key for key, _ in asked}
        short = BudgetAnswer(status="short", budget="b", window=1, limit=10, is_held=True)
        leases.absorb(asked, [short] * len(asked), turn * 0.1)
        # Those that were asked for want to be asked for again, and others come.
        leases.draw(1, Draw(f"c{turn}", 1, 2000 + turn), turn * 0.1)
    assert {f"b{number}" for number in range(900)} <= seen


def test_many_leases_are_renewed_no_more_often_than_reports_can_say():
    leases = Leases()
    for number in range(5000):
        leases.draw(1, Draw(f"b{number}", 1, number), 0.0)
    for _ in range(20):
        answered(leases, 0.1)
    asked = 0
    for turn in range(1, 201):
        asks, _ = answered(leases, turn * 0.1)
        asked += len(asks)
    # 20 seconds: at the usual pace each of them would have been renewed four times.
    assert asked <= 5000


def test_callers_cannot_fill_the_memory_with_counters():
    leases = Leases()
    leases.draw(1, Draw("b", 1, 0), 0.0)
    answered(leases)
    for number in range(MOST_COUNTERS + 10):
        reply = leases.draw(1, Draw(policy_key("pol", f"v{number}"), 1, number), 0.0)
    assert isinstance(reply, Refused)
    assert reply.why == "unreachable"
    assert len(leases) == MOST_COUNTERS + 1
    # All else goes on.
    assert leases.draw(1, Draw("b", 1, 1), 0.0) is not None
    assert leases.draw(1, Draw("c", 1, 2), 0.0) is None


def test_what_was_not_confirmed_for_too_long_is_told_to_be_held_no_more():
    leases = Leases()
    leases.draw(1, Draw("b", 10, 1), 0.0)
    answered(leases)
    leases.due(SILENT_S + 1, 400)
    ((_, ask),) = leases.due(SILENT_S + 2 * RENEW_S, 400)
    assert (ask.ceiling, ask.wish) == (0, 0)


def test_what_a_worker_took_along_is_not_known_to_be_unspent():
    leases = Leases()
    leases.draw(1, Draw("b", 10, 1), 0.0)
    answered(leases)
    assert leases.is_certain
    leases.returned(1, [Returned("b", 1, 50, is_closed=True)])
    leases.gone(1)
    assert leases.is_certain
    leases.draw(2, Draw("b", 10, 2), 0.0)
    leases.gone(2)
    assert not leases.is_certain


STEP = st.tuples(
    st.integers(0, 3), st.integers(0, 1), st.integers(1, 40), st.integers(0, 100), st.sampled_from("sssrrlwdt")
)


@settings(max_examples=100)
@given(st.integers(50, 2000), st.lists(STEP, max_size=80))
def test_whatever_is_lost_late_or_repeated_no_window_is_overspent_by_calls_with_a_cap(limit, steps):
    budget = Budget(limit)
    gateways = [Gateway(number, budget) for number in range(4)]
    now, spent = 0.0, {1: 0}
    for who, line, need, share, what in steps:
        gateway = gateways[who]
        if what == "s":
            cost = need * share // 100
            if gateway.spend(gateway.lines[line], need, cost, now):
                window = gateway.lines[line].window["b"]
                spent[window] = spent.get(window, 0) + cost
        elif what == "t":
            now += 1.3
        elif what == "w":
            budget.window += 1
        else:
            gateway.report(now, arrives=what != "d", answered=what == "r")
            # An old report that comes again changes nothing but what was spent.
            budget.take(gateway.name, 0, [BudgetAsk(budget="b", window=1, spent=0, ceiling=9999)], now)
        assert budget.committed <= limit
    assert all(total <= limit for total in spent.values())
    for gateway in gateways:
        for _ in range(3):
            now += 10
            gateway.report(now, at_end=True)
    told = {window: 0 for _, window in budget.leases}
    for (_, window), book in budget.leases.items():
        told[window] += book["reported"]
    recent = [window for window in spent if window > budget.window - 2]
    assert {window: told.get(window, 0) for window in recent} == {window: spent[window] for window in recent}


MOVE = st.tuples(
    st.sampled_from("c" * 8 + "f" * 6 + "u" * 12 + "d" * 8 + "r" * 5 + "a" * 5 + "lwtt"),
    st.integers(0, 2),
    st.integers(1, 30),
    st.integers(0, 100),
)


async def play(limit, moves):
    budget = Budget(limit)
    site = Site(budget, workers=3)
    for what, who, need, share in moves:
        worker = site.workers[who]
        if what == "c":
            worker.call(need)
        elif what == "f" and worker.held:
            site.finish(worker, share)
        elif what == "u":
            if not worker.up:
                worker.up.append(([], worker.budgets.take_spent(), []))
            site.listen(worker)
        elif what == "d" and worker.down:
            worker.hear()
        elif what == "r":
            site.report()
        elif what in "al":
            site.answer(is_lost=what == "l")
        elif what == "w":
            budget.window += 1
        elif what == "t":
            site.now += 0.05 * need
        await site.turn()
        assert all(site.may_spend(window) <= limit for window in range(1, budget.window + 1))
        assert budget.committed <= limit
    await site.settle_down()
    return site


@settings(max_examples=300, deadline=None)
@given(st.integers(20, 200), st.lists(MOVE, max_size=150))
def test_whatever_crosses_on_the_lines_to_workers_nothing_is_spent_twice_and_all_is_told_and_given_back(limit, moves):
    site = asyncio.run(play(limit, moves))
    assert all(spent <= limit for spent in site.spent.values())
    assert site.budget.spent == site.spent[site.budget.window]
    assert site.budget.committed == site.budget.spent
    assert len(site.leases) <= 1
