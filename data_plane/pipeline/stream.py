"""Relay a provider's stream as OpenAI chunks, honestly: what broke says so, and never looks finished.

Until the first chunk is there nothing has been promised to the caller, so an error up to then is an ordinary failed
attempt that can be retried or fall back.  From the first chunk on, an error becomes an error event, and `[DONE]` is
written only behind an answer that the provider finished.
"""

from collections.abc import AsyncIterator, Callable
from typing import Final

from data_plane.core.exchange import Exchange
from data_plane.core.types import UpstreamBody
from data_plane.providers.base import OPENAI_FRAMING, ClosingDecoder, Framing, StreamDecoder
from data_plane.recorder.allowance import Allowance
from shared.errors import GatewayError, Unauthenticated, UpstreamBroken

#: How much of a streamed answer is kept for the record.
KEPT_BYTES: Final = 512 * 1024


class StreamRelay:
    """One stream on its way from a provider to a caller."""

    def __init__(
        self,
        body: UpstreamBody,
        decoder: StreamDecoder,
        exchange: Exchange,
        clock: Callable[[], float],
        *,
        framing: Framing = OPENAI_FRAMING,
        kept: Allowance | None = None,
    ) -> None:
        """`framing` cuts what the provider sends and writes what the caller gets.

        `kept` is what chunks for the record are taken from; without it none are kept.
        """
        self._body = body
        self._chunks = body.chunks()
        self._framing = framing
        self._splitter = framing.splitter()
        self._decoder = decoder
        self._exchange = exchange
        self._clock = clock
        self._kept = kept
        self._first = b""
        self._ended = False
        self._refusal: GatewayError | None = None
        self._held_back: GatewayError | None = None

    async def open(self) -> None:
        """Wait for the first chunk; raises UpstreamBroken when the stream fails before it."""
        while not self._first and not self._ended:
            self._first = await self._next()
        if not self._first and not self._decoder.finished:
            raise UpstreamBroken("The provider ended the stream without an answer.")
        self._exchange.first_byte_s = self._clock()

    async def _next(self) -> bytes:
        """Return the frames that the next piece of the body makes, b"" for none."""
        if self._held_back is not None:
            raise self._held_back
        async for piece in self._chunks:
            return self._frames(self._splitter.feed(piece))
        self._ended = True
        return self._frames(self._splitter.close())

    def _frames(self, events: list[tuple[str, bytes]]) -> bytes:
        out: list[bytes] = []
        frame = self._framing.frame
        try:
            for name, data in events:
                for chunk in self._decoder.feed(name, data):
                    out.append(frame(chunk))
                    self._keep(chunk)
        except GatewayError as error:
            if not out:
                raise
            # What came whole before the error is the caller's; the error follows it.
            self._held_back, self._ended = error, False
        return b"".join(out)

    def _keep(self, chunk: bytes) -> None:
        exchange = self._exchange
        size = len(chunk)
        exchange.answer_bytes += size
        exchange.answer_pieces += 1
        if self._kept is None or exchange.is_cut:
            return
        if exchange.kept_bytes + size > KEPT_BYTES or not self._kept.take(size):
            # A record with a hole in its answer would look whole, so the first chunk that is left out is the last.
            exchange.is_cut = True
            return
        exchange.kept_bytes += size
        exchange.answer_chunks.append(chunk)

    async def frames(self) -> AsyncIterator[bytes]:
        """Yield ready-made frames to the end of the stream, the last of which is `[DONE]` or an error event."""
        exchange = self._exchange
        try:
            if self._first:
                yield self._first
            while not self._ended:
                piece = await self._next()
                if piece:
                    yield piece
            if not self._decoder.finished:
                raise UpstreamBroken("The provider ended the stream before the answer was complete.")
            yield self._last_frames()
        except GatewayError as error:
            told = self._refusal or error
            exchange.error_class, exchange.error_type = type(told).__name__, told.code
            yield self._framing.error_frame(told)
        finally:
            self._note()

    def _last_frames(self) -> bytes:
        """Return what ends an answer that came to its end."""
        out: list[bytes] = []
        if isinstance(self._decoder, ClosingDecoder):
            for chunk in self._decoder.close():
                out.append(self._framing.frame(chunk))
                self._keep(chunk)
        return b"".join((*out, self._framing.end))

    def _note(self) -> None:
        if self._decoder.usage is not None:
            self._exchange.usage = self._decoder.usage
        if self._decoder.model:
            self._exchange.model_served = self._decoder.model

    def is_denied(self, denied: frozenset[str]) -> bool:
        """Return whether the caller of this stream, or the credential behind it, is among the revoked."""
        return self._exchange.is_denied(denied)

    def refuse(self) -> None:
        """End the stream with an error event: its caller or its provider was revoked."""
        self._refusal = Unauthenticated("The API key or the provider was revoked while the answer was streaming.")
        self._body.close()

    def close(self) -> None:
        """Drop the provider's connection unless the stream came to its end."""
        self._note()
        self._body.close()
