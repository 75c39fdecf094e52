import asyncio
import os
import socket
import time
import uuid

import pytest
import redis
from structlog.testing import capture_logs

from data_plane.core.limit import Limit
from data_plane.limits.admission import LOOK_S, REST_S, Admission
from data_plane.limits.shared_counters import PREFIX, SharedCounters, SharedUnavailable, Wanted
from shared.errors import RateLimited
from tests.data_plane.limits.redis_kit import OwnRedis, SlowLine

#: More than a Redis needs on a machine that is busy with other tests.
PATIENCE_S = 20.0
#: More than any wait in the gateway, which has its own bounds.
BOUND_S = 60.0
URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")


@pytest.fixture
async def shared():
    made = SharedCounters(URL, PATIENCE_S, settle_s=0)
    yield made
    await made.close()


@pytest.fixture
def scope():
    return f"k:{uuid.uuid4()}"


def wanted(name, most, *, add=1, known=0, own_left=1):
    return Wanted(name, most, add, known, 60_000, own_left)


async def looked_at(shared, *counters):
    """Return (the one that is full, the counts)."""
    return (await shared.admit(counters))[:2]


async def test_calls_are_counted_in_all_counters_or_in_none(shared, scope):
    first, second = wanted(f"{scope}:a", 5), wanted(f"{scope}:b", 1)
    assert await looked_at(shared, first, second) == (-1, [1, 1])
    assert await looked_at(shared, first, second) == (1, [1, 1])
    assert await looked_at(shared, first) == (-1, [2])


async def test_tokens_are_looked_at_and_counted_later(shared, scope):
    tokens = wanted(scope, 100, add=0)
    assert await looked_at(shared, tokens) == (-1, [0])
    await shared.add(1, [(scope, 99, 60_000)])
    assert await looked_at(shared, tokens) == (-1, [99])
    await shared.add(2, [(scope, 1, 60_000)])
    assert await looked_at(shared, tokens) == (0, [100])


async def test_what_is_told_twice_counts_once_also_when_it_arrives_after_what_came_later(shared, scope):
    for number, count in ((1, 10), (1, 10), (2, 5), (1, 10), (2, 5)):
        await shared.add(number, [(scope, count, 60_000)])
    assert await looked_at(shared, wanted(scope, 100, add=0)) == (-1, [15])
    another = SharedCounters(URL, PATIENCE_S)
    await another.add(1, [(scope, 1, 60_000)])
    await another.close()
    assert await looked_at(shared, wanted(scope, 100, add=0)) == (-1, [16])


async def test_what_a_gateway_knows_itself_counts_after_redis_forgot(shared, scope):
    assert await looked_at(shared, wanted(scope, 5, known=4)) == (-1, [5])
    assert await looked_at(shared, wanted(scope, 5)) == (0, [5])


async def test_a_counter_is_raised_to_what_is_known_and_never_lowered(shared, scope):
    await shared.raise_to([(scope, 4, 60_000)])
    await shared.raise_to([(scope, 3, 60_000)])
    assert await looked_at(shared, wanted(scope, 5)) == (-1, [5])


async def test_a_counter_ends_with_its_window(shared, scope):
    await shared.admit([wanted(f"{scope}:a", 5)])
    await shared.add(1, [(f"{scope}:b", 5, 60_000)])
    await shared.raise_to([(f"{scope}:c", 5, 60_000)])
    client = redis.Redis.from_url(URL)
    left = [client.pttl(f"{PREFIX}{scope}:{name}") for name in ("a", "b", "c")]
    client.close()
    assert all(0 < each <= 60_000 for each in left)


async def test_while_redis_is_new_a_gateway_has_its_share_and_no_more(scope):
    new, old = SharedCounters(URL, PATIENCE_S, settle_s=1e9), SharedCounters(URL, PATIENCE_S, settle_s=0)
    spent = wanted(scope, 5, own_left=0)
    refused, passed = await new.admit([spent]), await old.admit([spent])
    full = await new.admit([wanted(scope, 1, own_left=0)])
    await new.close()
    await old.close()
    assert (refused.full, refused.by_share, refused.counts) == (0, True, [0])
    assert (passed.full, passed.by_share, passed.counts) == (-1, False, [1])
    assert (full.full, full.by_share) == (0, False)


async def test_twenty_gateways_at_once_let_through_what_the_limit_says(scope):
    limit = Limit(scope, "this API key", "requests", "rpd", 37, True)
    gateways = [Admission(SharedCounters(URL, PATIENCE_S)) for _ in range(20)]
    done = sum(await asyncio.gather(*(calls(gateway, limit, 5) for gateway in gateways)))
    for gateway in gateways:
        await gateway.close()
    assert [gateway.failures for gateway in gateways] == [0] * 20
    assert done == 37


async def test_with_redis_30_gateways_that_believe_to_be_3_let_through_what_the_limit_says(scope):
    limit = Limit(scope, "this API key", "requests", "rpd", 90, True)
    gateways = [Admission(SharedCounters(URL, PATIENCE_S, settle_s=0), gateways=3) for _ in range(30)]
    done = sum(await asyncio.gather(*(calls(gateway, limit, 10) for gateway in gateways)))
    for gateway in gateways:
        await gateway.close()
    assert [gateway.failures for gateway in gateways] == [0] * 30
    assert done == limit.value


async def test_more_calls_at_once_than_connections_are_counted_together_all_the_same(scope):
    limit = Limit(scope, "this API key", "requests", "rpd", 250, True)
    gateway = Admission(SharedCounters(URL, PATIENCE_S))
    done = sum(await asyncio.gather(*(calls(gateway, limit, 1) for _ in range(400))))
    await gateway.close()
    assert (done, gateway.failures) == (250, 0)


async def test_a_redis_that_says_nothing_is_given_up_soon():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        made = SharedCounters(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        began = time.monotonic()
        with pytest.raises(SharedUnavailable):
            await made.admit([wanted("x", 1)])
        assert time.monotonic() - began < 5
        await made.close()


async def test_a_redis_that_is_not_there_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    made = SharedCounters(f"redis://127.0.0.1:{port}/0")
    with pytest.raises(SharedUnavailable):
        await made.add(1, [("x", 1, 1000)])
    await made.close()


# faults of a Redis of one's own

DAY = 1_800_000_000.0
LIMIT = Limit("k:1", "this API key", "requests", "rpd", 30, True)
TOKENS = Limit("k:1", "this API key", "tokens", "rpd", 300, True)
SHARE = 10


async def calls(gateway, limit, times, *, spends=0):
    """Make calls one after the other; return how many went on."""
    done = 0
    for _ in range(times):
        try:
            await asyncio.wait_for(gateway.admit([limit]), BOUND_S)
        except RateLimited:
            continue
        gateway.spent([limit], spends)
        done += 1
    return done


class Three:
    """Gateways that share LIMIT by thirds while Redis is away; `rest` lets their clock pass the time of a rest."""

    def __init__(self, url, *, timeout_s=PATIENCE_S, settle_s=0.0):
        self.now = 0.0
        self.made = [
            Admission(
                SharedCounters(url, timeout_s, settle_s=settle_s),
                gateways=3,
                clock=lambda: DAY,
                monotonic=lambda: self.now,
            )
            for _ in range(3)
        ]

    def __getitem__(self, index):
        return self.made[index]

    async def rest(self):
        """Let the gateways do what they do now and then."""
        self.now += max(REST_S, LOOK_S)
        for each in self.made:
            await each.flush()

    @property
    def failures(self):
        return sum(each.failures for each in self.made)

    async def close(self):
        for each in self.made:
            await each.close()


@pytest.fixture
def own(tmp_path):
    made = OwnRedis(tmp_path).start()
    yield made
    made.kill()


def lose_writes(own):
    own.command("REPLICAOF", "127.0.0.1", "1")


def win_writes(own):
    own.command("REPLICAOF", "NO", "ONE")


FAULTS = {
    "gone and back, empty": (OwnRedis.kill, OwnRedis.start),
    "hanging": (OwnRedis.stop_running, OwnRedis.go_on),
    "a replica that takes no writes": (lose_writes, win_writes),
    "a replica that has lost its master": (
        lambda own: (own.command("CONFIG", "SET", "replica-serve-stale-data", "no"), lose_writes(own)),
        win_writes,
    ),
    "out of memory": (
        lambda own: own.command("CONFIG", "SET", "maxmemory", "1"),
        lambda own: own.command("CONFIG", "SET", "maxmemory", "0"),
    ),
    "a master that may not write alone": (
        lambda own: own.command("CONFIG", "SET", "min-replicas-to-write", "1"),
        lambda own: own.command("CONFIG", "SET", "min-replicas-to-write", "0"),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_during_a_fault_a_gateway_keeps_to_its_share_and_afterwards_all_go_on_from_what_is_known(own, fault):
    begins, ends = FAULTS[fault]
    three = Three(own.url, timeout_s=2.0)
    assert [await calls(three[0], LIMIT, 12), await calls(three[1], LIMIT, 5)] == [12, 5]
    assert three.failures == 0
    begins(own)
    with capture_logs() as logs:
        # Whoever has more than its share already gets no more, and nobody gets more than is left of it.
        done = await asyncio.gather(*(calls(each, LIMIT, 1) for each in [three[0]] * 20 + [three[1]] * 20))
        assert (sum(done[:20]), sum(done[20:])) == (0, SHARE - 5)
        assert three.failures >= 2
        assert [entry["event"] for entry in logs] == ["rate_limits_counted_here"] * 2
        await three.rest()
        assert await calls(three[0], LIMIT, 5) + await calls(three[1], LIMIT, 5) == 0
        assert len(logs) <= 4
    ends(own)
    await three.rest()
    failures = three.failures
    # Calls that Redis counted too late to be of use count as well, so it may be fewer.
    more = await calls(three[1], LIMIT, 40) + await calls(three[0], LIMIT, 40)
    assert more <= LIMIT.value - 22 if fault == "hanging" else more == LIMIT.value - 22
    assert await calls(three[2], LIMIT, 40) == 0
    assert three.failures == failures
    await three.close()


@pytest.mark.parametrize("fault", FAULTS)
async def test_tokens_keep_to_the_share_during_a_fault_and_are_told_once_afterwards(own, fault):
    begins, ends = FAULTS[fault]
    three = Three(own.url, timeout_s=2.0)
    assert await calls(three[0], TOKENS, 4, spends=10) == 4
    await three.rest()
    begins(own)
    assert await calls(three[0], TOKENS, 1, spends=10) == 1
    await three.rest()
    await three.rest()
    assert three[0].failures > 0
    assert await calls(three[0], TOKENS, 40, spends=10) == 5
    ends(own)
    await three.rest()
    await three.rest()
    name = PREFIX + TOKENS.window(DAY)[0]
    assert own.command("GET", name) == b"100"
    assert await calls(three[1], TOKENS, 1, spends=200) == 1
    await three.rest()
    assert [await calls(each, TOKENS, 1) for each in three.made] == [0, 0, 0]
    await three.close()


async def test_a_flush_of_redis_in_the_middle_of_a_window_lets_nobody_begin_anew(own):
    three = Three(own.url)
    assert [await calls(three[0], LIMIT, 12), await calls(three[1], LIMIT, 5)] == [12, 5]
    own.command("FLUSHALL")
    # The first knows of its 12, the second of all 17.
    assert await calls(three[0], LIMIT, 1) == 1
    assert await calls(three[1], LIMIT, 40) == 13
    assert await calls(three[0], LIMIT, 40) == 0
    await three.rest()
    assert await calls(three[2], LIMIT, 40) == 0
    assert three.failures == 0
    await three.close()


async def test_after_a_failover_to_an_empty_replica_whoever_knows_nothing_gets_one_share_and_then_hears_the_rest(own):
    three = Three(own.url, settle_s=3600.0)
    # Until the counters were lost Redis was not new.
    three[0]._shared._settle_ms = 0
    assert await calls(three[0], LIMIT, 40) == LIMIT.value
    own.kill()
    own.start()
    assert await calls(three[1], LIMIT, 40) == SHARE
    # The first finds that its line is dead, then that the counters are lost.
    await three.rest()
    await three.rest()
    three[1]._shared._settle_ms = three[2]._shared._settle_ms = 0
    assert [await calls(each, LIMIT, 40) for each in three.made] == [0, 0, 0]
    await three.close()


async def test_an_answer_that_comes_too_late_is_given_up_and_never_taken_for_another_one(own, scope):
    async with SlowLine(own.port) as line:
        made = SharedCounters(line.url, 0.5, settle_s=0)
        gateway = Admission(made, gateways=3, clock=lambda: DAY)
        assert await calls(gateway, LIMIT, 1) == 1
        line.delay_s = 2.0
        done = await asyncio.gather(*(calls(gateway, LIMIT, 1) for _ in range(50)))
        assert sum(done) == SHARE - 1
        assert gateway.failures >= 1
        line.delay_s = 0.0
        patient = 0
        for number in range(30):
            try:
                assert await looked_at(made, wanted(f"{scope}:{number}", 100, known=number)) == (-1, [number + 1])
                patient += 1
            except SharedUnavailable:
                # Half a second is little on a machine that is busy.
                continue
        assert patient > 0
        await gateway.close()
