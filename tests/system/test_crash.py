"""The gateway is killed under load, again and again; what it wrote arrives once."""

import threading
import time
import uuid

import msgspec
import pytest

from data_plane.recorder.spool import HEADER_BYTES
from shared.frames import RECORD, FrameBroken, iter_frames
from shared.schema.log_record import LogRecord
from tests.effort import IS_THOROUGH
from tests.system.system_kit import wait_for

KILLS = 20 if IS_THOROUGH else 5
# How long before a kill a request may have begun whose record the kill took: its own time, and that in the queue.
QUEUED_MS = 500


def written(state):
    """Return the ids of all records that lie whole in the spool."""
    ids = set()
    for path in (state / "spool" / "usage").glob("*/0*"):
        try:
            content = path.read_bytes()
        except OSError:
            continue
        try:
            for frame in iter_frames(content, HEADER_BYTES):
                if frame.kind == RECORD:
                    ids.add(msgspec.msgpack.decode(frame.payload, type=LogRecord).id)
        except FrameBroken:
            pass
    return ids


def unexplained(answered, stored, kills):
    """Return the answered requests whose records are missing although no kill came in the blink after them.

    An id carries its time.
    """
    missing = ((record_id, uuid.UUID(record_id).int >> 80) for record_id in set(answered) - stored.keys())
    return [record_id for record_id, made in missing if not any(0 <= kill - made <= QUEUED_MS for kill in kills)]


def standstill(system, seen):
    """Return what there is to see when records do not arrive: what waits where, and what the processes last said."""
    missing = sorted(seen - system.stored().keys())
    files = [f"{path.relative_to(system.state)} {path.stat().st_size}" for path in system.state.glob("spool/**/*")]
    said = [f"--- {name}\n{system.programs[name].log.read_text()[-3000:]}" for name in ("gateway", "edge")]
    running = {name: program.process.poll() for name, program in system.programs.items()}
    return "\n".join([f"{len(missing)} of {len(seen)} are missing: {missing[:5]}", str(running), *files[:80], *said])


@pytest.mark.timeout(420)
def test_kills_under_load_lose_no_written_record_and_double_none(system):
    stop, answered = threading.Event(), []

    def load():
        while not stop.is_set():
            status, _, headers = system.chat(timeout_s=2)
            if status == 200:
                answered.append(headers["x-portkey-request-id"])

    threads = [threading.Thread(target=load) for _ in range(6)]
    for thread in threads:
        thread.start()
    seen, kills = set(), []
    try:
        for _ in range(KILLS):
            reached = len(answered)
            wait_for(lambda reached=reached: len(answered) > reached + 25, "the load runs")
            kills.append(time.time() * 1000)
            system.programs["gateway"].kill()
            seen |= written(system.state)
            system.start("gateway")
            wait_for(lambda: system.chat(timeout_s=2)[0] == 200, "the gateway is back")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert len(seen) > KILLS
    try:
        wait_for(lambda: not seen - system.stored().keys(), "every written record is stored", bound_s=180, every_s=0.5)
    except AssertionError as stalled:
        raise AssertionError(standstill(system, seen)) from stalled
    counts = system.stored()
    assert {counts[record_id] for record_id in seen} == {1}
    assert set(counts.values()) == {1}
    wait_for(
        lambda: not unexplained(answered, system.stored(), kills),
        "only what was in the queue at a kill is missing",
        bound_s=60,
    )
