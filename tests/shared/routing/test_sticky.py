from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.routing.facts import Facts
from shared.routing.sticky import StickyChoice, StickyMemory, rendezvous, sticky_key
from shared.schema.strategy import StickyFields
from tests.shared.routing.route_kit import Clock, balance, chosen, route, steps_of

USER = StickyFields((("metadata", "user"),), 60)
NAMES = ("a", "b", "c")


def key_of(facts, fields=USER.fields, strategy="s"):
    return sticky_key(strategy, StickyFields(fields), facts)


def user(name):
    return Facts(metadata={"user": name})


def test_requests_that_agree_in_their_fields_have_one_key():
    assert key_of(user("u")) == key_of(Facts(path="/x", metadata={"user": "u", "other": 1}))


@pytest.mark.parametrize("other", [user("v"), user(1), user(None), user("")])
def test_another_value_has_another_key(other):
    assert key_of(other) != key_of(user("u"))


def test_text_and_number_differ_but_whole_numbers_do_not():
    assert key_of(user("1")) != key_of(user(1))
    assert key_of(user(1.0)) == key_of(user(1))
    assert key_of(user(True)) != key_of(user(1))


def test_each_strategy_has_keys_of_its_own():
    assert key_of(user("u"), strategy="s") != key_of(user("u"), strategy="t")


@pytest.mark.parametrize(("path", "facts"), [
    (("metadata", "user"), Facts(metadata={"user": "u"})), (("params", "user"), Facts(params={"user": "u"})),
    (("headers", "x-user"), Facts(headers={"x-user": "u"})), (("params", "a", "b"), Facts(params={"a": {"b": "u"}})),
])  # fmt: skip
def test_a_field_is_found_in_metadata_params_and_headers(path, facts):
    assert key_of(facts, (path,)) is not None
    assert key_of(Facts(), (path,)) is None


def test_one_field_of_several_is_enough():
    both = (("metadata", "user"), ("metadata", "team"))
    assert key_of(Facts(metadata={"team": "t"}), both) is not None
    assert key_of(Facts(metadata={"team": "t"}), both) != key_of(Facts(metadata={"user": "t"}), both)


def test_what_is_not_simple_counts_as_absent():
    assert key_of(Facts(params={"user": {"a": 1}}), (("params", "user"),)) is None


def test_bytes_that_are_no_text_have_a_key_too():
    assert key_of(user("\udcff")) is not None


def test_the_draw_is_the_same_everywhere_and_changes_with_its_seed():
    drawn = [rendezvous("k", seed, NAMES, (1, 1, 1)) for seed in range(200)]
    assert drawn == [rendezvous("k", seed, NAMES, (1, 1, 1)) for seed in range(200)]
    assert set(drawn) == {0, 1, 2}


@given(st.text(max_size=20), st.lists(st.sampled_from([0.0, 1e-6, 0.3, 1.0, 1e9]), min_size=1, max_size=6).filter(any))
def test_a_name_without_weight_is_never_drawn(key, weights):
    assert weights[rendezvous(key, 0, [str(index) for index in range(len(weights))], weights)] > 0


def test_keys_are_shared_out_by_weight():
    seen = Counter(rendezvous(str(key), 0, NAMES, (1, 2, 7)) for key in range(20_000))
    assert [abs(seen[index] / 20_000 - share) < 0.02 for index, share in enumerate((0.1, 0.2, 0.7))] == [True] * 3


def test_a_name_that_goes_moves_only_its_own_keys():
    before = [NAMES[rendezvous(str(key), 0, NAMES, (1, 1, 1))] for key in range(2000)]
    after = [NAMES[rendezvous(str(key), 0, NAMES, (1, 1, 0))] for key in range(2000)]
    assert all(old == new for old, new in zip(before, after, strict=True) if old != "c")


def test_a_choice_is_remembered_until_its_time_is_over():
    clock = Clock()
    memory = StickyMemory(clock)
    memory.remember("k", "a", 60)
    clock.now_s += 59.9
    assert memory.recall("k") == "a"
    clock.now_s += 0.1
    assert memory.recall("k") is None
    assert memory.recall("unknown") is None


def test_only_so_many_choices_are_remembered_and_the_oldest_goes_first():
    memory = StickyMemory(Clock(), most=2)
    for key in ("x", "y", "x", "z"):
        memory.remember(key, "a", 60)
    assert (memory.recall("x"), memory.recall("y"), memory.recall("z"), memory.forgotten) == ("a", None, "a", 1)


def test_what_nobody_asks_for_does_not_pile_up():
    memory = StickyMemory(Clock(), most=10)
    for number in range(100):
        memory.remember(str(number), "a", 60)
    untold = memory.take_untold()
    assert len(untold) <= 10
    assert untold[-1].key == "99"


def test_choices_are_told_once_and_not_told_on():
    one, other = StickyMemory(Clock()), StickyMemory(Clock())
    one.remember("k", "a", 60)
    other.absorb(one.take_untold())
    assert other.recall("k") == "a"
    assert one.take_untold() == other.take_untold() == []


def test_of_two_choices_the_first_counts_for_both_workers():
    clock = Clock()
    one, other = StickyMemory(clock), StickyMemory(clock)
    one.remember("k", "a", 60)
    clock.now_s += 1
    other.remember("k", "b", 60)
    ones, others = one.take_untold(), other.take_untold()
    one.absorb(others)
    other.absorb(ones)
    assert (one.recall("k"), other.recall("k")) == ("a", "a")


def test_two_choices_of_one_moment_are_settled_alike():
    one, other = StickyMemory(Clock()), StickyMemory(Clock())
    one.remember("k", "b", 60)
    other.remember("k", "a", 60)
    ones, others = one.take_untold(), other.take_untold()
    one.absorb(others)
    other.absorb(ones)
    assert one.recall("k") == other.recall("k") == "a"


def test_a_choice_that_comes_too_late_takes_nothing_away():
    clock = Clock()
    memory = StickyMemory(clock)
    memory.remember("k", "a", 60)
    memory.absorb([StickyChoice("k", "b", clock.now_s - 1)])
    assert memory.recall("k") == "a"


# Sticky load balancing as `walk` does it.


def test_the_same_user_keeps_a_target_and_users_are_spread():
    node = balance({"a": 1, "b": 1}, sticky=USER)
    on = route()
    seen = {}
    for _ in range(3):
        for name in range(40):
            on.facts = user(name)
            assert seen.setdefault(name, chosen(node, on)) == chosen(node, on)
    assert set(seen.values()) == {"a", "b"}


def test_two_workers_choose_alike_without_a_word():
    node = balance({"a": 1, "b": 2, "c": 3}, sticky=USER)
    for name in range(50):
        assert chosen(node, route(user(name))) == chosen(node, route(user(name)))


def test_users_are_shared_out_by_weight():
    node = balance({"a": 1, "b": 2, "c": 7}, sticky=USER)
    on = route()
    seen = Counter()
    for name in range(20_000):
        on.facts = user(name)
        seen[chosen(node, on)] += 1
    for path, share in (("a", 0.1), ("b", 0.2), ("c", 0.7)):
        assert abs(seen[path] / 20_000 - share) < 0.02


def test_when_the_time_is_over_a_target_is_drawn_anew():
    node = balance({"a": 1, "b": 1}, sticky=USER)
    clock = Clock()
    on = route(user("u"), clock=clock)
    drawn = []
    for _ in range(60):
        drawn.append(chosen(node, on))
        clock.now_s += 60
    assert set(drawn) == {"a", "b"}
    whys = [step.why for step in steps_of(on, "sticky")]
    assert set(whys) == {"drawn for 60 s"}


def test_a_request_without_the_fields_is_drawn_by_weight():
    on = route(Facts(), draw=lambda: 0.9)
    assert chosen(balance({"a": 1, "b": 1}, sticky=USER), on) == "b"
    assert steps_of(on, "sticky") == []


def test_a_target_without_weight_is_given_up_although_it_is_remembered():
    on = route(user("u"))
    before = chosen(balance({"a": 1, "b": 1}, sticky=USER), on)
    other = {"a": "b", "b": "a"}[before]
    assert chosen(balance([(before, 0), (other, 1)], sticky=USER), on) == other
    assert chosen(balance({"a": 1, "b": 1}, sticky=USER), on) == other


def test_a_target_that_is_gone_is_replaced():
    on = route(user("u"))
    before = chosen(balance({"a": 1, "b": 1}, sticky=USER), on)
    rest = [name for name in ("a", "b", "c") if name != before]
    assert chosen(balance(dict.fromkeys(rest, 1), sticky=USER), on) in rest


def test_a_sticky_step_says_what_it_looked_at():
    on = route(Facts(headers={"x-user": "private"}))
    chosen(balance({"a": 1}, sticky=StickyFields((("headers", "x-user"),), 60)), on)
    chosen(balance({"a": 1}, sticky=StickyFields((("headers", "x-user"),), 60)), on)
    assert [step.why for step in on.trace.steps] == ["drawn for 60 s", "remembered"]
    assert all(step.facts["headers.x-user"] == "(hidden)" for step in on.trace.steps)


def test_seeds_follow_each_other_once_per_time_to_live():
    clock = Clock(0.0)
    memory = StickyMemory(clock)
    seeds = []
    for now in range(0, 300, 10):
        clock.now_s = float(now)
        seeds.append(memory.seed(60))
    assert seeds == sorted(seeds)
    assert len(set(seeds)) == 5
    assert all(after - before <= 1 for before, after in pairwise(seeds))
