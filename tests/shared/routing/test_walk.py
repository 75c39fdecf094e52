from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.routing.plan import Fallback, LoadBalance, Target
from shared.routing.walk import BACKOFF_S, AttemptResult, pick, walk
from shared.schema.config import Retry


def target(path, attempts=0, codes=frozenset({429, 500}), *, use=False):
    return Target(path=path, retry=Retry(attempts, codes, use))


def play(node, results, draw=lambda: 0.0):
    """Return the attempts as (path, retry, wait) and the final status; `results` are statuses or AttemptResults."""
    steps = walk(node, draw)
    step, attempts = next(steps), []
    for result in results:
        attempts.append((step.target.path, step.retry, step.wait_s))
        try:
            step = steps.send(result if isinstance(result, AttemptResult) else AttemptResult(result))
        except StopIteration as stop:
            assert len(attempts) == len(results), "the walk ended early"
            return attempts, stop.value.status
    raise AssertionError(f"the walk wants more than {len(results)} results")


A, B, C = target("a"), target("b"), target("c")


def test_a_target_alone_is_tried_once():
    assert play(A, [500]) == ([("a", 0, 0.0)], 500)


def test_retries_wait_longer_each_time_and_stop_at_their_number():
    attempts, status = play(target("a", attempts=5), [500] * 6)
    assert [wait for _, _, wait in attempts] == [0.0, *BACKOFF_S]
    assert status == 500


def test_a_status_outside_the_list_is_not_retried():
    assert play(target("a", attempts=3), [401]) == ([("a", 0, 0.0)], 401)


def test_a_retry_that_succeeds_ends_the_walk():
    assert play(target("a", attempts=3), [429, 200])[1] == 200


def test_the_providers_wait_replaces_the_backoff_on_429_only():
    asked = AttemptResult(429, retry_after_s=7.0)
    assert play(target("a", 3, use=True), [asked, 200])[0][1][2] == 7.0
    assert play(target("a", 3, use=True), [AttemptResult(500, retry_after_s=7.0), 200])[0][1][2] == 1.0
    assert play(target("a", 3, use=False), [asked, 200])[0][1][2] == 1.0


@pytest.mark.parametrize("waits", [[60.0], [30.0, 30.5]])
def test_a_provider_that_asks_for_too_long_a_wait_is_not_waited_for(waits):
    results = [AttemptResult(429, retry_after_s=wait) for wait in waits]
    attempts, status = play(target("a", 5, use=True), results)
    assert (len(attempts), status) == (len(waits), 429)


def test_fallback_goes_on_after_any_failure_and_returns_the_last_result():
    assert play(Fallback("f", (A, B), None), [500, 401]) == ([("a", 0, 0.0), ("b", 0, 0.0)], 401)


def test_fallback_stops_at_a_success_of_any_kind():
    assert play(Fallback("f", (A, B), None), [246]) == ([("a", 0, 0.0)], 246)


def test_fallback_stops_on_a_status_outside_its_list():
    assert play(Fallback("f", (A, B), frozenset({429})), [500]) == ([("a", 0, 0.0)], 500)


def test_fallback_goes_on_after_a_success_that_is_listed():
    assert play(Fallback("f", (A, B), frozenset({246})), [246, 200])[1] == 200


def test_a_final_result_ends_everything():
    assert play(Fallback("f", (target("a", 3), B), None), [AttemptResult(429, final=True)])[1] == 429


def test_retries_happen_inside_a_target_before_the_next_one():
    attempts, _ = play(Fallback("f", (target("a", 1), B), None), [500, 500, 200])
    assert [(path, retry) for path, retry, _ in attempts] == [("a", 0), ("a", 1), ("b", 0)]


def test_a_fallback_inside_a_balance_inside_a_fallback_is_walked_in_order():
    inner = LoadBalance("l", (Fallback("i", (A, B), None), C), (1.0, 1.0))
    attempts, _ = play(Fallback("f", (inner, C), None), [500, 500, 200])
    assert [path for path, _, _ in attempts] == ["a", "b", "c"]


@pytest.mark.parametrize(("point", "path"), [(0.0, "a"), (0.2499, "a"), (0.25, "b"), (0.9999999, "b")])
def test_pick_follows_the_weights(point, path):
    assert pick(LoadBalance("l", (A, B), (1.0, 3.0)), point).path == path


@given(
    st.lists(st.floats(0, 1e6), min_size=1, max_size=6).filter(lambda w: sum(w) > 0), st.floats(0, 1, exclude_max=True)
)
def test_a_child_without_weight_is_never_chosen(weights, point):
    children = tuple(target(str(index)) for index in range(len(weights)))
    chosen = pick(LoadBalance("l", children, tuple(weights)), point)
    assert weights[int(chosen.path)] > 0


def test_the_share_of_each_child_is_its_weight():
    node, dice = LoadBalance("l", (A, B, C), (1.0, 2.0, 7.0)), Random(7)
    seen = Counter(pick(node, dice.random()).path for _ in range(20_000))
    for path, share in (("a", 0.1), ("b", 0.2), ("c", 0.7)):
        assert abs(seen[path] / 20_000 - share) < 0.02
