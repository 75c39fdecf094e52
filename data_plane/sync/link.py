"""The line between the agent and a worker: length-prefixed msgpack over an inherited socket pair.

The agent verified everything, so workers neither verify nor read the disk; and the private sealing keys reach them
only this way.
"""

import asyncio
import socket
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from data_plane.limits.counters import RateCount
from data_plane.limits.slices import Draw, Granted, Refused, Returned, Spent
from shared.routing.breaker import BreakerCount
from shared.routing.sticky import StickyChoice

MAX_MESSAGE_BYTES: Final = 1024 * 1024 * 1024
#: With more than this waiting for the other end, what can be done without is not sent.
MAX_WAITING_BYTES: Final = 4 * 1024 * 1024


#: How a worker is told which of the descriptors that it inherits are its line to the agent, and its port.
LINK_FD: Final = "GATEHOUSE_LINK_FD"
SOCKET_FD: Final = "GATEHOUSE_SOCKET_FD"


class Hello(msgspec.Struct, tag="hello"):
    """Agent → worker, first: who this gateway is and in which run, and the keys that open its secrets."""

    org: str
    group: str
    instance: str
    sealing_keys: dict[str, bytes]
    boot: str = ""


class Activate(msgspec.Struct, tag="activate"):
    """Agent → worker: a verified manifest and the blobs that the worker does not have yet."""

    manifest: bytes
    blobs: Mapping[str, bytes]


class Deny(msgspec.Struct, tag="deny"):
    """Agent → worker: all ids that are revoked now."""

    ids: list[str]


class Connected(msgspec.Struct, tag="connected"):
    """Agent → worker: whether the control plane is being heard from."""

    on: bool


class Gateways(msgspec.Struct, tag="gateways"):
    """Agent → worker: among how many gateways this one is, which share the limits of rate."""

    count: int


class Activated(msgspec.Struct, tag="activated"):
    """Worker → agent: this version is in use for new requests."""

    epoch: int
    seq: int


class Totals(msgspec.Struct, tag="totals"):
    """Worker → agent, now and then: records dropped since the worker's start, by reason."""

    dropped: dict[str, int]


class Shared(msgspec.Struct, tag="shared"):
    """Worker → agent → all other workers: what breakers counted, what was chosen for keeps, and counts of rates."""

    breakers: list[BreakerCount]
    sticky: list[StickyChoice]
    rates: list[RateCount] = []


class BudgetNews(msgspec.Struct, tag="budget_news"):
    """Worker → agent: what it needs of budgets, what it has spent, and what it hands back."""

    draws: list[Draw] = []
    spent: list[Spent] = []
    returned: list[Returned] = []


class BudgetReplies(msgspec.Struct, tag="budget_replies"):
    """Agent → worker: slices, refusals, and the keys of budgets of which it shall hand back what it does not need."""

    granted: list[Granted] = []
    refused: list[Refused] = []
    recalled: list[str] = []


Message = Hello | Activate | Deny | Connected | Gateways | Activated | Totals | Shared | BudgetNews | BudgetReplies
_DECODER: Final[msgspec.msgpack.Decoder[Any]] = msgspec.msgpack.Decoder(Message)


class Link:
    """One end of the line."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, sock: socket.socket) -> "Link":
        """Return the end that speaks through a connected socket."""
        reader, writer = await asyncio.open_connection(sock=sock)
        return cls(reader, writer)

    def send(self, message: Message) -> None:
        """Send a message; what the other end has not read yet waits in memory."""
        body = msgspec.msgpack.encode(message)
        self._writer.write(len(body).to_bytes(4, "big") + body)

    def is_behind(self) -> bool:
        """Return whether more waits for the other end than it should."""
        return self._writer.transport.get_write_buffer_size() > MAX_WAITING_BYTES

    def offer(self, message: Message) -> bool:
        """Send a message that can be done without; return False, unsent, while too much waits for the other end."""
        if self.is_behind():
            return False
        self.send(message)
        return True

    async def receive(self) -> Any:
        """Return the next message; raises EOFError when the other end is gone."""
        try:
            size = int.from_bytes(await self._reader.readexactly(4), "big")
            return _DECODER.decode(await self._reader.readexactly(size))
        except (asyncio.IncompleteReadError, ConnectionError) as fault:
            raise EOFError("the other end of the link is gone") from fault

    def close(self) -> None:
        """Hang up."""
        self._writer.close()
