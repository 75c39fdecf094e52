import pytest

from data_plane.core.limit import Limit
from data_plane.limits.admission import MOST_PENDING, REST_S, Admission
from data_plane.limits.shared_counters import SharedUnavailable
from shared.errors import ProviderRateLimited, RateLimited

CALLS = Limit("k:1", "this API key", "requests", "rpm", 3, True)
TOKENS = Limit("k:1", "this API key", "tokens", "rpm", 100, True)
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

    async def add(self, counted):
        self.asked += 1
        raise SharedUnavailable("TimeoutError")

    async def close(self):
        self.added = None


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
    broken = Broken()
    made, clock = admission(shared=broken)
    made.spent([TOKENS], 10)
    await made.flush()
    made.spent([TOKENS], 5)
    clock.now += REST_S

    async def add(counted):
        broken.added += counted

    broken.add = add
    await made.flush()
    assert [(name.split(":")[0], count) for name, count, _ in broken.added] == [("k", 15)]
    await made.flush()
    assert len(broken.added) == 1


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
