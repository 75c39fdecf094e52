"""Django's ORM from an event loop: a few threads with a connection each, and every wait bounded."""

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, BrokenBarrierError
from typing import Final, ParamSpec, TypeVar

from django.db import close_old_connections, connections

P = ParamSpec("P")
T = TypeVar("T")

THREADS: Final = 8
TIMEOUT_S: Final = 60.0
CLOSE_S: Final = 5.0

_POOL: Final = ThreadPoolExecutor(THREADS, thread_name_prefix="database")


async def in_database(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return `work(…)`, run in a thread that may use the ORM; raises TimeoutError after a minute."""

    def run() -> T:
        close_old_connections()
        return work(*args, **kwargs)

    loop = asyncio.get_running_loop()
    # Not `wait_for`: before Python 3.12 it loses a cancellation that comes in the moment in which the work is done.
    async with asyncio.timeout(TIMEOUT_S):
        return await loop.run_in_executor(_POOL, run)


async def close_database() -> None:
    """Close the connections of all threads; of one that is still at work, not before its thread ends."""
    loop = asyncio.get_running_loop()
    # A thread that is done would take the next one's turn as well, were it not held until all are here.
    everyone = Barrier(THREADS)

    def close() -> None:
        connections.close_all()
        with contextlib.suppress(BrokenBarrierError):
            everyone.wait(CLOSE_S)

    await asyncio.gather(*(loop.run_in_executor(_POOL, close) for _ in range(THREADS)))
