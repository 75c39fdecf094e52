import pytest

from shared.trace import MAX_ID_CHARS, read_trace

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_portkey_headers_win_over_traceparent():
    trace = read_trace({"x-portkey-trace-id": "mine", "traceparent": PARENT})
    assert (trace.trace_id, trace.parent_span_id) == ("mine", "00f067aa0ba902b7")


def test_traceparent_gives_trace_and_parent():
    trace = read_trace({"traceparent": PARENT})
    assert (trace.trace_id, trace.parent_span_id) == ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")
    assert len(trace.span_id) == 16


@pytest.mark.parametrize("header", [
    "", "x", "ff" + PARENT[2:], PARENT.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32),
    PARENT.replace("00f067aa0ba902b7", "0" * 16), PARENT.upper(),
])  # fmt: skip
def test_an_invalid_traceparent_counts_as_absent(header):
    trace = read_trace({"traceparent": header})
    assert trace.parent_span_id is None
    assert len(trace.trace_id) == 32


def test_an_id_cannot_carry_line_breaks_or_grow_without_bound():
    trace = read_trace({"x-portkey-trace-id": "a\r\nset-cookie: x" + "y" * 500})
    assert "\n" not in trace.trace_id
    assert " " not in trace.trace_id
    assert len(trace.trace_id) <= MAX_ID_CHARS


def test_every_request_has_a_trace_of_its_own():
    assert read_trace({}).trace_id != read_trace({}).trace_id
