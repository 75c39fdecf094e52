"""Django's ORM from an event loop: a few threads with a connection each, and every wait bounded."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

from django.db import close_old_connections, connections

P = ParamSpec("P")
T = TypeVar("T")

THREADS: Final = 8
TIMEOUT_S: Final = 60.0

_POOL: Final = ThreadPoolExecutor(THREADS, thread_name_prefix="database")


async def in_database(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return `work(…)`, run in a thread that may use the ORM; raises TimeoutError after a minute."""

    def run() -> T:
        close_old_connections()
        return work(*args, **kwargs)

    loop = asyncio.get_running_loop()
    return await asyncio.wait_for(loop.run_in_executor(_POOL, run), TIMEOUT_S)


async def close_database() -> None:
    """Close the connections of all threads."""
    loop = asyncio.get_running_loop()
    await asyncio.gather(*(loop.run_in_executor(_POOL, connections.close_all) for _ in range(THREADS)))
