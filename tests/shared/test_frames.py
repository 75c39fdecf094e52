import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.frames import HEADER, RECORD, FrameBroken, iter_frames, next_frame_offset, pack_frame, read_frame

payloads = st.lists(st.binary(max_size=60), min_size=1, max_size=8)


def packed(contents):
    return b"".join(pack_frame(seq, RECORD, content) for seq, content in enumerate(contents, 1))


@given(payloads)
def test_frames_come_back_as_they_were_packed(contents):
    assert [(f.seq, f.payload) for f in iter_frames(packed(contents))] == list(enumerate(contents, 1))


@given(payloads, st.data())
def test_a_cut_loses_the_torn_frame_and_nothing_before_it(contents, data):
    whole = packed(contents)
    cut = data.draw(st.integers(0, len(whole) - 1))
    seen = []
    with pytest.raises(FrameBroken) as raised:
        for frame in iter_frames(whole[:cut] + b""):
            seen.append(frame.payload)
        raise FrameBroken(cut, torn=True)
    assert raised.value.torn
    assert seen == contents[: len(seen)]
    assert sum(HEADER.size + len(content) for content in seen) <= cut


@given(payloads, st.data())
def test_no_single_flipped_byte_passes_as_the_frame_it_was(contents, data):
    whole = bytearray(packed(contents))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= 1 << data.draw(st.integers(0, 7))
    got = []
    try:
        got = [(f.seq, f.payload) for f in iter_frames(bytes(whole))]
    except FrameBroken:
        return
    assert got != list(enumerate(contents, 1))


def test_the_next_whole_frame_behind_a_damaged_one_is_found():
    whole = bytearray(packed([b"first", b"second", b"third"]))
    second = HEADER.size + len(b"first")
    whole[second + HEADER.size] ^= 0xFF
    found = next_frame_offset(bytes(whole), second, after_seq=1)
    assert read_frame(bytes(whole), found).payload == b"third"


def test_behind_the_last_damaged_frame_there_is_nothing():
    whole = bytearray(packed([b"only"]))
    whole[-1] ^= 1
    assert next_frame_offset(bytes(whole), 0, after_seq=0) is None


def test_an_absurd_length_is_damage_not_a_reason_to_wait():
    with pytest.raises(FrameBroken) as raised:
        read_frame(b"\xff" * 64, 0)
    assert not raised.value.torn
