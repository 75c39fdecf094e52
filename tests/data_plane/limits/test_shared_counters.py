import asyncio
import os
import socket
import time
import uuid

import pytest
import redis

from data_plane.core.limit import Limit
from data_plane.limits.admission import Admission
from data_plane.limits.shared_counters import PREFIX, SharedCounters, SharedUnavailable
from shared.errors import RateLimited

#: More than a Redis needs on a machine that is busy with other tests.
PATIENCE_S = 20.0
URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")


@pytest.fixture
async def shared():
    made = SharedCounters(URL, PATIENCE_S)
    yield made
    await made.close()


@pytest.fixture
def scope():
    return f"k:{uuid.uuid4()}"


async def test_calls_are_counted_in_all_counters_or_in_none(shared, scope):
    first, second = f"{scope}:a", f"{scope}:b"
    assert await shared.admit([(first, 5, 1, 0, 60_000), (second, 1, 1, 0, 60_000)]) == (-1, [1, 1])
    assert await shared.admit([(first, 5, 1, 0, 60_000), (second, 1, 1, 0, 60_000)]) == (1, [1, 1])
    assert await shared.admit([(first, 5, 1, 0, 60_000)]) == (-1, [2])


async def test_tokens_are_looked_at_and_counted_later(shared, scope):
    wanted = [(scope, 100, 0, 0, 60_000)]
    assert await shared.admit(wanted) == (-1, [0])
    await shared.add([(scope, 99, 60_000)])
    assert await shared.admit(wanted) == (-1, [99])
    await shared.add([(scope, 1, 60_000)])
    assert await shared.admit(wanted) == (0, [100])


async def test_what_a_gateway_knows_itself_counts_after_redis_forgot(shared, scope):
    assert await shared.admit([(scope, 5, 1, 4, 60_000)]) == (-1, [5])
    assert await shared.admit([(scope, 5, 1, 0, 60_000)]) == (0, [5])


async def test_a_counter_ends_with_its_window(shared, scope):
    await shared.admit([(f"{scope}:a", 5, 1, 0, 60_000)])
    await shared.add([(f"{scope}:b", 5, 60_000)])
    client = redis.Redis.from_url(URL)
    left = [client.pttl(f"{PREFIX}{scope}:{name}") for name in ("a", "b")]
    client.close()
    assert all(0 < each <= 60_000 for each in left)


async def test_twenty_gateways_at_once_let_through_what_the_limit_says(scope):
    limit = Limit(scope, "this API key", "requests", "rpd", 37, True)
    gateways = [Admission(SharedCounters(URL, PATIENCE_S)) for _ in range(20)]

    async def ask(gateway):
        try:
            await gateway.admit([limit])
        except RateLimited:
            return 0
        return 1

    done = sum(await asyncio.gather(*(ask(gateway) for gateway in gateways for _ in range(5))))
    for gateway in gateways:
        await gateway.close()
    assert [gateway.failures for gateway in gateways] == [0] * 20
    assert done == 37


async def test_a_flush_of_redis_lets_nobody_begin_anew(scope):
    limit = Limit(scope, "this API key", "requests", "rpd", 10, True)
    gateway, client = Admission(SharedCounters(URL, PATIENCE_S)), redis.Redis.from_url(URL)
    for _ in range(10):
        await gateway.admit([limit])
    client.delete(*client.keys(f"{PREFIX}{scope}*"))
    client.close()
    with pytest.raises(RateLimited):
        await gateway.admit([limit])
    await gateway.close()


async def test_a_redis_that_says_nothing_is_given_up_soon():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        made = SharedCounters(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        began = time.monotonic()
        with pytest.raises(SharedUnavailable):
            await made.admit([("x", 1, 1, 0, 1000)])
        assert time.monotonic() - began < 5
        await made.close()


async def test_a_redis_that_is_not_there_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    made = SharedCounters(f"redis://127.0.0.1:{port}/0")
    with pytest.raises(SharedUnavailable):
        await made.add([("x", 1, 1000)])
    await made.close()
