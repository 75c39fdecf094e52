r"""Where does one server-sent event end?  Cuts a byte stream into events, however the network cut the stream.

Works on bytes: JSON is decoded from bytes anyway, and a chunk may end inside a character.  Line ends are made `\n` as
the bytes arrive, so that the end of an event is always an empty line: `\n\n`.
Source: https://html.spec.whatwg.org/multipage/server-sent-events.html, section 9.2.6
"""

from typing import Final

from shared.errors import UpstreamInvalid

MAX_EVENT_BYTES: Final = 8 * 1024 * 1024
_BOM: Final = b"\xef\xbb\xbf"

_TYPE: Final = b'{"type":"'

Event = tuple[str, bytes]


def data_frame(chunk: bytes) -> bytes:
    """Return one event that has no name."""
    return b"data: " + chunk + b"\n\n"


def named_frame(chunk: bytes) -> bytes:
    """Return one event named by the `type` of its JSON, which comes first in it."""
    if not chunk.startswith(_TYPE):
        return data_frame(chunk)
    return b"event: " + chunk[len(_TYPE) : chunk.index(b'"', len(_TYPE))] + b"\ndata: " + chunk + b"\n\n"


def _read_block(block: bytes) -> Event | None:
    """Return the event that the lines of `block` make; None when none of them is data."""
    name = ""
    parts: list[bytes] = []
    for line in block.split(b"\n"):
        key, _, value = line.partition(b":")
        if key == b"data":
            parts.append(value.removeprefix(b" "))
        elif key == b"event":
            name = value.removeprefix(b" ").decode("utf-8", "replace")
    return (name, b"\n".join(parts)) if parts else None


def _read_blocks(blocks: list[bytes]) -> list[Event]:
    events: list[Event] = []
    for block in blocks:
        # Nearly every event of a chat stream is one line; only the others are taken apart.
        if block[:6] == b"data: " and b"\n" not in block:
            event: Event | None = ("", block[6:])
        else:
            event = _read_block(block)
        if len(block) > MAX_EVENT_BYTES:
            raise UpstreamInvalid("The provider sent an event that is too large.")
        if event is not None:
            events.append(event)
    return events


class SseSplitter:
    """One stream's state between two chunks: the event that is not complete yet."""

    def __init__(self) -> None:
        self._pending = bytearray()
        self._head: bytes | None = b""
        self._after_cr = False

    def feed(self, chunk: bytes) -> list[Event]:
        """Return the events that `chunk` completes, as (name, data); the name is "" when the event has none.

        Raises UpstreamInvalid when one event is longer than `MAX_EVENT_BYTES`.
        """
        if self._head is not None:
            chunk = self._behind_mark(chunk)
        if self._after_cr or b"\r" in chunk:
            chunk = self._with_plain_ends(chunk)
        pending = self._pending
        if not pending and chunk.endswith(b"\n\n"):
            return _read_blocks(chunk[:-2].split(b"\n\n"))
        # What is pending holds no empty line, so the first one can begin at its last byte at the earliest.
        start = max(0, len(pending) - 1)
        pending += chunk
        cut = pending.rfind(b"\n\n", start)
        events: list[Event] = []
        if cut >= 0:
            blocks = bytes(pending[:cut]).split(b"\n\n")
            del pending[: cut + 2]
            events = _read_blocks(blocks)
        if len(pending) > MAX_EVENT_BYTES + 1:
            raise UpstreamInvalid("The provider sent an event that is too large.")
        return events

    def close(self) -> list[Event]:
        """Return the last event when its empty line is missing: several providers end their stream so."""
        block = bytes(self._pending).removesuffix(b"\n")
        self._pending.clear()
        return _read_blocks([block]) if block else []

    def _behind_mark(self, chunk: bytes) -> bytes:
        """Return `chunk` without the byte-order mark that a stream may begin with; b"" while that is undecided."""
        head = (self._head or b"") + chunk
        if len(head) < len(_BOM) and _BOM.startswith(head):
            self._head = head
            return b""
        self._head = None
        return head.removeprefix(_BOM)

    def _with_plain_ends(self, chunk: bytes) -> bytes:
        r"""Return `chunk` with `\n` as its only line end; one `\r\n` may be cut between two chunks."""
        if self._after_cr and chunk:
            self._after_cr = False
            chunk = chunk.removeprefix(b"\n")
        if b"\r" in chunk:
            self._after_cr = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return chunk
