import asyncio
import socket

import pytest

from data_plane.sync.link import Activate, Activated, Connected, Deny, Hello, Link, Totals

MESSAGES = [
    Hello("o", "g", "i", {"kid": b"\0" * 32}), Activate(b"{}", {"d": b"x" * 300_000}), Deny(["k:1"]), Connected(True),
    Activated(1, 2), Totals({"queue_full": 3}),
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
