import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_plane.recorder.backlog import Backlog, enforce_cap, live_streams, spool_state
from data_plane.recorder.spool import HEADER_BYTES, SpoolWriter
from shared.frames import DROPPED, HEADER, RECORD, iter_frames


def spooled(folder, count, *, per_segment=100_000, close=False, size=10):
    made = SpoolWriter(folder / "usage", segment_bytes=per_segment, min_free_bytes=0)
    for number in range(1, count + 1):
        made.append([(RECORD, f"{number}".encode().ljust(size, b"."))])
    if close:
        made.close()
    return made


def drained(backlog):
    """Return (start, seq, kind) of everything that would be sent, acknowledging batch by batch."""
    sent, expected = [], None
    while (batch := backlog.next_batch()) is not None:
        for frame in iter_frames(batch.content):
            start = msgspec.msgpack.decode(frame.payload)["from"] if frame.kind == DROPPED else frame.seq
            assert expected is None or start == expected, "a batch has a hole"
            expected = frame.seq + 1
            sent.append((start, frame.seq, frame.kind))
        backlog.ack(batch.last_seq)
    return sent


def test_everything_is_sent_in_order_and_once(tmp_path):
    made = spooled(tmp_path, 300, per_segment=1000)
    assert drained(Backlog(made.folder)) == [(seq, seq, RECORD) for seq in range(1, 301)]


def test_a_restart_goes_on_behind_what_was_acknowledged(tmp_path):
    made = spooled(tmp_path, 10)
    first = Backlog(made.folder)
    first.ack(4)
    assert drained(Backlog(made.folder))[0] == (5, 5, RECORD)


def test_a_live_stream_is_followed_as_it_grows(tmp_path):
    made = spooled(tmp_path, 3)
    backlog = Backlog(made.folder)
    assert len(drained(backlog)) == 3
    made.append([(RECORD, b"four")])
    assert drained(backlog) == [(4, 4, RECORD)]
    assert backlog.next_batch() is None


def test_a_live_segment_is_not_read_again_from_its_start(tmp_path):
    made = spooled(tmp_path, 50)
    backlog = Backlog(made.folder)
    drained(backlog)
    assert backlog._resume[1] == 51
    path = next(made.folder.glob("*.open"))
    assert backlog._resume[2] == path.stat().st_size


def test_a_torn_frame_of_a_live_stream_is_waited_for(tmp_path):
    made = spooled(tmp_path, 2)
    path = next(made.folder.glob("*.open"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-3])
    backlog = Backlog(made.folder)
    assert drained(backlog) == [(1, 1, RECORD)]
    path.write_bytes(whole)
    assert drained(backlog) == [(2, 2, RECORD)]


def test_acknowledged_segments_are_deleted_and_the_open_one_is_kept(tmp_path):
    made = spooled(tmp_path, 100, per_segment=1000)
    drained(Backlog(made.folder))
    assert [path.suffix for path in made.folder.glob("0*")] == [".open"]


def test_the_cursor_is_durable_before_anything_is_deleted(tmp_path, monkeypatch):
    made = spooled(tmp_path, 100, per_segment=1000)
    backlog = Backlog(made.folder)
    batch = backlog.next_batch()
    monkeypatch.setattr(backlog, "_unlink_acked", lambda: (_ for _ in ()).throw(RuntimeError("killed here")))
    with pytest.raises(RuntimeError):
        backlog.ack(batch.last_seq)
    assert drained(Backlog(made.folder)) == []


def test_a_finished_stream_disappears_only_when_its_writer_is_gone(tmp_path):
    made = spooled(tmp_path, 5)
    backlog = Backlog(made.folder)
    drained(backlog)
    assert not backlog.finish_if_done()
    made.close()
    assert backlog.finish_if_done()
    assert live_streams(tmp_path) == []


def test_an_abandoned_stream_with_a_backlog_stays(tmp_path):
    made = spooled(tmp_path, 5, close=True)
    assert not Backlog(made.folder).finish_if_done()
    assert live_streams(tmp_path) == [made.folder]


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_damage_anywhere_costs_what_it_touches_and_says_so(tmp_path_factory, data):
    made = spooled(tmp_path_factory.mktemp("s"), 30, per_segment=300, close=True)
    paths = sorted(made.folder.glob("0*"))
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(paths))
        if not path.exists() or path.stat().st_size <= HEADER_BYTES:
            continue
        content = bytearray(path.read_bytes())
        match data.draw(st.sampled_from(["flip", "cut", "zero", "gone"])):
            case "flip":
                content[data.draw(st.integers(HEADER_BYTES, len(content) - 1))] ^= 0x10
                path.write_bytes(content)
            case "cut":
                path.write_bytes(content[: data.draw(st.integers(HEADER_BYTES, len(content)))])
            case "zero":
                path.write_bytes(bytes(content[:HEADER_BYTES]) + bytes(len(content) - HEADER_BYTES))
            case "gone":
                path.unlink()
    sent = drained(Backlog(made.folder))
    told = [seq for start, seq, _ in sent for seq in range(start, seq + 1)]
    assert told == list(range(1, len(told) + 1))


def test_a_deleted_segment_in_the_middle_is_told_as_lost(tmp_path):
    made = spooled(tmp_path, 30, per_segment=300, close=True)
    segments = sorted(made.folder.glob("0*"))
    lost = int(segments[1].stem), int(segments[2].stem) - 1
    segments[1].unlink()
    assert (*lost, DROPPED) in drained(Backlog(made.folder))


def test_refused_records_are_set_aside_and_the_others_go_on(tmp_path):
    made = spooled(tmp_path, 5)
    backlog = Backlog(made.folder)
    assert backlog.set_aside(backlog.next_batch(), (2, 4)) == 2
    assert drained(backlog) == [(1, 1, RECORD), (2, 2, DROPPED), (3, 3, RECORD), (4, 4, DROPPED), (5, 5, RECORD)]
    kept = (tmp_path / "usage" / "quarantine").read_bytes()
    assert [frame.seq for frame in iter_frames(kept)] == [2, 4]


def test_a_batch_stays_below_its_limit_and_shrinks_when_told(tmp_path):
    made = spooled(tmp_path, 200, size=20_000, per_segment=10**9)
    backlog = Backlog(made.folder)
    first = backlog.next_batch()
    assert len(first.content) <= 1024 * 1024 + 20_000 + HEADER.size
    backlog.shrink()
    assert len(backlog.next_batch().content) < len(first.content)


def test_going_back_where_the_control_plane_says_sends_again(tmp_path):
    made = spooled(tmp_path, 5, per_segment=10**9)
    backlog = Backlog(made.folder)
    backlog.ack(3)
    backlog.seek(2)
    assert drained(backlog)[0] == (2, 2, RECORD)


def test_the_cap_deletes_the_oldest_finished_segments_only(tmp_path):
    made = spooled(tmp_path, 100, per_segment=1000)
    before, _ = spool_state(tmp_path, 0.0)
    deleted = enforce_cap(tmp_path / "usage", before // 2)
    after, _ = spool_state(tmp_path, 0.0)
    assert deleted > 0
    assert after <= before // 2
    assert len(list(made.folder.glob("*.open"))) == 1
    assert drained(Backlog(made.folder))[0][2] == DROPPED


def renamed_under(backlog, monkeypatch):
    """Have the writer finish its segment and begin the next one just after the reader listed what there is."""
    listed = backlog._segments()
    monkeypatch.setattr(backlog, "_segments", lambda: listed)


def test_a_segment_that_is_renamed_while_it_is_read_is_no_loss(tmp_path, monkeypatch):
    made = spooled(tmp_path, 3)
    backlog = Backlog(made.folder)
    with monkeypatch.context() as patch:
        renamed_under(backlog, patch)
        made.seal()
        with pytest.raises(FileNotFoundError):
            backlog.next_batch()
    made.append([(RECORD, b"four")])
    assert drained(backlog) == [(seq, seq, RECORD) for seq in range(1, 5)]


def test_an_abandoned_stream_whose_segment_cannot_be_read_now_is_not_cleared_away(tmp_path, monkeypatch):
    made = spooled(tmp_path, 3, close=True)
    backlog = Backlog(made.folder)

    def refused(*_args, **_rest):
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.open", refused)
        with pytest.raises(OSError, match="Too many open files"):
            backlog.finish_if_done()
    assert len(drained(backlog)) == 3


def test_the_cap_does_not_stumble_over_a_segment_that_is_gone(tmp_path, monkeypatch):
    made = spooled(tmp_path, 300, per_segment=1000, close=True)
    listed = list((tmp_path / "usage").glob("*/*.*"))
    listed[0].unlink()
    monkeypatch.setattr("pathlib.Path.glob", lambda *_: iter(listed))
    assert enforce_cap(tmp_path / "usage", 10**9) == 0
    assert made.folder.exists()
