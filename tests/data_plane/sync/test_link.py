import asyncio
import socket

import pytest

from data_plane.sync.link import Activate, Activated, Connected, Deny, Gateways, Hello, Link, Shared, Totals
from shared.routing.breaker import BreakerCount
from shared.routing.sticky import StickyChoice

MESSAGES = [
    Hello("o", "g", "i", {"kid": b"\0" * 32}), Activate(b"{}", {"d": b"x" * 300_000}), Deny(["k:1"]), Connected(True),
    Gateways(3), Activated(1, 2), Totals({"queue_full": 3}),
    Shared([BreakerCount("b", 1, 2, 30_000, 3, None, 5, True)], [StickyChoice("k", "config.targets[0]", 5.0)]),
]  # fmt: skip


async def pair():
    left, right = socket.socketpair()
    return await Link.over(left), await Link.over(right)


async def test_messages_arrive_whole_and_in_order():
    left, right = await pair()
    for message in MESSAGES:
        left.send(message)
    assert [await asyncio.wait_for(right.receive(), 5) for _ in MESSAGES] == MESSAGES
    left.close()
    right.close()


async def test_the_end_of_the_other_side_is_an_end():
    left, right = await pair()
    left.close()
    with pytest.raises(EOFError):
        await asyncio.wait_for(right.receive(), 5)
    right.close()


async def test_what_can_be_done_without_is_not_sent_to_an_end_that_does_not_read():
    near, far = await pair()
    message = Shared([], [StickyChoice("k" * 1_000_000, "config", 1.0)])
    sent = sum(near.offer(message) for _ in range(100))
    assert 0 < sent < 20
    assert near.is_behind()
    for _ in range(sent):
        assert await asyncio.wait_for(far.receive(), 5) == message
    assert not near.is_behind()
    near.close()
    far.close()
    await asyncio.sleep(0)
