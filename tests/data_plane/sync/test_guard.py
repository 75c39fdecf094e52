import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_plane.sync.guard import SLOT_BYTES, Guard
from shared.bundle.verify import Marks

FIRST = Marks(manifest=(1, 5), head=(1, 6), head_no=7, freshness_keys=("f",), revoked=("k:1",))
SECOND = Marks(manifest=(1, 8), head=(1, 9), head_no=9, freshness_keys=("f",), revoked=("k:1", "k:2"))


def reopened(path):
    return Guard(path)


def test_marks_survive_a_restart(tmp_path):
    guard = Guard(tmp_path / "guard.bin")
    guard.put(FIRST)
    guard.put(SECOND)
    again = reopened(tmp_path / "guard.bin")
    assert (again.marks, again.lost) == (SECOND, False)


@pytest.mark.parametrize("slot", [0, 1])
def test_a_slot_torn_by_a_crash_leaves_the_other(tmp_path, slot):
    path = tmp_path / "guard.bin"
    guard = Guard(path)
    guard.put(FIRST)
    guard.put(SECOND)
    with path.open("r+b") as file:
        file.seek(slot * SLOT_BYTES + 20)
        file.write(b"\xff\xff")
    assert reopened(path).marks in (FIRST, SECOND)


def test_two_broken_slots_are_noticed(tmp_path):
    path = tmp_path / "guard.bin"
    Guard(path).put(FIRST)
    path.write_bytes(b"\xff" * 2 * SLOT_BYTES)
    again = reopened(path)
    assert (again.lost, again.marks) == (True, Marks())


@given(st.binary(max_size=200))
def test_any_content_opens(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("guard") / "guard.bin"
    path.write_bytes(content)
    assert isinstance(reopened(path).marks, Marks)


def test_the_file_never_grows_so_a_full_disk_still_takes_a_revocation(tmp_path):
    path = tmp_path / "guard.bin"
    guard = Guard(path)
    for number in range(50):
        guard.put(Marks(head=(1, number), revoked=tuple(f"k:{index}" for index in range(number * 40))))
    assert path.stat().st_size == 2 * SLOT_BYTES
    assert reopened(path).marks.head == (1, 49)


def test_a_disk_that_refuses_leaves_the_marks_in_memory(tmp_path, monkeypatch):
    guard = Guard(tmp_path / "guard.bin")

    def refuse(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", refuse)
    guard.put(FIRST)
    assert (guard.marks, guard.failed) == (FIRST, True)
    monkeypatch.undo()
    guard.put(FIRST)
    assert not guard.failed
    assert reopened(tmp_path / "guard.bin").marks == FIRST
