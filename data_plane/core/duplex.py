"""What is a conversation in both directions (a WebSocket) to the stages between its two connections?

Messages and an end; which library is on the wire is nobody's business here.  Source: RFC 6455.
"""

from dataclasses import dataclass, field
from typing import Final, Protocol

#: The subprotocol of realtime conversations; what a browser offers besides tells who it is.
SUBPROTOCOL: Final = "realtime"
NORMAL: Final = 1000
GOING_AWAY: Final = 1001
#: An end without a word: the connection broke.  Never on the wire.
ABNORMAL: Final = 1006
REFUSED: Final = 1008
TOO_LARGE: Final = 1009
FAILED: Final = 1011
#: Codes that stand for something which was not on the wire, and must not be.
_NOT_SENT: Final = frozenset({1004, 1005, ABNORMAL, 1015})
_NO_CODE: Final = frozenset({0, 1005})


@dataclass(frozen=True, slots=True)
class Message:
    """One whole message: text as UTF-8, or any bytes."""

    content: bytes = field(repr=False)
    is_text: bool


@dataclass(frozen=True, slots=True)
class Closed:
    """The end of a connection: with `code` and `reason` as told, 0 when none was, or broken (not `is_orderly`)."""

    code: int
    reason: str = ""
    is_orderly: bool = True


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """Bounds of one realtime session; times are seconds, `idle_s` without a message of either side.

    Each side is asked for a sign of life every `heartbeat_s` and is gone when it gave none until the next time.
    """

    max_message_bytes: int = 16 * 1024 * 1024
    idle_s: float = 600.0
    longest_s: float = 3900.0
    heartbeat_s: float = 30.0


class Duplex(Protocol):
    """One connection of a conversation; whoever receives is alone in it, and so is whoever sends.

    `heard` counts whatever came, signs of life included; `is_listening` is whether somebody is in `receive`.
    """

    heard: int
    is_listening: bool

    @property
    def violation(self) -> int | None:
        """Return the code with which the other side was sent away when it broke the protocol, None when it did not."""

    async def receive(self) -> Message | Closed:
        """Return the next message, or the end; raises nothing."""

    async def send(self, message: Message) -> None:
        """Send a message as soon as the other side takes it; raises ConnectionError when it never will."""

    async def ping(self) -> None:
        """Ask for a sign of life; raises nothing and does not wait for it."""

    async def close(self, code: int, reason: str) -> None:
        """End the connection in order, or at once when the other side takes no part in it; raises nothing."""


class Conversation(Protocol):
    """A conversation whose provider's side is open; it goes on when the caller's is."""

    @property
    def max_message_bytes(self) -> int:
        """Return the most that one message may have."""

    async def run(self, caller: Duplex) -> None:
        """Relay until one side ends it or it has to end; both connections are closed then."""


def passed_on(code: int) -> int:
    """Return the code with which an end is told on that came with `code`."""
    if code in _NO_CODE:
        return NORMAL
    return code if 1000 <= code < 5000 and code not in _NOT_SENT else FAILED
