"""One HTTP/1.1 connection to a provider: a lean protocol on httptools, for one exchange at a time.

A general client costs more CPU than everything else that the gateway does for a request; this one does what calls to
providers need and no more: one request, one answer, whole or in pieces, kept alive in between.  What is ambiguous in
HTTP is an error here, never a guess: a connection whose state is not certain is closed.
"""

import asyncio
import zlib
from collections.abc import Sequence
from contextlib import aclosing
from typing import Final

import httptools

from data_plane.upstream.upload import FramedUpload
from shared.errors import UpstreamBroken, UpstreamInvalid

#: A body that arrives faster than its reader takes it is held up beyond this many bytes.
HIGH_WATER: Final = 256 * 1024
LOW_WATER: Final = 64 * 1024
MAX_HEAD_BYTES: Final = 256 * 1024
_NO_BODY: Final = frozenset({204, 304})


class _Inflate:
    """Undoes `gzip` and `deflate`, which a provider may send although it was not asked to.

    A little may unpack to a lot, so no more than HIGH_WATER bytes are unpacked at a time.
    """

    def __init__(self) -> None:
        self._codec = zlib.decompressobj(zlib.MAX_WBITS | 32)
        self._begun = False
        self.has_more = False

    def feed(self, piece: bytes) -> bytes:
        try:
            content = self._codec.decompress(self._codec.unconsumed_tail + piece, HIGH_WATER)
        except zlib.error:
            raise UpstreamBroken("The provider's answer cannot be unpacked.") from None
        self._begun = True
        self.has_more = len(content) == HIGH_WATER and not self._codec.eof
        return content

    def finish(self) -> None:
        if self._begun and not self._codec.eof:
            raise UpstreamBroken("The provider's answer broke off.")


class _Surplus(Exception):
    """Another answer begins behind the one that was asked for."""


class Connection(asyncio.Protocol):
    """A connection; `send` and then the reading methods, in turn, by one task at a time."""

    def __init__(self, silence_s: float) -> None:
        self._silence_s = silence_s
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._lost = False
        self._reset()
        self.served = 0

    def _reset(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self.status = 0
        self.headers: dict[str, str] = {}
        self._pieces: list[bytes] = []
        self._size = 0
        self._head_bytes = 0
        self._head_done = False
        self._complete = False
        self._keep = False
        self._paused = False
        self._only_head = False
        self._inflate: _Inflate | None = None
        self._fault: UpstreamInvalid | UpstreamBroken | None = None
        self.touched = False

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = transport  # type: ignore[assignment]  # a stream protocol's transport is a full one

    def data_received(self, data: bytes) -> None:
        """Parse what arrived."""
        self.touched = True
        if self._complete:
            # Bytes that nobody asked for: what follows on this connection cannot be trusted.
            self.close()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail(UpstreamInvalid("The provider wants another protocol."))
        except httptools.HttpParserError:
            self._end_of_sense()
        if not self._head_done:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._fail(UpstreamInvalid("The head of the provider's answer is too large."))
        self._wake()

    def _end_of_sense(self) -> None:
        if self._complete:
            # The answer is whole; what came in one piece with it was not asked for, as above.
            self.close()
        else:
            self._fail(UpstreamInvalid("The provider's answer is not HTTP."))

    def eof_received(self) -> bool:
        """Let the transport close; `connection_lost` follows."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """End whatever is waiting: an answer without a length ends here in order, any other one broke off."""
        self._lost = True
        if not self._complete and self._fault is None:
            if exc is None and self._ends_with_connection():
                self._complete = True
            else:
                self._fault = UpstreamBroken("The provider's answer broke off.")
        self._wake()
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    def _ends_with_connection(self) -> bool:
        return self._head_done and "content-length" not in self.headers and "transfer-encoding" not in self.headers

    def pause_writing(self) -> None:
        """Note that the provider takes the request more slowly than it is sent."""
        self._drained = self._loop.create_future()

    def resume_writing(self) -> None:
        """Note that it has caught up."""
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None

    # httptools' side

    def on_message_begin(self) -> None:
        """Refuse a second answer to one request; the parser would go on with it by itself."""
        if self._complete:
            raise _Surplus

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep one header; of a repeated one the values are joined, as HTTP says.  Trailers are dropped."""
        if self._head_done:
            return
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        known = self.headers.get(key)
        self.headers[key] = text if known is None else f"{known}, {text}"

    def on_headers_complete(self) -> None:
        """Note the head, unless it is that of an interim answer."""
        status = self._parser.get_status_code()
        if 100 <= status < 200:
            return
        self.status = status
        self._head_done = True
        self._keep = self._parser.should_keep_alive()
        if self._only_head:
            # The parser would wait for the body that the head speaks of, so it must not see another byte.
            self._complete, self._keep = True, False
            return
        encoding = self.headers.get("content-encoding", "identity").strip().lower()
        if encoding in {"gzip", "deflate", "x-gzip"}:
            self._inflate = _Inflate()
        elif encoding not in {"identity", ""}:
            self._fail(UpstreamInvalid("The provider's answer is packed in a way that was not asked for."))

    def on_body(self, body: bytes) -> None:
        """Keep a piece of the body; hold the provider up when its reader is behind."""
        if self._only_head:
            raise _Surplus
        self._pieces.append(body)
        self._size += len(body)
        if self._size > HIGH_WATER and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        """Note the end of the answer; an interim answer has none."""
        if self._head_done:
            self._complete = True
        else:
            self.headers = {}

    # our side

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, fault: UpstreamInvalid | UpstreamBroken) -> None:
        self._fault = self._fault or fault
        self._keep = False
        self._wake()

    def _fall_silent(self) -> None:
        # The provider has the request and may be at work on it still: as good as a first byte of the answer.
        self.touched = True
        self._fail(UpstreamBroken("The provider fell silent."))

    async def _wait(self) -> None:
        """Wait for the next event; raises UpstreamBroken after too long a silence."""
        self._waiter = self._loop.create_future()
        handle = self._loop.call_later(self._silence_s, self._fall_silent)
        try:
            await self._waiter
        finally:
            handle.cancel()
            self._waiter = None

    def is_usable(self) -> bool:
        """Return whether another request may be sent."""
        return not self._lost and self._transport is not None and not self._transport.is_closing()

    async def send(
        self, request: Sequence[bytes | memoryview], upload: FramedUpload | None = None, *, only_head: bool = False
    ) -> None:
        """Send a request, in parts, and wait for the head of its answer; raises UpstreamInvalid or UpstreamBroken.

        `request` is the head alone when there is an `upload`, whose source may raise what it likes.  `only_head`: the
        answer has no body, whatever its head says.
        """
        self._reset()
        self._only_head = only_head
        self.served += 1
        if self._transport is None or self._lost:
            raise UpstreamBroken("The connection is gone.")
        self._transport.writelines(request)
        if upload is not None:
            await self._upload(upload, self._transport)
        while not self._head_done:
            if self._fault is not None:
                raise self._fault
            await self._wait()

    async def _upload(self, upload: FramedUpload, transport: asyncio.Transport) -> None:
        """Send a body while it arrives; return early when the provider answers before its end, or breaks off."""
        pump = self._loop.create_task(self._pump(upload, transport))
        pump.add_done_callback(lambda _: self._wake())
        try:
            while not (pump.done() or self._head_done or self._fault is not None):
                self._waiter = self._loop.create_future()
                await self._waiter
        finally:
            self._waiter = None
            if not pump.done():
                pump.cancel()
                await asyncio.gather(pump, return_exceptions=True)
        if pump.cancelled() or pump.exception() is not None:
            # The provider still waits for the rest of a body that it will never get.
            self._keep = False
            if not self._head_done and self._fault is None:
                pump.result()

    async def _pump(self, upload: FramedUpload, transport: asyncio.Transport) -> None:
        async with aclosing(upload.frames()) as frames:
            async for frame in frames:
                transport.write(frame)
                await self._drain(transport)

    async def _drain(self, transport: asyncio.Transport) -> None:
        """Wait until the provider has taken most of what was written; raises UpstreamBroken when it takes nothing."""
        drained = self._drained
        if drained is None:
            # A source that never waits must not keep the loop from hearing what the provider says.
            await asyncio.sleep(0)
            return
        while not drained.done():
            waiting = transport.get_write_buffer_size()
            await asyncio.wait([drained], timeout=self._silence_s)
            if not drained.done() and transport.get_write_buffer_size() >= waiting:
                raise UpstreamBroken("The provider stopped taking the request.")

    def _take(self) -> bytes:
        if self._inflate is not None and self._inflate.has_more:
            return self._inflate.feed(b"")
        pieces = self._pieces
        content = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self._pieces = []
        self._size = 0
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return content if self._inflate is None else self._inflate.feed(content)

    def _unpacks_more(self) -> bool:
        return self._inflate is not None and self._inflate.has_more

    async def read(self) -> bytes:
        """Return what of the body is there, waiting for some; b"" at its end; raises UpstreamBroken."""
        while True:
            while self._pieces or self._unpacks_more():
                content = self._take()
                if content:
                    return content
            if self._fault is not None:
                raise self._fault
            if self._complete or self.status in _NO_BODY:
                if self._inflate is not None:
                    self._inflate.finish()
                return b""
            await self._wait()

    def is_finished(self) -> bool:
        """Return whether the exchange came to its end in order, so that the connection may serve again."""
        if not self._complete or self._pieces or not self._keep or self._transport is None or not self.is_usable():
            return False
        # An answer to a request that has not left yet: what the provider makes of the rest is anybody's guess.
        return self._transport.get_write_buffer_size() == 0

    def close(self) -> None:
        """Drop the connection at once."""
        if self._transport is not None:
            self._transport.abort()
