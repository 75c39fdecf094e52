"""Are a container's words found inside an endpoint's?"""

import itertools

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_plane.providers._payload_stream import LineSplitter, PayloadSplitter, read_container_fault
from data_plane.providers.sse import MAX_EVENT_BYTES
from shared.errors import UpstreamBroken, UpstreamInvalid
from tests.fakes import aws

CHUNKS = [b'{"choices":[{"delta":{"content":"h\xc3\xa9"}}]}', b'{"choices":[]}']
SSE = b"".join(b"data: " + chunk + b"\n\n" for chunk in CHUNKS)
LINES = b"\n".join(CHUNKS)


def parts(inner, cuts):
    places = [0, *sorted(cuts), len(inner)]
    return b"".join(aws.event("PayloadPart", inner[start:end]) for start, end in itertools.pairwise(places))


@pytest.mark.parametrize("inner", [SSE, LINES], ids=["events", "lines"])
@given(cuts=st.lists(st.integers(0, 90), max_size=5), step=st.integers(1, 400))
def test_the_containers_stream_is_the_same_however_both_are_cut(inner, cuts, step):
    splitter, stream = PayloadSplitter(), parts(inner, cuts)
    events = [event for at in range(0, len(stream), step) for event in splitter.feed(stream[at : at + step])]
    assert [*events, *splitter.close()] == [("", chunk) for chunk in CHUNKS]


def test_an_exception_is_an_error_of_the_stream():
    failed = aws.event("ModelStreamError", {"Message": "too slow", "ErrorCode": "StreamBroken"}, kind="exception")
    (event,) = PayloadSplitter().feed(failed)
    assert (event[0], orjson.loads(event[1])) == ("error", {"error": {"message": "too slow", "code": "StreamBroken"}})


def test_an_event_of_a_kind_that_is_yet_to_come_says_nothing():
    assert PayloadSplitter().feed(aws.event("Heartbeat", {})) == []


def test_a_stream_that_ends_inside_a_message_is_broken():
    splitter = PayloadSplitter()
    splitter.feed(aws.event("PayloadPart", SSE)[:-3])
    with pytest.raises(UpstreamBroken):
        splitter.close()


def test_a_stream_without_anything_in_it_has_no_events():
    splitter = PayloadSplitter()
    assert [splitter.feed(aws.event("PayloadPart", b" \n")), splitter.close()] == [[], []]


def test_a_line_without_end_is_refused():
    with pytest.raises(UpstreamInvalid):
        LineSplitter().feed(b"x" * (MAX_EVENT_BYTES + 1))


@pytest.mark.parametrize(("body", "message", "kind"), [
    ({"Message": "see account 123", "OriginalMessage": '{"error":{"message":"too long","type":"bad"}}'}, "too long", "bad"),
    ({"Message": "see account 123", "OriginalMessage": "not JSON"}, "not JSON", "ModelError"),
    ({"Message": "Endpoint e not found."}, "Endpoint e not found.", None),
    ({"message": "expired token"}, "expired token", None),
    (None, "status 424, without an explanation", None),
])  # fmt: skip
def test_the_containers_own_sentence_is_told(body, message, kind):
    fault = read_container_fault(424, body)
    assert (fault.message, fault.type) == (message, kind)


@given(st.binary(max_size=60))
def test_bytes_that_are_no_stream_are_refused_as_the_providers_fault(content):
    splitter, outcome = PayloadSplitter(), []
    try:
        outcome = [*splitter.feed(content), *splitter.close()]
    except UpstreamBroken as broken:
        assert broken.status == 502
    assert outcome == []
