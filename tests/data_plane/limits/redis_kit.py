"""A Redis of a test's own, which can be killed, stopped and made ill; and a line to it that can be slow."""

import asyncio
import contextlib
import signal
import socket
import subprocess
import time

import redis

from deploy.local.services import _valkey_program

START_S = 20.0


class OwnRedis:
    """A server on one port, which loses what it has when it is killed."""

    def __init__(self, folder):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.folder, self.process = folder, None
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def start(self):
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self.process = subprocess.Popen(
            [str(_valkey_program()), *options, "--dir", str(self.folder)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + START_S
        while True:
            try:
                self.command("PING")
                return self
            except redis.ConnectionError:
                assert time.monotonic() < until, "the server does not start"
                time.sleep(0.02)

    def kill(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def stop_running(self):
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def command(self, *words):
        client = redis.Redis.from_url(self.url)
        try:
            return client.execute_command(*words)
        finally:
            client.close()


class SlowLine:
    """A line to a server, on a port of its own, whose answers come `delay_s` late."""

    def __init__(self, port):
        self._target, self.delay_s = port, 0.0
        self._tasks = set()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._meet, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/0"
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _meet(self, reader, writer):
        self._tasks.add(asyncio.current_task())
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        try:
            await asyncio.gather(self._carry(reader, far_writer), self._carry(far_reader, writer, slow=True))
        finally:
            for each in (writer, far_writer):
                each.close()

    async def _carry(self, reader, writer, *, slow=False):
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(65536):
                if slow:
                    await asyncio.sleep(self.delay_s)
                writer.write(piece)
                await writer.drain()
        writer.close()
