import msgspec
import pytest

from data_plane.recorder.recorder import MAX_QUEUED, MAX_QUEUED_BYTES, Recorder
from data_plane.recorder.spool import HEADER_BYTES, SpoolWriter
from shared.frames import iter_frames
from shared.schema.log_record import LogRecord


def record(number=0):
    return LogRecord(str(number), number, "o", "w", "chat", 200)


def made(folder, kept):
    return Recorder(
        SpoolWriter(folder / "usage", segment_bytes=10**7, min_free_bytes=0),
        SpoolWriter(folder / "payload", segment_bytes=10**7, min_free_bytes=0), kept,
    )  # fmt: skip


def on_disk(folder, kind):
    payloads = []
    for path in sorted((folder / kind).glob("*/0*")):
        payloads += [frame.payload for frame in iter_frames(path.read_bytes(), HEADER_BYTES)]
    return payloads


async def test_records_and_bodies_end_up_in_streams_of_their_own(tmp_path):
    kept = []
    recorder = made(tmp_path, kept.append)
    recorder.start()
    recorder.record(record(1), {"id": "1"}, None, 10)
    recorder.record(record(2), None, {"id": "2"}, 10)
    recorder.close()
    assert [msgspec.msgpack.decode(payload, type=LogRecord).id for payload in on_disk(tmp_path, "usage")] == ["1", "2"]
    assert [msgspec.msgpack.decode(payload) for payload in on_disk(tmp_path, "payload")] == [{"id": "1"}]
    assert kept == [{"id": "2"}]


async def test_a_full_queue_drops_and_counts_and_never_waits(tmp_path):
    recorder = made(tmp_path, lambda _body: None)
    for number in range(MAX_QUEUED + 5):
        recorder.record(record(number))
    assert recorder.totals() == {"queue_full": 5}
    recorder.start()
    recorder.close()
    assert len(on_disk(tmp_path, "usage")) == MAX_QUEUED


async def test_a_flood_of_bodies_costs_bodies_and_no_record(tmp_path):
    recorder = made(tmp_path, lambda _body: None)
    recorder.record(record(1), {"id": "1"}, None, MAX_QUEUED_BYTES)
    recorder.record(record(2), {"id": "2"}, None, 1)
    recorder.start()
    recorder.close()
    assert recorder.totals() == {"payload_queue_full": 1}
    assert (len(on_disk(tmp_path, "usage")), len(on_disk(tmp_path, "payload"))) == (2, 1)


async def test_a_record_that_cannot_be_written_costs_itself_only(tmp_path):
    def refuse(_body):
        raise OSError("the store is full")

    recorder = made(tmp_path, refuse)
    recorder.start()
    recorder.record(record(1), None, {"id": "1"}, 1)
    recorder.record(record(2))
    recorder.close()
    assert recorder.totals() == {"record_failed": 1}
    assert len(on_disk(tmp_path, "usage")) == 2


async def test_closing_writes_out_everything(tmp_path):
    recorder = made(tmp_path, lambda _body: None)
    recorder.start()
    for number in range(2000):
        recorder.record(record(number))
    recorder.close()
    assert len(on_disk(tmp_path, "usage")) == 2000


@pytest.mark.parametrize("kind", ["usage", "payload"])
async def test_spool_folders_are_private(tmp_path, kind):
    recorder = made(tmp_path, lambda _body: None)
    recorder.start()
    recorder.close()
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / kind).iterdir())
