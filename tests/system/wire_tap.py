"""Stands between gateway and control plane: keeps a copy of all that passes, and bends what it is told to."""

import asyncio
import threading

import aiohttp
from aiohttp import web

from tests.system.system_kit import free_port


class WireTap:
    """A proxy in a thread.  `bend` maps a part of a path to the bytes that are answered in its place."""

    def __init__(self):
        self.port = free_port()
        self.target = ""
        self.bend = {}
        self._bent = None
        self.seen = bytearray()
        self.heads = []
        self.asked = []
        self._started = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self, target):
        self.target = target
        self._thread.start()
        assert self._started.wait(10)
        return self

    def _run(self):
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    def set_bend(self, bend):
        """Answer as `bend` says from now on, a poll that is being held included."""
        self.bend = bend
        self._loop.call_soon_threadsafe(self._let_go)

    def _let_go(self):
        self._bent.set()
        self._bent = asyncio.Event()

    async def _serve(self):
        self._stop = asyncio.Event()
        self._bent = asyncio.Event()
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        async with aiohttp.ClientSession(auto_decompress=False) as self._session:
            await web.TCPSite(runner, "127.0.0.1", self.port).start()
            self._started.set()
            await self._stop.wait()
            await runner.cleanup()

    async def _handle(self, request):
        body = await request.read()
        self.seen += request.raw_path.encode() + str(dict(request.headers)).encode() + body
        self.asked.append(request.raw_path)
        if (bent := self._bent_answer(request)) is not None:
            await asyncio.sleep(0.05)
            return bent
        forward = asyncio.ensure_future(self._forward(request, body))
        let_go = asyncio.ensure_future(self._bent.wait())
        await asyncio.wait({forward, let_go}, return_when=asyncio.FIRST_COMPLETED)
        let_go.cancel()
        if not forward.done() and (bent := self._bent_answer(request)) is not None:
            forward.cancel()
            return bent
        try:
            return await forward
        except (aiohttp.ClientError, OSError):
            return web.Response(status=502)

    def _bent_answer(self, request):
        for part, content in self.bend.items():
            if part in request.raw_path:
                return web.Response(body=content)
        return None

    async def _forward(self, request, body):
        async with self._session.request(
            request.method, self.target + request.raw_path, data=body, headers=request.headers
        ) as answer:
            content = await answer.read()
            self.seen += str(dict(answer.headers)).encode() + content
            if "/head?" in request.raw_path and answer.status == 200:
                self.heads.append(content)
            kept = {name: value for name, value in answer.headers.items() if name.lower() in {"content-type", "date"}}
            return web.Response(status=answer.status, body=content, headers=kept)

    def stop(self):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
