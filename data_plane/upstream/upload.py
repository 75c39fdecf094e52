"""How does a body go out that is sent while it arrives?  With the length that was promised, else in chunks.

A body that is shorter or longer than promised would make the next request on the connection begin in the wrong
place, so it is a fault of the caller's and never sent as if it were whole.
"""

from collections.abc import AsyncGenerator, AsyncIterable
from dataclasses import dataclass
from typing import Final

from shared.errors import BadRequest

_LAST_CHUNK: Final = b"0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class FramedUpload:
    """A body in pieces; `length` is the promised number of bytes, None when nobody knows it."""

    pieces: AsyncIterable[bytes]
    length: int | None

    async def frames(self) -> AsyncGenerator[bytes]:
        """Yield what goes over the wire; raises BadRequest when the length is not kept, and what the source raises."""
        if self.length is None:
            async for piece in self.pieces:
                # A chunk without content would end the body.
                if piece:
                    yield b"%x\r\n%b\r\n" % (len(piece), piece)
            yield _LAST_CHUNK
            return
        left = self.length
        async for piece in self.pieces:
            left -= len(piece)
            if left < 0:
                raise BadRequest("The request body is longer than its content-length.")
            yield piece
        if left:
            raise BadRequest("The request body is shorter than its content-length.")


def stated_length(text: str) -> int:
    """Return the number of bytes that a content-length states; raises ValueError when it is not a plain number."""
    if not (text.isascii() and text.isdigit()):
        raise ValueError("not a content-length")
    return int(text)
