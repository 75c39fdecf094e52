"""The whole way up, against a control plane that loses answers, refuses records and cuts batches."""

import asyncio
import hashlib
import random

import msgspec
import zstandard

from data_plane.recorder.spool import SpoolWriter
from data_plane.recorder.upload import Uploader
from data_plane.upstream.control import ControlAnswer, ControlUnreachable
from shared import wire
from shared.frames import DROPPED, RECORD, iter_frames


class Ingest:
    """Stores batches as the control plane does: by sequence interval, once; and misbehaves as told."""

    def __init__(self, *, lose=0.0, refuse=(), statuses=()):
        self.next, self.stored, self.dropped = {}, [], 0
        self.lose, self.refuse, self.statuses = lose, set(refuse), list(statuses)
        self.dice, self.calls, self.resent = random.Random(5), 0, 0

    async def call(self, method, path, *, body, headers, timeout_s):
        self.calls += 1
        await asyncio.sleep(0)
        if self.statuses:
            return ControlAnswer(self.statuses.pop(0), b"", {})
        if self.dice.random() < self.lose / 2:
            raise ControlUnreachable("lost on the way there")
        answer = self.take(path, body, headers)
        if self.dice.random() < self.lose / 2:
            raise ControlUnreachable("lost on the way back")
        return answer

    def take(self, path, body, headers):
        *_, stream, first = path.split("/")
        assert hashlib.sha256(body).hexdigest() == headers[wire.BODY_SHA256]
        expected = self.next.get(stream, 1)
        frames = list(iter_frames(zstandard.ZstdDecompressor().decompress(body, max_output_size=1 << 26)))
        assert int(headers[wire.LAST_SEQ]) == frames[-1].seq
        if int(first) > expected:
            return ControlAnswer(409, msgspec.json.encode(wire.IngestConflict(expected)), {})
        bad = tuple(frame.seq for frame in frames if frame.kind == RECORD and frame.payload in self.refuse)
        if bad:
            return ControlAnswer(422, msgspec.json.encode(wire.IngestRefusal(bad)), {})
        for frame in frames:
            if frame.seq < expected:
                self.resent += 1
            elif frame.kind == DROPPED:
                self.dropped += msgspec.msgpack.decode(frame.payload)["n"]
            else:
                self.stored.append(frame.payload)
        self.next[stream] = max(expected, frames[-1].seq + 1)
        return ControlAnswer(200, msgspec.json.encode(wire.IngestAnswer(self.next[stream] - 1)), {})


def fill(folder, count, *, close=True):
    made = SpoolWriter(folder / "usage", segment_bytes=2000, min_free_bytes=0)
    payloads = [f"{made.stream_id}-{number}".encode() for number in range(count)]
    for payload in payloads:
        made.append([(RECORD, payload)])
    if close:
        made.close()
    return payloads


async def carried(folder, ingest, monkeypatch, until):
    nap = asyncio.sleep

    async def short(seconds):
        await nap(min(seconds, 0.005))

    monkeypatch.setattr("data_plane.recorder.upload.asyncio.sleep", short)
    monkeypatch.setattr("data_plane.recorder.backlog.MAX_BATCH_BYTES", 1500)
    uploader = Uploader(ingest, folder)
    task = asyncio.create_task(uploader.run())
    async with asyncio.timeout(60):
        while not until():
            await nap(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return uploader


async def test_every_record_arrives_once_although_answers_get_lost(tmp_path, monkeypatch):
    expected = [payload for _ in range(3) for payload in fill(tmp_path, 200)]
    ingest = Ingest(lose=0.6)
    await carried(tmp_path, ingest, monkeypatch, lambda: not list((tmp_path / "usage").glob("*/lock")))
    assert sorted(ingest.stored) == sorted(expected)
    assert ingest.resent > 0


async def test_one_poisoned_record_costs_itself_only(tmp_path, monkeypatch):
    payloads = fill(tmp_path, 100)
    ingest = Ingest(refuse=[payloads[41]])
    uploader = await carried(tmp_path, ingest, monkeypatch, lambda: not list((tmp_path / "usage").glob("*/lock")))
    assert ingest.stored == payloads[:41] + payloads[42:]
    assert (uploader.quarantined, ingest.dropped) == (1, 1)


async def test_refusals_and_overload_are_waited_out_and_nothing_is_thrown_away(tmp_path, monkeypatch):
    payloads = fill(tmp_path, 50)
    ingest = Ingest(statuses=[401, 403, 404, 429, 500, 503, 413])
    await carried(tmp_path, ingest, monkeypatch, lambda: len(ingest.stored) == 50)
    assert ingest.stored == payloads


async def test_a_control_plane_restored_from_a_backup_says_where_to_go_on(tmp_path, monkeypatch):
    made = SpoolWriter(tmp_path / "usage", segment_bytes=10**9, min_free_bytes=0)
    for number in range(20):
        made.append([(RECORD, f"{number}".encode())])
    (made.folder / "cursor").write_text("15")
    ingest = Ingest()
    await carried(tmp_path, ingest, monkeypatch, lambda: len(ingest.stored) == 20)
    assert ingest.stored == [f"{number}".encode() for number in range(20)]


async def test_the_whole_way_is_walked_again_by_an_uploader_that_was_stopped(tmp_path, monkeypatch):
    payloads = fill(tmp_path, 300)
    ingest = Ingest(lose=0.4)
    await carried(tmp_path, ingest, monkeypatch, lambda: len(ingest.stored) > 20)
    await carried(tmp_path, ingest, monkeypatch, lambda: not list((tmp_path / "usage").glob("*/lock")))
    assert ingest.stored == payloads
