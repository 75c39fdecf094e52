"""A provider that takes uploads, strictly: one way to tell the length, every chunk well-formed, nothing left over."""

import asyncio
import re

from data_plane.core.types import UpstreamRequest

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Malformed(Exception):
    """The request is not what RFC 9112 wants."""


class UploadServer:
    """`answer` is a coroutine function of (server, reader, writer) for what follows the head, `whole` unless given.

    `heads` and `bodies` are what arrived; a body is listed only when it came to its end.  `lost` is set when a
    connection ended in the middle of a request, `faults` lists what was malformed.
    """

    def __init__(self, answer=None):
        self._answer = answer or UploadServer.whole
        self.heads, self.bodies, self.faults = [], [], []
        self.connections = 0
        self.began, self.lost = asyncio.Event(), asyncio.Event()
        self._tasks = set()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=65536)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        assert self.faults == []

    def _accept(self, reader, writer):
        self.connections += 1
        self._tasks.add(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head.decode("latin-1"))
                self.began.set()
                await self._answer(self, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.lost.set()
        except Malformed as fault:
            self.faults.append(str(fault))
        finally:
            writer.transport.abort()

    def framing(self):
        """Return the one header of the last head that tells where its body ends."""
        found = re.findall(r"(?im)^(content-length|transfer-encoding):\s*(.*?)\r$", self.heads[-1])
        if len(found) != 1:
            raise Malformed(f"framed by {found}")
        return found[0]

    async def pieces(self, reader):
        """Yield the body of the last head."""
        name, value = self.framing()
        if name == "content-length":
            left = int(value)
            while left:
                piece = await reader.read(min(left, 65536))
                if not piece:
                    raise asyncio.IncompleteReadError(b"", left)
                left -= len(piece)
                yield piece
            return
        if value != "chunked":
            raise Malformed(value)
        while True:
            line = await reader.readuntil(b"\r\n")
            if not re.fullmatch(rb"[0-9a-f]+\r\n", line):
                raise Malformed(f"a chunk begins with {line!r}")
            size = int(line, 16)
            if size:
                yield await reader.readexactly(size)
            if await reader.readexactly(2) != b"\r\n":
                raise Malformed("a chunk does not end where it should")
            if not size:
                return

    async def whole(self, reader, writer):
        """Take the whole body, then answer."""
        self.bodies.append(b"".join([piece async for piece in self.pieces(reader)]))
        writer.write(OK)

    def call(self, upload, *, timeout_ms=None, method="POST", **headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return UpstreamRequest(
            f"http://127.0.0.1:{self.port}/v1/files", named, b"", stream=False, timeout_ms=timeout_ms,
            method=method, upload=upload,
        )  # fmt: skip


async def stream_of(*pieces):
    for piece in pieces:
        yield piece
