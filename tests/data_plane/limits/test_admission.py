import asyncio

import pytest
from structlog.testing import capture_logs

from data_plane.core.limit import Limit
from data_plane.limits.admission import LOOK_S, MOST_PENDING, REST_S, Admission
from data_plane.limits.shared_counters import SETTLE_S, Seen, SharedUnavailable
from shared.errors import ProviderRateLimited, RateLimited

CALLS = Limit("k:1", "this API key", "requests", "rpm", 3, True)
TOKENS = Limit("k:1", "this API key", "tokens", "rpm", 100, True)
THIRTY = Limit("k:1", "this API key", "requests", "rpm", 30, True)
LOOSE = Limit("k:1", "this API key", "requests", "rpm", 1000, True)
ACCOUNT = Limit("vk:1", "the provider @main", "requests", "rpm", 2, False)


class Clock:
    def __init__(self):
        self.now = 1_800_000_000.0

    def __call__(self):
        return self.now


class Broken:
    """A Redis that does not answer."""

    def __init__(self):
        self.asked = 0
        self.added = []

    async def admit(self, wanted):
        self.asked += 1
        raise SharedUnavailable("TimeoutError")

    async def add(self, number, counted):
        self.asked += 1
        raise SharedUnavailable("TimeoutError")

    async def close(self):
        self.added = None


class Memory:
    """A Redis that counts, and can be away, be read only, lose what it has, or be new."""

    def __init__(self, *, is_new=False):
        self.counts, self.added, self.since = {}, [], 1
        self.is_new, self.is_away, self.is_read_only = is_new, False, False
        self.asked = 0

    def lose(self):
        self.counts, self.since = {}, self.since + 1

    def _answer(self, *, writes=False):
        self.asked += 1
        if self.is_away or (writes and self.is_read_only):
            raise SharedUnavailable("ReadOnlyError")

    async def admit(self, wanted):
        await asyncio.sleep(0)
        self._answer(writes=any(each.add for each in wanted))
        counts = [max(self.counts.get(each.name, 0), each.known) for each in wanted]
        for number, (each, count) in enumerate(zip(wanted, counts, strict=True)):
            if count + max(each.add, 1) > each.most:
                return Seen(number, counts, self.since, by_share=False)
            if self.is_new and each.own_left <= 0:
                return Seen(number, counts, self.since, by_share=True)
        self.counts |= {each.name: count + each.add for each, count in zip(wanted, counts, strict=True) if each.add}
        return Seen(
            -1, [count + each.add for each, count in zip(wanted, counts, strict=True)], self.since, by_share=False
        )

    async def add(self, number, counted):
        self._answer(writes=True)
        self.added.append((number, counted))
        for name, count, _ in counted:
            self.counts[name] = self.counts.get(name, 0) + count

    async def raise_to(self, counted):
        self._answer(writes=True)
        for name, count, _ in counted:
            self.counts[name] = max(self.counts.get(name, 0), count)


def admission(**given):
    clock = Clock()
    return Admission(clock=clock, monotonic=clock, **given), clock


async def admitted(made, limits, times):
    done = 0
    for _ in range(times):
        try:
            await made.admit(limits)
        except RateLimited:
            continue
        done += 1
    return done


async def test_so_many_calls_go_on_in_a_window_and_again_in_the_next():
    made, clock = admission()
    assert await admitted(made, [CALLS], 10) == 3
    clock.now += 60
    assert await admitted(made, [CALLS], 10) == 3


async def test_a_refusal_says_whose_limit_it_is_and_when_to_come_back():
    made, clock = admission()
    clock.now = 1_800_000_000.0 // 60 * 60 + 20.5
    await admitted(made, [CALLS], 3)
    with pytest.raises(RateLimited) as refused:
        await made.admit([CALLS])
    assert refused.value.message == "Rate limit exceeded: this API key allows 3 requests per minute."
    assert (refused.value.status, refused.value.path, refused.value.final) == (429, "k:1", True)
    assert refused.value.headers() == {
        "retry-after": "40",
        "x-ratelimit-limit-requests": "3",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "39.500s",
    }
    assert made.refused == {"requests": 1}


async def test_a_refused_call_counts_in_none_of_its_limits():
    made, _ = admission()
    await admitted(made, [CALLS], 3)
    assert await admitted(made, [ACCOUNT, CALLS], 5) == 0
    assert await admitted(made, [ACCOUNT], 5) == 2


async def test_an_account_s_limit_leaves_other_targets_to_try():
    made, _ = admission()
    await admitted(made, [ACCOUNT], 2)
    with pytest.raises(ProviderRateLimited) as refused:
        await made.admit([ACCOUNT])
    assert refused.value.final is False


async def test_tokens_count_once_they_are_spent():
    made, clock = admission()
    assert await admitted(made, [TOKENS], 50) == 50
    made.spent([TOKENS, CALLS], 99)
    await made.admit([TOKENS])
    made.spent([TOKENS], 1)
    with pytest.raises(RateLimited, match="100 tokens per minute"):
        await made.admit([TOKENS])
    clock.now += 60
    await made.admit([TOKENS])


@pytest.mark.parametrize(("gateways", "share"), [(1, 3), (2, 1), (3, 1), (50, 1)])
async def test_without_redis_each_gateway_keeps_to_its_share_and_at_least_one(gateways, share):
    made, _ = admission(gateways=gateways)
    assert await admitted(made, [CALLS], 10) == share


async def test_a_redis_that_is_away_leaves_the_share_and_is_not_asked_for_a_while():
    broken = Broken()
    made, clock = admission(shared=broken, gateways=3)
    assert await admitted(made, [CALLS], 10) == 1
    assert (broken.asked, made.failures) == (1, 1)
    clock.now += REST_S
    await admitted(made, [CALLS], 1)
    assert broken.asked == 2


async def test_tokens_that_redis_did_not_take_are_kept_until_it_does():
    shared = Memory()
    made, clock = admission(shared=shared)
    shared.is_read_only = True
    await made.admit([TOKENS])
    made.spent([TOKENS], 10)
    await made.flush()
    made.spent([TOKENS], 5)
    clock.now += REST_S
    shared.is_read_only = False
    await made.flush()
    # What was told and perhaps not heard is told again as it was, by its number; what came later has the next one.
    assert [(number, count) for number, ((_, count, _),) in shared.added] == [(1, 10), (2, 5)]
    await made.flush()
    assert len(shared.added) == 2


async def test_tokens_whose_window_is_over_are_told_to_nobody():
    shared = Memory()
    made, clock = admission(shared=shared)
    shared.is_away = True
    made.spent([TOKENS], 10)
    await made.flush()
    clock.now += 60
    shared.is_away = False
    await made.flush()
    assert shared.added == []


async def test_while_redis_can_be_read_and_not_written_to_tokens_keep_to_the_share():
    shared = Memory()
    made, clock = admission(shared=shared, gateways=4)
    shared.is_read_only = True
    assert await admitted(made, [TOKENS], 3) == 3
    made.spent([TOKENS], 25)
    await made.flush()
    clock.now += REST_S
    asked = shared.asked
    assert await admitted(made, [TOKENS], 3) == 0
    assert shared.asked == asked
    shared.is_read_only = False
    await made.flush()
    assert await admitted(made, [TOKENS], 3) == 3
    assert shared.added[-1][1][0][1] == 25


async def test_what_redis_said_of_all_gateways_is_not_forgotten_when_it_is_away():
    shared = Memory()
    made, clock = admission(shared=shared)
    # Others have called twice; one call is left of three.
    shared.counts[CALLS.window(clock.now)[0]] = 2
    assert await admitted(made, [CALLS], 1) == 1
    shared.is_away = True
    assert await admitted(made, [CALLS], 5) == 0
    clock.now += 60
    assert await admitted(made, [CALLS], 5) == 3


async def test_a_redis_that_lost_its_counters_is_told_what_is_known_also_by_gateways_without_calls():
    shared = Memory()
    first, clock = admission(shared=shared)
    second = Admission(shared, clock=clock, monotonic=clock)
    assert await admitted(first, [CALLS], 2) == 2
    first.spent([TOKENS], 40)
    await first.flush()
    shared.lose()
    clock.now += LOOK_S
    first.spent([TOKENS], 7)
    await first.flush()
    assert shared.counts == {CALLS.window(clock.now)[0]: 2, TOKENS.window(clock.now)[0]: 47}
    assert await admitted(second, [CALLS], 5) == 1


async def test_redis_is_looked_at_now_and_then_and_only_by_who_knows_something():
    shared = Memory()
    made, clock = admission(shared=shared)
    await made.flush()
    assert shared.asked == 0
    await admitted(made, [CALLS], 1)
    await made.flush()
    asked = shared.asked
    for _ in range(10):
        await made.flush()
    assert shared.asked == asked
    clock.now += LOOK_S
    await made.flush()
    assert shared.asked == asked + 1


async def test_a_new_redis_leaves_no_more_than_the_share_and_says_to_come_back_soon():
    shared = Memory(is_new=True)
    made, clock = admission(shared=shared, gateways=3)
    clock.now = 1_800_000_000.0 // 60 * 60
    assert await admitted(made, [CALLS], 5) == 1
    with pytest.raises(RateLimited) as refused:
        await made.admit([CALLS])
    assert refused.value.headers()["retry-after"] == str(int(SETTLE_S))
    shared.is_new = False
    assert await admitted(made, [CALLS], 5) == 2


async def test_a_failure_is_logged_once_until_redis_is_asked_again():
    shared = Memory()
    made, clock = admission(shared=shared)
    shared.is_away = True
    with capture_logs() as logs:
        await asyncio.gather(*(made.admit([LOOSE]) for _ in range(50)))
        assert (made.failures, len(logs)) == (50, 1)
        clock.now += REST_S
        await made.admit([LOOSE])
        assert (made.failures, len(logs)) == (51, 2)
    assert logs[0]["event"] == "rate_limits_counted_here"


# how many gateways share a limit


@pytest.mark.parametrize(("least", "told", "share"), [(1, 3, 10), (3, 1, 10), (2, 6, 5), (5, 3, 6), (1, 1000, 1)])
async def test_the_share_is_that_of_as_many_as_were_told_and_of_no_fewer_than_were_set(least, told, share):
    made, _ = admission(gateways=least)
    made.share_among(told)
    assert await admitted(made, [THIRTY], 40) == share


async def test_a_share_that_shrinks_within_a_window_counts_what_was_let_through():
    made, clock = admission()
    assert await admitted(made, [THIRTY], 8) == 8
    made.share_among(3)
    assert await admitted(made, [THIRTY], 30) == 2
    made.share_among(10)
    assert await admitted(made, [THIRTY], 30) == 0
    clock.now += 60
    assert await admitted(made, [THIRTY], 30) == 3


async def used_up(made, limit):
    """Call until the first refusal; return how many calls went on."""
    done = 0
    while await admitted(made, [limit], 1):
        done += 1
    return done


class Group:
    """Gateways without a Redis; each learns how many there are with its own report to the control plane."""

    def __init__(self, limit, size):
        self.clock, self.limit, self.gateways = Clock(), limit, []
        self.clock.now = 1_800_000_000.0 // 60 * 60
        for _ in range(size):
            self.start()
        self.report()

    def start(self):
        """Start one more, which reports before it takes calls."""
        self.gateways.append(Admission(clock=self.clock, monotonic=self.clock))
        self.gateways[-1].share_among(len(self.gateways))

    def report(self):
        for each in self.gateways:
            each.share_among(len(self.gateways))

    async def use_up(self):
        """Call every gateway until all refuse; return how many calls went on."""
        return sum([await used_up(each, self.limit) for each in self.gateways])


async def test_from_3_to_30_gateways_no_more_is_let_through_than_the_formula_says_and_only_until_all_have_reported():
    limit = Limit("k:1", "this API key", "requests", "rpm", 2700, True)
    group = Group(limit, 3)
    assert await group.use_up() == limit.value
    group.clock.now += 60
    for _ in range(27):
        group.start()
    done = await group.use_up()
    # The three take their thirds, and each that came later the part that it was told.
    assert done == limit.value + sum(limit.value // n for n in range(4, 31))
    assert done - limit.value <= limit.value * (30 // 3 - 1)
    group.report()
    assert await group.use_up() == 0
    group.clock.now += 60
    assert await group.use_up() == limit.value


async def test_30_gateways_that_nobody_told_of_more_than_3_overshoot_by_the_formula_and_no_more():
    limit = Limit("k:1", "this API key", "requests", "rpm", 3000, True)
    made = [Admission(gateways=3, clock=lambda: 1e9) for _ in range(30)]
    done = sum([await used_up(each, limit) for each in made])
    assert done - limit.value == limit.value * (30 // 3 - 1)


async def test_from_30_to_3_gateways_the_limit_is_never_exceeded():
    limit = Limit("k:1", "this API key", "requests", "rpm", 3000, True)
    group = Group(limit, 30)
    assert await group.use_up() == limit.value
    group.clock.now += 60
    del group.gateways[3:]
    assert await group.use_up() == limit.value // 10
    group.report()
    assert await group.use_up() == limit.value - limit.value // 10


async def test_tokens_on_their_way_are_bounded_and_the_loss_is_counted():
    made, _ = admission(shared=Broken())
    made.spent([Limit(f"k:{n}", "o", "tokens", "rpd", 9, True) for n in range(MOST_PENDING + 5)], 1)
    assert (len(made._pending), made.counters.dropped) == (MOST_PENDING, 5)


async def test_whoever_has_no_limits_waits_for_nothing():
    broken = Broken()
    made, _ = admission(shared=broken)
    await made.admit([])
    assert broken.asked == 0
    await made.close()
    assert broken.added is None
