"""The ORM is reached in threads, each wait ends, and no connection is left behind."""

import asyncio
import threading
import time

import pytest
from django.db import connection

from control_plane.edge import database
from control_plane.edge.database import THREADS, close_database, in_database
from control_plane.gateways.models import SigningRoot

pytestmark = pytest.mark.django_db(transaction=True)


def backend():
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return cursor.fetchone()[0]


def living(pids):
    with connection.cursor() as cursor:
        cursor.execute("SELECT pid FROM pg_stat_activity WHERE pid = ANY(%s)", [list(pids)])
        return {pid for (pid,) in cursor.fetchall()}


async def on_every_thread():
    """The connections of all threads, each made while all the others hold theirs."""
    together = threading.Barrier(THREADS)

    def work():
        together.wait(10)
        return backend()

    return set(await asyncio.gather(*(in_database(work) for _ in range(THREADS))))


async def test_work_is_done_in_another_thread_and_its_result_returned():
    name, rows = await in_database(lambda: (threading.current_thread().name, SigningRoot.objects.count()))
    assert name.startswith("database")
    assert rows == 0
    await close_database()


async def test_a_fault_of_the_work_is_the_callers():
    with pytest.raises(SigningRoot.DoesNotExist):
        await in_database(SigningRoot.objects.get, version=1)
    await close_database()


async def test_work_that_does_not_end_is_given_up(monkeypatch):
    monkeypatch.setattr(database, "TIMEOUT_S", 0.05)
    release = threading.Event()
    with pytest.raises(TimeoutError):
        await in_database(release.wait, 10)
    release.set()


async def test_a_cancellation_in_the_moment_in_which_the_work_is_done_is_not_lost(monkeypatch):
    loop = asyncio.get_running_loop()
    finished = loop.create_future()
    monkeypatch.setattr(loop, "run_in_executor", lambda *_: finished)
    waiting = asyncio.create_task(in_database(len, ""))
    await asyncio.sleep(0)
    finished.set_result(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_closing_leaves_no_connection_of_any_thread():
    pids = await on_every_thread()
    assert len(pids) == THREADS
    await close_database()

    def left_over():
        # The server ends a connection a moment after the client has closed it.
        until = time.monotonic() + 5
        while (left := living(pids)) and time.monotonic() < until:
            pass
        connection.close()
        return left

    assert await asyncio.to_thread(left_over) == set()


async def test_closing_does_not_wait_for_ever_for_a_thread_that_is_at_work(monkeypatch):
    monkeypatch.setattr(database, "CLOSE_S", 0.05)
    monkeypatch.setattr(database, "TIMEOUT_S", 0.05)
    release = threading.Event()
    with pytest.raises(TimeoutError):
        await in_database(release.wait, 10)
    closing = asyncio.create_task(close_database())
    done, _ = await asyncio.wait({closing}, timeout=5)
    release.set()
    await closing
    assert done
