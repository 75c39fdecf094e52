"""Does the splitter find the same events however the network cuts the stream?"""

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from data_plane.providers.sse import MAX_EVENT_BYTES, SseSplitter, data_frame, named_frame
from shared.errors import UpstreamInvalid


def split(*chunks):
    splitter = SseSplitter()
    events = [event for chunk in chunks for event in splitter.feed(chunk)]
    return events + splitter.close()


def test_whole_events_in_one_chunk_come_out_at_once():
    assert SseSplitter().feed(b'data: {"a":1}\n\ndata: [DONE]\n\n') == [("", b'{"a":1}'), ("", b"[DONE]")]


def test_an_event_waits_for_its_empty_line():
    splitter = SseSplitter()
    assert splitter.feed(b"data: a\n") == []
    assert splitter.feed(b"\n") == [("", b"a")]


def test_a_named_event_keeps_its_name():
    assert split(b"event: ping\ndata: {}\n\n") == [("ping", b"{}")]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_every_line_end_is_understood(end):
    assert split(end.join([b"event: x", b"data: 1", b"data: 2", b"", b"data: 3", b"", b""])) == [
        ("x", b"1\n2"),
        ("", b"3"),
    ]


def test_a_line_end_cut_in_two_is_one_line_end():
    assert split(b"data: 1\r", b"\ndata: 2\r", b"\n\r", b"\n") == [("", b"1\n2")]


def test_two_carriage_returns_cut_apart_end_an_event():
    splitter = SseSplitter()
    assert splitter.feed(b"data: 1\r") + splitter.feed(b"\r") == [("", b"1")]


def test_comments_and_other_fields_are_passed_over():
    assert split(b": OPENROUTER PROCESSING\n\nid: 4\nretry: 9\ndata: x\n\n:\n\n") == [("", b"x")]


@pytest.mark.parametrize(("line", "data"), [(b"data:x", b"x"), (b"data:  x", b" x"), (b"data", b""), (b"data: ", b"")])
def test_one_space_behind_the_colon_is_no_data(line, data):
    assert split(line + b"\n\n") == [("", data)]


def test_a_byte_order_mark_is_no_part_of_the_first_line_even_when_cut():
    assert split(b"\xef", b"\xbb", b"\xbfdata: x\n\n") == [("", b"x")]


def test_a_first_chunk_that_only_begins_like_a_mark_is_kept():
    assert split(b"\xef\xbb", b"x: 1\ndata: y\n\n") == [("", b"y")]


def test_the_last_event_may_lack_its_empty_line():
    assert split(b"data: a\n\ndata: b") == [("", b"a"), ("", b"b")]
    assert split(b"data: a\n\ndata: b\n") == [("", b"a"), ("", b"b")]


def test_closing_twice_gives_the_last_event_once():
    splitter = SseSplitter()
    splitter.feed(b"data: a")
    assert splitter.close() == [("", b"a")]
    assert splitter.close() == []


def test_a_character_cut_in_two_is_whole_again():
    raw = "data: größe 🦆\n\n".encode()
    for cut in range(len(raw)):
        assert split(raw[:cut], raw[cut:]) == [("", "größe 🦆".encode())]


def test_an_event_name_that_is_no_utf_8_does_not_stop_the_stream():
    assert split(b"event: \xff\ndata: x\n\n") == [("\ufffd", b"x")]


def test_an_event_of_exactly_the_limit_passes():
    data = b"x" * (MAX_EVENT_BYTES - 6)
    assert split(b"data: " + data, b"\n\n") == [("", data)]


def test_an_event_over_the_limit_is_refused_before_it_ends():
    splitter = SseSplitter()
    splitter.feed(b"data: " + b"x" * (MAX_EVENT_BYTES - 6))
    with pytest.raises(UpstreamInvalid):
        splitter.feed(b"xx")


def test_an_event_over_the_limit_in_one_chunk_is_refused():
    with pytest.raises(UpstreamInvalid):
        SseSplitter().feed(b"data: " + b"x" * MAX_EVENT_BYTES + b"\n\n")


def reference(raw):
    """The same, line by line over the whole text: slow and plain."""
    raw = raw.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    events, name, parts = [], "", []
    for line in [*raw.split(b"\n"), b""]:
        key, _, value = line.partition(b":")
        if key == b"data":
            parts.append(value[1:] if value[:1] == b" " else value)
        elif key == b"event":
            name = (value[1:] if value[:1] == b" " else value).decode("utf-8", "replace")
        elif line == b"":
            if parts:
                events.append((name, b"\n".join(parts)))
            name, parts = "", []
    return events


PIECES = st.sampled_from(
    [b"data: ", b"data:", b"data", b"event: e", b"event:", b": c", b"id: 1", b"\n", b"\n", b"\n\n", b"\r\n", b"\r",
     b"\r\n\r\n", b"x", b" ", "é🦆".encode(), b"\xff", b"\xef\xbb\xbf", b'{"a":"b"}', b""]
)  # fmt: skip


@given(st.lists(PIECES, max_size=40).map(b"".join), st.lists(st.integers(0, 200), max_size=20))
@example(b"data: a\n\n\n\ndata: b\n\n", [8, 9, 10, 11])
@example(b"\xef\xbb\xbfdata: a\r\n\r\n", [1, 2, 12])
def test_any_cut_of_a_stream_gives_the_same_events(raw, cuts):
    places = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]
    chunks = [raw[start:end] for start, end in pairwise(places)]
    assert split(*chunks) == split(raw) == reference(raw)


def test_an_event_is_named_by_the_type_that_comes_first_in_it():
    assert named_frame(b'{"type":"ping","x":1}') == b'event: ping\ndata: {"type":"ping","x":1}\n\n'
    assert named_frame(b'{"x":1,"type":"ping"}') == b'data: {"x":1,"type":"ping"}\n\n'
    assert data_frame(b"{}") == b"data: {}\n\n"
