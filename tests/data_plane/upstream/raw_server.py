"""A provider scripted byte by byte: each request that arrives is answered by the next step of a script."""

import asyncio
import re

from data_plane.core.types import UpstreamRequest

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class CLOSE:
    """A step that hangs up."""


class RawServer:
    """`steps` are bytes to write, CLOSE, or a coroutine function of the writer; a list is several steps at once.

    `requests` are the bytes of each request, `connections` counts connections; `lost` is set when one was closed
    by the other side.
    """

    def __init__(self, *steps, tls=None, greeting=b""):
        self.steps = list(steps)
        self.requests = []
        self.connections = 0
        self.arrived = asyncio.Event()
        self.lost = asyncio.Event()
        self._tls, self._greeting = tls, greeting
        self._running = {}

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()
        # What was accepted a moment ago announces itself in the next turns of the loop.
        for _ in range(3):
            await asyncio.sleep(0)
        for task, writer in self._running.items():
            task.cancel()
            writer.transport.abort()
        await asyncio.gather(*self._running, return_exceptions=True)
        await asyncio.sleep(0)

    def _accept(self, reader, writer):
        self.connections += 1
        writer.write(self._greeting)
        self._running[asyncio.create_task(self._serve(reader, writer))] = writer

    async def _serve(self, reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"(?i)content-length: (\d+)", head)
                body = await reader.readexactly(int(length[1])) if length else b""
                self.requests.append(head + body)
                self.arrived.set()
                if self.steps:
                    await self._play(self.steps.pop(0), writer)
                if writer.is_closing():
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            self.lost.set()
            writer.transport.abort()

    async def _play(self, step, writer):
        for part in step if isinstance(step, list) else [step]:
            if part is CLOSE:
                writer.close()
            elif isinstance(part, bytes):
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0.005)
            else:
                await part(writer)

    def call(self, *, host="127.0.0.1", scheme="http", timeout_ms=None, headers=None, body=b"{}", query="", **more):
        url = f"{scheme}://{host}:{self.port}/v1/x" + (f"?{query}" if query else "")
        return UpstreamRequest(url, headers or {}, body, stream=False, timeout_ms=timeout_ms, **more)
