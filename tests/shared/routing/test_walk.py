from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import BadRequest
from shared.routing.breaker import Breakers
from shared.routing.facts import Facts
from shared.routing.walk import BACKOFF_S, MAX_RETRY_AFTER_S, AttemptResult, NoTarget, pick
from shared.schema.strategy import BreakerPolicy, StickyFields
from tests.shared.routing.route_kit import (
    Clock,
    balance,
    chosen,
    compiled,
    fallback,
    play,
    route,
    steps_of,
    target,
)

A, B, C = target("a"), target("b"), target("c")
ONCE = BreakerPolicy(30_000, failures=1)


def guarded(path, policy=ONCE):
    return target(path, breaker=policy, breaker_id=path)


def opened(*paths, clock=None):
    """Return breakers of which those of `paths` are open."""
    breakers = Breakers(clock or Clock())
    for path in paths:
        assert breakers.note(path, ONCE, 503)
    return breakers


def tried(node, results, on=None):
    return [path for path, _, _ in play(node, results, on)[0]]


# Retry (contract 1.4).


def test_a_target_alone_is_tried_once():
    attempts, result = play(A, [500])
    assert (attempts, result) == ([("a", 0, 0.0)], AttemptResult(500))


def test_retries_wait_twice_as_long_each_time_and_stop_at_their_number():
    attempts, result = play(target("a", attempts=5), [500] * 6)
    assert attempts == [("a", 0, 0.0), ("a", 1, 1.0), ("a", 2, 2.0), ("a", 3, 4.0), ("a", 4, 8.0), ("a", 5, 16.0)]
    assert (result.status, result.exhausted) == (500, True)


@pytest.mark.parametrize("status", [401, 200, 246, 503])
def test_a_status_outside_the_list_is_not_retried(status):
    attempts, result = play(target("a", attempts=3), [status])
    assert (len(attempts), result.status, result.exhausted) == (1, status, False)


def test_a_retry_that_succeeds_is_not_exhausted():
    assert play(target("a", attempts=1), [429, 200])[1] == AttemptResult(200)


def test_a_retry_that_ends_in_another_failure_is_not_exhausted():
    assert play(target("a", attempts=3), [429, 401])[1] == AttemptResult(401)


def test_without_retries_nothing_is_exhausted():
    assert not play(target("a", attempts=0), [429])[1].exhausted


@pytest.mark.parametrize(("status", "calls"), [(200, 1), (204, 1), (205, 2), (246, 2), (446, 2), (408, 2)])
def test_what_is_listed_is_retried_unless_it_is_a_plain_success(status, calls):
    node = target("a", 1, frozenset({200, 204, 205, 246, 446, 408}))
    assert len(play(node, [status] * calls)[0]) == calls


def test_the_request_may_say_how_many_retries_there_are():
    assert len(play(target("a", attempts=5), [500, 500], route(retries=1))[0]) == 2
    assert len(play(target("a", attempts=5), [500], route(retries=0))[0]) == 1
    waits = [wait for _, _, wait in play(target("a"), [500] * 8, route(retries=7))[0]]
    assert waits == [0.0, *BACKOFF_S, 16.0, 16.0]


@pytest.mark.parametrize(
    ("dice", "waits"), [(0.0, [0.5, 1.0, 2.0]), (0.5, [0.75, 1.5, 3.0]), (0.999999, [1.0, 2.0, 4.0])]
)
def test_jitter_spreads_a_wait_over_half_to_whole_its_length(dice, waits):
    attempts, _ = play(target("a", 3), [500] * 4, route(draw=lambda: dice, jitter=True))
    assert [wait for _, _, wait in attempts[1:]] == pytest.approx(waits, abs=1e-5)


@given(st.integers(0, 1000))
def test_jitter_stays_in_its_bounds(seed):
    attempts, _ = play(target("a", 5), [500] * 6, route(draw=Random(seed).random, jitter=True))
    for (_, retry, wait), most in zip(attempts[1:], BACKOFF_S, strict=True):
        assert most / 2 <= wait < most, retry


def test_the_providers_wait_replaces_the_backoff_on_429_only():
    asked = AttemptResult(429, retry_after_s=7.0)
    node = target("a", 3, waits=True)
    assert play(node, [asked, 200])[0][1][2] == 7.0
    assert play(node, [AttemptResult(429, 0.0), 200])[0][1][2] == 0.0
    assert play(node, [AttemptResult(500, 7.0), 200])[0][1][2] == 1.0
    assert play(node, [AttemptResult(429), 200])[0][1][2] == 1.0
    assert play(target("a", 3), [asked, 200])[0][1][2] == 1.0


def test_the_providers_wait_is_not_jittered():
    on = route(draw=lambda: 0.0, jitter=True)
    assert play(target("a", 3, waits=True), [AttemptResult(429, 8.0), 200], on)[0][1][2] == 8.0


@pytest.mark.parametrize("waits", [[60.0], [61.0], [30.0, 30.5], [20.0, 20.0, 20.1]])
def test_a_provider_that_asks_for_too_long_a_wait_is_not_waited_for(waits):
    results = [AttemptResult(429, retry_after_s=wait) for wait in waits]
    attempts, result = play(target("a", 5, waits=True), results)
    assert (len(attempts), result.status, result.exhausted) == (len(waits), 429, True)


def test_a_provider_is_waited_for_up_to_a_minute_in_all():
    results = [AttemptResult(429, 59.9), AttemptResult(429, 0.1), 200]
    assert len(play(target("a", 5, waits=True), results)[0]) == 3
    assert MAX_RETRY_AFTER_S == 60


# Fallback.


def test_fallback_goes_on_after_any_failure_and_returns_the_last_result():
    assert play(fallback(A, B), [500, 401]) == ([("a", 0, 0.0), ("b", 0, 0.0)], AttemptResult(401))


@pytest.mark.parametrize(("codes", "status", "goes_on"), [
    (None, 200, False), (None, 204, False), (None, 246, False), (None, 299, False), (None, 199, True), (None, 300, True), (None, 400, True),
    (None, 408, True), (None, 446, True), (None, 500, True), ({429}, 429, True), ({429}, 500, False), ({429}, 200, False),
    ({246}, 246, True), ({200}, 200, True), (set(), 500, False),
])  # fmt: skip
def test_fallback_goes_on_by_its_list_or_after_what_is_no_success(codes, status, goes_on):
    node = fallback(A, B, codes=codes if codes is None else frozenset(codes))
    assert tried(node, [status, 200] if goes_on else [status]) == (["a", "b"] if goes_on else ["a"])


@pytest.mark.parametrize("status", [200, 429, 500])
def test_a_final_result_ends_everything(status):
    node = fallback(fallback(target("a", 3), B), balance({"c": 1}), codes=frozenset({200, 429, 500}))
    attempts, result = play(node, [AttemptResult(status, final=True)])
    assert (len(attempts), result.status, result.exhausted) == (1, status, False)


def test_retries_happen_inside_a_target_before_the_next_one():
    attempts, result = play(fallback(target("a", 1), B), [500, 500, 200])
    assert [(path, retry) for path, retry, _ in attempts] == [("a", 0), ("a", 1), ("b", 0)]
    assert not result.exhausted


def test_a_target_whose_retries_are_used_up_is_exhausted_where_it_is_the_last():
    assert play(fallback(A, target("b", 1)), [500, 500, 500])[1].exhausted


def test_a_fallback_inside_a_balance_inside_a_fallback_is_walked_in_order():
    inner = balance([(fallback(A, B, path="i"), 1), (C, 1)])
    assert tried(fallback(inner, C), [500, 500, 200]) == ["a", "b", "c"]


def test_a_fallback_says_what_it_did():
    on = route()
    play(fallback(A, B, C, codes=frozenset({500})), [500, 401], on)
    assert [
        (step.chose, step.why, [tuple(map(str, (item.what, item.why))) for item in step.rejected])
        for step in on.trace.steps
    ] == [
        ("b", "500 is listed", [("a", "answered 500")]),
        ("b", "401 is not listed", [("c", "not tried")]),
    ]


# Load balance.


@pytest.mark.parametrize(("point", "path"), [(0.0, "a"), (0.2499, "a"), (0.25, "b"), (0.9999999, "b")])
def test_a_balance_follows_the_weights(point, path):
    assert chosen(balance({"a": 1, "b": 3}), route(draw=lambda: point)) == path


@given(
    st.lists(st.sampled_from([0.0, 5e-324, 1e-9, 0.1, 1.0, 1e12]), min_size=1, max_size=6).filter(any),
    st.floats(0, 1, exclude_max=True),
)
def test_a_child_without_weight_is_never_chosen(weights, point):
    node = balance([(str(index), weight) for index, weight in enumerate(weights)])
    assert weights[pick(node.cumulative, point)] > 0


def shares(node, count=20_000):
    on = route(draw=Random(7).random)
    seen = Counter()
    for _ in range(count):
        on.trace.steps.clear()
        seen[chosen(node, on)] += 1
    return {path: number / count for path, number in seen.items()}


def test_the_share_of_each_child_is_its_weight():
    assert shares(balance({"a": 1, "b": 2, "c": 7, "d": 0})) == pytest.approx({"a": 0.1, "b": 0.2, "c": 0.7}, abs=0.02)


def test_shares_of_nested_balances_multiply():
    node = balance([(balance({"a": 1, "b": 3}), 0.6), (balance({"c": 1, "d": 1}), 0.4)])
    assert shares(node) == pytest.approx({"a": 0.15, "b": 0.45, "c": 0.2, "d": 0.2}, abs=0.02)


def test_a_balance_fails_without_trying_another():
    assert tried(balance({"a": 1, "b": 1}), [500]) == ["a"]


def test_a_balance_says_what_it_drew():
    on = route(draw=lambda: 0.5)
    play(balance({"a": 1, "b": 1}), [200], on)
    (step,) = on.trace.steps
    assert (step.step, step.chose, step.facts) == ("loadbalance", "b", {"draw": 0.5, "weights": (1.0, 1.0)})


# Conditional.

CHOICE = {
    "strategy": {
        "mode": "conditional",
        "conditions": [
            {"query": {"metadata.plan": "paid"}, "then": "good"},
            {"query": {"params.model": {"$regex": "^gpt"}}, "then": "cheap"},
            {"query": {"metadata.plan": "paid"}, "then": "never"},
        ],
        "default": "rest",
    },
    "targets": [{"name": name, "virtual_key": name} for name in ("rest", "cheap", "good", "never")],
}


@pytest.mark.parametrize(("metadata", "params", "index"), [
    ({"plan": "paid"}, {"model": "gpt-4"}, 2), ({"plan": "free"}, {"model": "gpt-4"}, 1), ({}, {"model": "claude"}, 0), ({}, {}, 0),
])  # fmt: skip
def test_the_first_condition_that_holds_decides_else_the_default(metadata, params, index):
    on = route(Facts(metadata=metadata, params=params))
    assert chosen(compiled(CHOICE), on) == f"config.targets[{index}]"


def test_no_condition_and_no_default_is_a_refusal():
    body = {**CHOICE, "strategy": {key: CHOICE["strategy"][key] for key in ("mode", "conditions")}}
    with pytest.raises(NoTarget, match=r"^Query router did not resolve to any valid target$") as raised:
        chosen(compiled(body))
    assert isinstance(raised.value, BadRequest)
    assert raised.value.status == 400


def test_a_condition_says_what_it_looked_at_and_what_it_left_out():
    on = route(Facts(metadata={"plan": "free"}, params={"model": "gpt-4"}))
    chosen(compiled(CHOICE), on)
    (step,) = on.trace.steps
    assert (step.step, step.why) == ("condition", "condition 1 holds")
    assert step.facts == {"metadata.plan": "free", "params.model": "gpt-4"}
    assert [item.what for item in step.rejected] == ["config.targets[2]"]


def test_texts_of_the_body_are_hidden_where_bodies_are_not_kept():
    on = route(Facts(params={"model": "gpt-4"}))
    on.trace.hide_params()
    chosen(compiled(CHOICE), on)
    assert on.trace.steps[0].facts == {"metadata.plan": "(absent)", "params.model": "(hidden)"}


# Circuit breakers (contract 1.6).


def test_an_open_target_is_left_out_and_the_others_keep_their_index():
    body = {
        "strategy": {"mode": "fallback", "cb_config": {"failure_threshold": 1, "cooldown_interval": 30_000}},
        "targets": [{}, {}, {}],
    }
    on = route(breakers=opened("|config.targets[0]"))
    assert tried(compiled(body), [400, 200], on) == ["config.targets[1]", "config.targets[2]"]
    (step,) = steps_of(on, "breaker")
    assert [item.what for item in step.rejected] == ["config.targets[0]"]


def test_a_target_that_fails_often_enough_opens_and_is_used_again_after_its_cooldown():
    clock = Clock()
    breakers = Breakers(clock)
    node = fallback(guarded("a", BreakerPolicy(30_000, failures=2)), guarded("b"), guarded=True)
    firsts = []
    for _ in range(3):
        firsts.append(tried(node, [503, 200] if len(firsts) < 2 else [200], route(breakers=breakers))[0])
    clock.now_s += 31
    firsts.append(tried(node, [200], route(breakers=breakers))[0])
    assert firsts == ["a", "a", "b", "a"]


def test_retries_of_one_target_count_once():
    breakers = Breakers(Clock())
    node = target("a", 3, frozenset({503}), breaker=BreakerPolicy(30_000, failures=2), breaker_id="a")
    play(node, [503] * 4, route(breakers=breakers))
    assert not breakers.is_open("a")
    on = route(breakers=breakers)
    play(node, [503] * 4, on)
    assert breakers.is_open("a")
    assert steps_of(on, "breaker")[0].chose == "open"


def test_a_refusal_by_the_gateway_is_not_the_targets_fault():
    breakers = Breakers(Clock())
    play(guarded("a"), [AttemptResult(503, final=True)], route(breakers=breakers))
    assert not breakers.is_open("a")


@pytest.mark.parametrize("results", [[503, 503], [200]])
def test_when_all_are_open_none_counts(results):
    on = route(breakers=opened("a", "b"))
    assert tried(fallback(guarded("a"), guarded("b"), guarded=True), results, on) == ["a", "b"][: len(results)]
    assert steps_of(on, "breaker")[0].chose == "all"


def test_a_balance_draws_among_the_closed_ones():
    node = balance([(guarded("a"), 8), (guarded("b"), 1), (guarded("c"), 1)], guarded=True)
    on = route(breakers=opened("a"), draw=Random(1).random)
    seen = Counter(chosen(node, on) for _ in range(2000))
    assert set(seen) == {"b", "c"}
    assert abs(seen["b"] - 1000) < 150
    assert [item.what for item in on.trace.steps[0].rejected] == ["a"]


def test_a_balance_whose_targets_are_all_open_uses_its_weights():
    node = balance([(guarded("a"), 1), (guarded("b"), 3), (guarded("idle"), 0)], guarded=True)
    on = route(breakers=opened("a", "b"), draw=lambda: 0.25)
    assert chosen(node, on) == "b"
    assert steps_of(on, "breaker")[0].chose == "all"


def test_a_closed_target_without_weight_does_not_keep_a_strategy_alive():
    inner = balance([(guarded("a"), 1), (guarded("idle"), 0)], guarded=True)
    assert tried(fallback(inner, guarded("b"), guarded=True), [200], route(breakers=opened("a"))) == ["b"]


def test_a_nested_strategy_is_left_out_when_all_its_leaves_are_open():
    inner = fallback(guarded("a"), guarded("b"), path="i", guarded=True)
    node = fallback(inner, guarded("c"), guarded=True)
    assert tried(node, [200], route(breakers=opened("a", "b"))) == ["c"]
    assert tried(node, [200], route(breakers=opened("a"))) == ["b"]


def test_a_nested_strategy_with_an_unguarded_leaf_is_never_left_out():
    inner = fallback(guarded("a"), B, path="i", guarded=True)
    assert tried(fallback(inner, guarded("c"), guarded=True), [200], route(breakers=opened("a"))) == ["b"]


def test_a_condition_is_never_overridden_by_a_breaker():
    body = {
        "strategy": {"mode": "conditional", "conditions": [{"query": {"metadata.x": 1}, "then": "a"}], "default": "a"},
        "targets": [{"name": "a", "cb_config": {"failure_threshold": 1, "cooldown_interval": 30_000}}, {"name": "b"}],
    }
    node = compiled({"strategy": {"mode": "fallback"}, "targets": [body, {}]})
    on = route(breakers=opened("|config.targets[0].targets[0]"))
    assert tried(node, [200], on) == ["config.targets[0].targets[0]"]


def test_a_sticky_target_that_is_open_is_lent_out_and_comes_back():
    clock = Clock()
    breakers = Breakers(clock)
    node = balance(
        [(guarded("a"), 1), (guarded("b"), 1)], guarded=True, sticky=StickyFields((("metadata", "u"),), 3600)
    )
    on = route(Facts(metadata={"u": "x"}), breakers=breakers, clock=clock)
    home = chosen(node, on)
    breakers.note(home, ONCE, 503)
    assert chosen(node, on) != home
    clock.now_s += 31
    assert chosen(node, on) == home
    assert on.trace.steps[-1].why == "remembered"
