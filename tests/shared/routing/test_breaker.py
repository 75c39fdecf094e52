import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.routing.breaker import Breakers, is_failure
from shared.schema.strategy import BreakerPolicy
from tests.shared.routing.route_kit import Clock

THREE = BreakerPolicy(30_000, failures=3)
HALF = BreakerPolicy(30_000, percentage=50, minimum=4)


def noted(breakers, policy, statuses, name="t"):
    """Return which of the answers opened the breaker."""
    return [breakers.note(name, policy, status) for status in statuses]


@pytest.mark.parametrize(("statuses", "status", "failed"), [
    (None, 500, False), (None, 501, True), (None, 503, True), (None, 599, True), (None, 429, False), (None, 200, False),
    (frozenset({429}), 429, True), (frozenset({429}), 503, False), (frozenset({200}), 200, True),
])  # fmt: skip
def test_a_failure_is_a_listed_status_or_one_above_500(statuses, status, failed):
    assert is_failure(BreakerPolicy(30_000, 1, statuses=statuses), status) is failed


def test_a_breaker_that_counted_nothing_is_closed():
    assert not Breakers(Clock()).is_open("t")


def test_a_breaker_opens_at_its_threshold_and_not_before():
    breakers = Breakers(Clock())
    assert noted(breakers, THREE, [503, 503]) == [False, False]
    assert not breakers.is_open("t")
    assert noted(breakers, THREE, [503]) == [True]
    assert breakers.is_open("t")


def test_a_success_in_between_does_not_undo_failures():
    assert noted(Breakers(Clock()), THREE, [503, 200, 503, 200, 503])[-1]


def test_a_percentage_counts_only_from_the_minimum_of_requests_on():
    assert noted(Breakers(Clock()), HALF, [503, 503, 503]) == [False] * 3
    assert noted(Breakers(Clock()), HALF, [503, 503, 503, 200]) == [False, False, False, True]


def test_a_percentage_is_reached_exactly():
    assert noted(Breakers(Clock()), HALF, [503, 503, 200, 200])[-1]
    assert not any(noted(Breakers(Clock()), HALF, [200, 200, 200, 503, 503]))


def test_of_two_thresholds_the_first_one_reached_opens():
    both = BreakerPolicy(30_000, failures=2, percentage=90, minimum=100)
    assert noted(Breakers(Clock()), both, [503, 503]) == [False, True]


def test_targets_are_counted_apart():
    breakers = Breakers(Clock())
    noted(breakers, THREE, [503] * 3, "a")
    assert (breakers.is_open("a"), breakers.is_open("b")) == (True, False)


def test_after_the_cooldown_a_breaker_is_closed_and_counts_from_zero():
    clock = Clock()
    breakers = Breakers(clock)
    noted(breakers, THREE, [503] * 3)
    clock.now_s += 29.9
    assert breakers.is_open("t")
    clock.now_s += 0.2
    assert not breakers.is_open("t")
    assert noted(breakers, THREE, [503, 503, 503]) == [False, False, True]


def test_at_the_very_end_of_the_cooldown_a_breaker_counts_from_zero():
    clock = Clock()
    breakers = Breakers(clock)
    noted(breakers, THREE, [503] * 3)
    clock.now_s += 30
    assert not breakers.is_open("t")
    assert noted(breakers, THREE, [503, 503, 503]) == [False, False, True]


def test_answers_while_open_neither_count_nor_prolong_the_pause():
    clock = Clock()
    breakers = Breakers(clock)
    noted(breakers, THREE, [503] * 3)
    clock.now_s += 20
    assert noted(breakers, THREE, [503] * 5) == [False] * 5
    clock.now_s += 10.1
    assert not breakers.is_open("t")


def test_what_was_counted_longer_ago_than_one_cooldown_does_not_count():
    clock = Clock()
    breakers = Breakers(clock)
    noted(breakers, THREE, [503, 503])
    clock.now_s += 30.1
    assert noted(breakers, THREE, [503, 503, 503]) == [False, False, True]


def test_only_so_many_breakers_are_kept_and_the_longest_unused_goes_first():
    breakers = Breakers(Clock(), most=2)
    for name in ("a", "b", "a", "c"):
        breakers.note(name, BreakerPolicy(30_000, 2), 503)
    assert breakers.forgotten == 1
    assert (breakers.is_open("a"), len(breakers._states)) == (True, 2)
    assert "b" not in breakers._states


def test_what_nobody_asks_for_does_not_pile_up():
    breakers = Breakers(Clock(), most=10)
    for number in range(50):
        breakers.note(str(number), THREE, 503)
    assert [count.id for count in breakers.take_untold()] == [str(number) for number in range(40, 50)]


def test_what_was_counted_is_told_once():
    breakers = Breakers(Clock())
    noted(breakers, THREE, [503, 200, 503])
    assert [(count.id, count.ok, count.failed, count.opened) for count in breakers.take_untold()] == [
        ("t", 1, 2, False)
    ]
    assert breakers.take_untold() == []


def test_failures_of_two_workers_add_up():
    one, other = Breakers(Clock()), Breakers(Clock())
    noted(one, THREE, [503, 503])
    noted(other, THREE, [503])
    other.absorb(one.take_untold())
    assert other.is_open("t")
    one.absorb(other.take_untold())
    assert one.is_open("t")


def test_what_was_absorbed_is_not_told_on():
    one, other = Breakers(Clock()), Breakers(Clock())
    noted(one, THREE, [503])
    other.absorb(one.take_untold())
    assert other.take_untold() == []


def test_a_breaker_that_opened_in_one_worker_opens_in_all_whatever_they_counted():
    one, other = Breakers(Clock()), Breakers(Clock())
    noted(other, HALF, [200] * 50)
    assert noted(one, HALF, [503, 503, 200, 200, 200, 200])[3]
    other.absorb(one.take_untold())
    assert other.is_open("t")


def test_absorbing_while_open_does_not_prolong_the_pause():
    clock = Clock()
    one, other = Breakers(clock), Breakers(clock)
    noted(one, THREE, [503] * 3)
    noted(other, THREE, [503] * 3)
    clock.now_s += 20
    one.absorb(other.take_untold())
    clock.now_s += 10.1
    assert not one.is_open("t")


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([200, 503, 404])), max_size=40), st.integers(1, 8))
def test_two_workers_that_tell_each_other_agree(calls, failures):
    """Told after every call, both are open or both are closed, as one worker alone would be."""
    clock = Clock()
    policy = BreakerPolicy(30_000, failures=failures, percentage=60, minimum=5)
    workers, alone = (Breakers(clock), Breakers(clock)), Breakers(clock)
    for first, status in calls:
        speaker, listener = workers if first else workers[::-1]
        speaker.note("t", policy, status)
        listener.absorb(speaker.take_untold())
        alone.note("t", policy, status)
        assert workers[0].is_open("t") == workers[1].is_open("t") == alone.is_open("t")
