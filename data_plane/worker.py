"""A worker process: serves requests on an inherited socket, configured through an inherited line to the agent."""

import asyncio
import contextlib
import ctypes
import gc
import os
import signal
import socket
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web

from data_plane import settings
from data_plane.app import Worker
from data_plane.batches.run import BatchRunner
from data_plane.sync.link import Hello, Link

KEEPALIVE_S = 75.0
#: Configs come in headers; aiohttp's 8 KiB would refuse what the contract allows.
MAX_HEADER_BYTES = 64 * 1024
#: How far batches stand behind the workers that serve callers, where the processors are short.
BATCH_NICE = 5

#: glibc's M_MMAP_THRESHOLD, M_TRIM_THRESHOLD and M_ARENA_MAX.  Left to itself glibc raises the first with the largest
#: block that was freed, and after a burst of large bodies or of many streams their memory is never given back.
_MALLOC = {-3: 256 * 1024, -1: 1024 * 1024, -8: 2}

#: Ends what a worker does, in order.
Stop = Callable[[], Awaitable[None]]

log = structlog.get_logger(module=__name__)


async def _serving(worker: Worker, socket_fd: int) -> Stop:
    """Begin to serve on a socket; return how to end it."""
    runner = web.AppRunner(
        worker.app,
        handler_cancellation=True,
        access_log=None,
        keepalive_timeout=KEEPALIVE_S,
        max_line_size=MAX_HEADER_BYTES,
        max_field_size=MAX_HEADER_BYTES,
        shutdown_timeout=settings.SHUTDOWN_S,
    )
    await runner.setup()
    await web.SockSite(runner, socket.socket(fileno=socket_fd), backlog=1024).start()
    return runner.cleanup


async def _batching(worker: Worker) -> Stop:
    """Begin to run batches; return how to end it."""
    if worker.batches is None:
        raise TypeError("this gateway runs no batches")
    os.nice(BATCH_NICE)
    runner = BatchRunner(
        worker.batches,
        worker.deps,
        concurrency=settings.BATCH_CONCURRENCY,
        max_line_bytes=settings.MAX_BODY_BYTES,
        keep_days=settings.BATCH_KEEP_DAYS,
    )
    running = asyncio.create_task(runner.run())

    async def stop() -> None:
        await runner.stop(settings.SHUTDOWN_S)
        await running

    return stop


async def run_worker(link_fd: int, socket_fd: int | None) -> None:
    """Serve until SIGTERM, or until the agent is gone; without a socket, run batches."""
    link = await Link.over(socket.socket(fileno=link_fd))
    hello = await link.receive()
    if not isinstance(hello, Hello):
        raise TypeError("the agent did not say hello")
    worker = Worker(link, hello, settings.STATE_DIR)
    worker.deps.recorder.start()
    listening = asyncio.create_task(worker.listen())
    telling = [asyncio.create_task(worker.report()), asyncio.create_task(worker.share())]
    end = await (_batching(worker) if socket_fd is None else _serving(worker, socket_fd))
    settle_memory()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    stopping = asyncio.create_task(stop.wait())
    # A worker whose agent is gone could be told of no revocation any more, so it ends with it.
    await asyncio.wait({listening, stopping}, return_when=asyncio.FIRST_COMPLETED)
    draining = asyncio.create_task(worker.drain())
    await end()
    tasks = (listening, stopping, draining, *telling)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await worker.close()
    link.close()


def settle_memory() -> None:
    """Keep the garbage collector away from what lives as long as the process, and from most short-lived requests."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, value in _MALLOC.items():
            mallopt(parameter, value)


def main(link_fd: int, socket_fd: int | None) -> None:
    """Run one worker, on uvloop where there is one; see `run_worker`."""
    with contextlib.suppress(KeyboardInterrupt):
        if os.environ.get("GATEHOUSE_NO_UVLOOP"):
            asyncio.run(run_worker(link_fd, socket_fd))
            return
        try:
            import uvloop  # noqa: PLC0415 -- optional: not every platform has it
        except ImportError:
            asyncio.run(run_worker(link_fd, socket_fd))
        else:
            uvloop.run(run_worker(link_fd, socket_fd))
