"""A poll is answered at once when there is news, as soon as there is some, and else when its time is over."""

import asyncio
import time
from uuid import uuid4

import psycopg
import pytest
from django.db import connection

from control_plane.edge import heads
from control_plane.edge.database import close_database, in_database
from control_plane.edge.heads import CurrentHead, Heads
from control_plane.gateways.models import GatewayGroup

KNOWS_NOTHING = (0, 0, 0)


def version_of(gateway):
    gateway.group.refresh_from_db()
    return gateway.group.epoch, gateway.group.seq, gateway.group.head_no


async def end(task):
    """End a following; more than once, because a library below may lose a cancellation."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=0.5)
    await close_database()


@pytest.fixture
async def followed(installation):
    """Heads that follow the database."""
    made = Heads()
    task = asyncio.create_task(made.follow())
    yield made
    await end(task)


@pytest.mark.parametrize(
    ("known", "is_newer"),
    [
        ((1, 5, 9), True), ((1, 5, 10), False), ((1, 5, 11), False), ((1, 4, 99), True), ((1, 6, 0), False),
        ((0, 9, 99), True), ((2, 0, 0), False), (KNOWS_NOTHING, True),
    ],
)  # fmt: skip
def test_a_head_is_newer_by_epoch_then_sequence_then_number(known, is_newer):
    assert CurrentHead(1, 5, 10, b"").is_newer(*known) is is_newer


async def test_a_newer_head_is_returned_at_once(installation, followed):
    content = await in_database(installation.publish)
    epoch, seq, head_no = await in_database(version_of, installation.gateway)
    group = installation.gateway.group.pk
    for known in (KNOWS_NOTHING, (epoch, seq - 1, head_no), (epoch, seq, head_no - 1)):
        assert await asyncio.wait_for(followed.wait(group, known, 50), 10) == content


async def test_a_known_head_is_held_until_the_next_is_published(installation, followed):
    await in_database(installation.publish)
    known = await in_database(version_of, installation.gateway)
    polls = [asyncio.create_task(followed.wait(installation.gateway.group.pk, known, 50)) for _ in range(3)]
    done, _ = await asyncio.wait(polls, timeout=0.3)
    assert not done
    started = time.monotonic()
    content = await in_database(installation.publish)
    assert await asyncio.wait_for(asyncio.gather(*polls), 10) == [content] * 3
    assert time.monotonic() - started < heads.REREAD_S, "the notification wakes polls, not the rereading"


async def test_a_known_head_is_returned_as_it_is_when_the_wait_is_over(installation, followed):
    content = await in_database(installation.publish)
    known = await in_database(version_of, installation.gateway)
    assert await asyncio.wait_for(followed.wait(installation.gateway.group.pk, KNOWS_NOTHING, 50), 10) == content
    started = time.monotonic()
    assert await followed.wait(installation.gateway.group.pk, known, 0.2) == content
    assert 0.2 <= time.monotonic() - started < 5


async def test_a_group_without_a_head_has_none(installation, followed):
    assert await followed.wait(uuid4(), KNOWS_NOTHING, 0.05) is None


async def test_a_poll_that_is_held_for_a_first_head_gets_it(installation, followed):
    poll = asyncio.create_task(followed.wait(installation.gateway.group.pk, KNOWS_NOTHING, 50))
    await asyncio.wait({poll}, timeout=0.2)
    content = await in_database(installation.publish)
    assert await asyncio.wait_for(poll, 10) == content


async def test_another_groups_news_wake_nobody_else(installation, followed):
    await in_database(installation.publish)
    other = await in_database(installation.make_gateway)
    known = await in_database(version_of, installation.gateway)
    poll = asyncio.create_task(followed.wait(installation.gateway.group.pk, known, 50))
    theirs = asyncio.create_task(followed.wait(other.group.pk, KNOWS_NOTHING, 50))
    content = await in_database(installation.publish, other)
    assert await asyncio.wait_for(theirs, 10) == content
    assert not poll.done()
    poll.cancel()


async def test_a_revoked_groups_head_is_not_read(installation, followed):
    await in_database(installation.publish)
    await in_database(GatewayGroup.objects.update, status="revoked")
    fresh = Heads()
    await fresh.reread()
    assert await fresh.wait(installation.gateway.group.pk, KNOWS_NOTHING, 0.05) is None


def cut_listeners():
    """End every connection that listens for heads; return how many."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND query LIKE 'LISTEN gatehouse_head%%' AND pid <> pg_backend_pid()"
        )
        return len(cursor.fetchall())


async def test_news_arrive_although_the_line_was_cut(installation, followed):
    content = await in_database(installation.publish)
    assert await asyncio.wait_for(followed.wait(installation.gateway.group.pk, KNOWS_NOTHING, 50), 10) == content
    known = await in_database(version_of, installation.gateway)
    poll = asyncio.create_task(followed.wait(installation.gateway.group.pk, known, 50))
    assert await in_database(cut_listeners) == 1
    content = await in_database(installation.publish)
    assert await asyncio.wait_for(poll, 20) == content


@pytest.mark.parametrize("fault", [psycopg.OperationalError("gone"), RuntimeError("a defect")])
async def test_no_fault_ends_the_following(installation, monkeypatch, fault):
    monkeypatch.setattr(heads, "RETRY_S", 0.01)
    made, real, faults = Heads(), Heads.reread, iter([fault])

    async def reread(self):
        for each in faults:
            raise each
        await real(self)

    monkeypatch.setattr(Heads, "reread", reread)
    content = await in_database(installation.publish)
    task = asyncio.create_task(made.follow())
    assert await asyncio.wait_for(made.wait(installation.gateway.group.pk, KNOWS_NOTHING, 50), 10) == content
    await end(task)


async def test_a_poll_that_is_given_up_leaves_the_others_waiting(installation, followed):
    await in_database(installation.publish)
    known = await in_database(version_of, installation.gateway)
    group = installation.gateway.group.pk
    leaver, stayer = (asyncio.create_task(followed.wait(group, known, 50)) for _ in range(2))
    await asyncio.wait({leaver, stayer}, timeout=0.1)
    leaver.cancel()
    content = await in_database(installation.publish)
    assert await asyncio.wait_for(stayer, 10) == content
    assert leaver.cancelled()
