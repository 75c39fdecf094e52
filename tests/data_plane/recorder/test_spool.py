import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from data_plane.recorder.backlog import Backlog, live_streams
from data_plane.recorder.spool import HEADER_BYTES, SpoolWriter, read_segment_header, segment_header
from shared.frames import DROPPED, RECORD, iter_frames

ROOT = Path(__file__).parents[3]


def writer(folder, **changes):
    return SpoolWriter(folder, **{"segment_bytes": 1 << 20, "min_free_bytes": 0, **changes})


def frames(made):
    """Return (seq, kind, payload) of everything on disk, in order."""
    found = []
    for path in sorted(made.folder.glob("0*"), key=lambda path: path.name):
        found += [(f.seq, f.kind, f.payload) for f in iter_frames(path.read_bytes(), HEADER_BYTES)]
    return found


def records(*payloads):
    return [(RECORD, payload) for payload in payloads]


def test_what_was_appended_is_on_disk_when_append_returns(tmp_path):
    made = writer(tmp_path)
    made.append(records(b"a", b"b"))
    made.append(records(b"c"))
    assert frames(made) == [(1, RECORD, b"a"), (2, RECORD, b"b"), (3, RECORD, b"c")]


def test_a_segment_names_its_stream_and_first_number(tmp_path):
    made = writer(tmp_path)
    made.append(records(b"a"))
    path = next(made.folder.glob("*.open"))
    assert read_segment_header(path.read_bytes()) == (made.stream_id, 1)
    assert read_segment_header(segment_header(made.stream_id, 7)[:-1]) is None


def test_a_full_segment_is_sealed_and_the_numbers_go_on(tmp_path):
    made = writer(tmp_path, segment_bytes=100)
    for number in range(10):
        made.append(records(b"x" * 60 + str(number).encode()))
    assert len(list(made.folder.glob("*.seg"))) >= 4
    assert [seq for seq, _, _ in frames(made)] == list(range(1, 11))


def test_an_old_segment_is_sealed_even_when_it_is_small(tmp_path):
    now = [0.0]
    made = writer(tmp_path, clock=lambda: now[0])
    made.append(records(b"a"))
    now[0] = 31.0
    made.append(records(b"b"))
    assert [path.name for path in sorted(made.folder.glob("0*"))] == ["0" * 19 + "1.seg", "0" * 19 + "2.open"]


def test_every_start_is_a_stream_of_its_own(tmp_path):
    assert writer(tmp_path).stream_id != writer(tmp_path).stream_id


def test_a_stream_is_locked_while_its_writer_lives(tmp_path):
    made = writer(tmp_path)
    with (made.folder / "lock").open("rb+") as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    made.close()
    with (made.folder / "lock").open("rb+") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


class Disk:
    """A disk that can be told to fail its writes, as `os.write` sees it."""

    def __init__(self, monkeypatch):
        self.real, self.mode = os.write, ""
        monkeypatch.setattr("data_plane.recorder.spool.os.write", self.write)

    def write(self, descriptor, content):
        if self.mode == "full":
            raise OSError(errno.ENOSPC, "No space left on device")
        if self.mode == "part":
            return self.real(descriptor, content[: len(content) // 2])
        return self.real(descriptor, content)


@pytest.mark.parametrize("mode", ["full", "part"])
def test_a_failing_disk_costs_records_which_are_counted_and_told_later(tmp_path, monkeypatch, mode):
    now = [0.0]
    made = writer(tmp_path, clock=lambda: now[0])
    disk = Disk(monkeypatch)
    made.append(records(b"kept"))
    disk.mode = mode
    made.append(records(b"lost-1", b"lost-2"))
    made.append(records(b"lost-3"))
    assert made.dropped == {"spool_failed": 3}
    disk.mode, now[0] = "", 10.0
    made.append(records(b"after"))
    found = frames(made)
    assert [(seq, kind) for seq, kind, _ in found] == [(1, RECORD), (2, DROPPED), (3, RECORD)]
    note = msgspec.msgpack.decode(found[1][2])
    assert (note["n"], note["from"], note["to"], note["reason"]) == (3, 2, 2, "spool_failed")
    assert found[2][2] == b"after"


def test_a_disk_that_is_nearly_full_is_left_alone(tmp_path):
    made = writer(tmp_path, min_free_bytes=1 << 60)
    made.append(records(b"a"))
    assert made.dropped == {"spool_failed": 1}
    assert not list(made.folder.glob("0*"))


def test_a_failed_sync_gives_the_file_up_and_never_syncs_it_again(tmp_path, monkeypatch):
    now, calls = [0.0], []
    made = writer(tmp_path, clock=lambda: now[0])
    made.append(records(b"a"))

    def refuse(descriptor):
        calls.append(descriptor)
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("data_plane.recorder.spool.os.fdatasync", refuse)
    now[0] = 1.0
    made.sync()
    made.sync()
    assert len(calls) == 1
    assert [path.suffix for path in made.folder.glob("0*")] == [".suspect"]
    made.append(records(b"b"))
    assert [payload for _, _, payload in frames(made)] == [b"a", b"b"]


CHILD = """
import sys
from pathlib import Path
from data_plane.recorder.spool import SpoolWriter
from shared.frames import RECORD
made = SpoolWriter(Path(sys.argv[1]), segment_bytes=20_000, min_free_bytes=0)
number = 0
while True:
    made.append([(RECORD, b"%d" % (number + index)) for index in range(7)])
    number += 7
    print(number, flush=True)
"""


def test_everything_written_before_a_kill_is_there_after_it(tmp_path):
    for _ in range(20):
        folder = tmp_path / os.urandom(4).hex()
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", CHILD, str(folder)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
            told = [int(child.stdout.readline()) for _ in range(50)]
            child.send_signal(signal.SIGKILL)
            # The last line may be cut in two by the kill.
            told += [int(line) for line in child.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
        stream = next(folder.iterdir())
        found = []
        for path in sorted(stream.glob("0*"), key=lambda path: path.name):
            content = path.read_bytes()
            found += [int(frame.payload) for frame in iter_frames(content, HEADER_BYTES)]
        assert found[: told[-1]] == list(range(told[-1]))


def test_a_stream_is_seen_only_when_it_is_held(tmp_path, monkeypatch):
    seen = []
    held = fcntl.flock

    def watched(descriptor, how):
        seen.append(live_streams(tmp_path))
        held(descriptor, how)

    monkeypatch.setattr("fcntl.flock", watched)
    made = SpoolWriter(tmp_path / "usage", segment_bytes=1000, min_free_bytes=0)
    assert seen == [[]]
    assert live_streams(tmp_path) == [made.folder]
    assert not Backlog(made.folder).is_abandoned()
    made.close()
