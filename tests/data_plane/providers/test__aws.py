"""Are signatures those that AWS's own library makes, and events those that it reads?"""

import calendar
import datetime as dt
import itertools
import struct
from urllib.parse import quote

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import botocore.eventstream
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_plane.core.identity import AwsKey
from data_plane.core.types import UpstreamRequest
from data_plane.providers import _aws
from data_plane.providers._aws import EventStreamSplitter, sign_request
from shared.errors import UpstreamBroken
from shared.redact import Secret
from tests.fakes import aws

NOW = dt.datetime(2026, 3, 4, 5, 6, 7, tzinfo=dt.UTC)
NOW_S = calendar.timegm(NOW.timetuple())


def request(url="https://h.example/x", *, body=b"{}", method="POST", **headers):
    given = {"content-type": "application/json", **headers}
    return UpstreamRequest(url, given, body, stream=False, timeout_ms=None, method=method)


def signed(call, *, token=None, secret="s3cret/+", region="eu-west-1"):
    key = AwsKey("AKID", Secret(secret), Secret(token) if token else None)
    sign_request(call, key, region=region, service="bedrock", now_s=NOW_S)
    return call.headers


def botocores(monkeypatch, call, *, token=None, secret="s3cret/+", region="eu-west-1"):
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: NOW.replace(tzinfo=None))
    body = call.body if isinstance(call.body, bytes) else b"".join(call.body)
    theirs = botocore.awsrequest.AWSRequest(method=call.method, url=call.url, headers=dict(call.headers), data=body)
    credentials = botocore.credentials.Credentials("AKID", secret, token)
    botocore.auth.SigV4Auth(credentials, "bedrock", region).add_auth(theirs)
    return {name.lower(): value for name, value in theirs.headers.items()}


PATHS = st.lists(
    st.one_of(
        st.sampled_from(
            ["", ".", "..", "model", "arn:aws:bedrock:eu:1:inference-profile/x", "a~b-c_d.e", "ü", "%", "*"]
        ),
        st.text(max_size=8),
    ).map(lambda segment: quote(segment, safe="")),
    max_size=4,
).map(lambda segments: "/" + "/".join(segments))
QUERIES = st.lists(
    st.tuples(st.text(max_size=5), st.text(max_size=5)).map(
        lambda pair: f"{quote(pair[0], safe='-_.~')}={quote(pair[1], safe='-_.~')}"
    ),
    max_size=3,
).map("&".join)


@given(
    path=PATHS, query=QUERIES, body=st.binary(max_size=60), method=st.sampled_from(["GET", "POST", "DELETE"]),
    token=st.sampled_from([None, "tok=="]), spaced=st.sampled_from(["a", "a  b", " a "]),
)  # fmt: skip
def test_a_signature_is_the_one_that_botocore_makes(path, query, body, method, token, spaced):
    with pytest.MonkeyPatch.context() as patch:
        url = f"https://bedrock-runtime.eu-west-1.amazonaws.com{path}" + (f"?{query}" if query else "")
        call = request(url, body=body, method=method, **{"x-amz-custom": spaced})
        theirs = botocores(patch, call, token=token)
        ours = signed(call, token=token)
    assert ours["authorization"] == theirs["authorization"]
    assert ours["x-amz-date"] == theirs["x-amz-date"]
    assert ours.get("x-amz-security-token") == token


def test_a_body_in_parts_is_signed_as_a_whole():
    whole, parts = request(body=b"abc"), request(body=(b"a", memoryview(b"bc")))
    assert signed(whole)["authorization"] == signed(parts)["authorization"]


def test_what_was_signed_before_is_signed_anew_and_the_callers_own_is_gone():
    again = request(**{
        "Authorization": "AWS4-HMAC-SHA256 old", "x-amz-date": "old", "X-Amz-Security-Token": "old",
        "x-amz-content-sha256": "old",
    })  # fmt: skip
    assert signed(again) == signed(request())


def test_headers_that_change_on_the_way_are_not_signed():
    headers = signed(request(**{"traceparent": "00-1", "user-agent": "x", "accept": "*/*"}))
    assert "SignedHeaders=content-type;host;x-amz-date," in headers["authorization"]


def test_another_secret_region_or_day_makes_another_signature():
    first = signed(request())["authorization"]
    assert (
        len({first, signed(request(), secret="b")["authorization"], signed(request(), region="r")["authorization"]})
        == 3
    )
    call = request()
    sign_request(call, AwsKey("AKID", Secret("s3cret/+")), region="eu-west-1", service="bedrock", now_s=NOW_S + 86400)
    assert call.headers["authorization"] != first


def test_keys_of_a_day_are_remembered_without_the_secret_and_not_without_end(monkeypatch):
    monkeypatch.setattr(_aws, "MAX_REMEMBERED_KEYS", 2)
    _aws._day_keys.clear()
    for number in range(5):
        signed(request(), secret=f"secret-{number}")
    assert 0 < len(_aws._day_keys) <= 2
    assert "secret-" not in repr(_aws._day_keys)


def test_a_secret_that_is_no_text_is_signed_with_all_the_same():
    assert "Signature=" in signed(request(), secret="\udcff")["authorization"]


# event streams


def split(pieces):
    splitter = EventStreamSplitter()
    events = [event for piece in pieces for event in splitter.feed(piece)]
    return events + splitter.close()


def cut(content, points):
    edges = [0, *sorted(point % (len(content) + 1) for point in points), len(content)]
    return [content[start:end] for start, end in itertools.pairwise(edges)]


HEADERS = st.lists(
    st.one_of(
        st.builds(lambda name, on: aws.header(name, 0 if on else 1, b""), st.sampled_from("ab"), st.booleans()),
        st.builds(lambda name: aws.header(name, 2, b"\x01"), st.sampled_from("cd")),
        st.builds(lambda name: aws.header(name, 3, b"\x00\x01"), st.sampled_from("ef")),
        st.builds(lambda name: aws.header(name, 4, bytes(4)), st.sampled_from("gh")),
        st.builds(lambda name, kind: aws.header(name, kind, bytes(8)), st.sampled_from("ij"), st.sampled_from([5, 8])),
        st.builds(lambda name, raw: aws.header(name, 6, struct.pack(">H", len(raw)) + raw), st.sampled_from("kl"), st.binary(max_size=9)),
        st.builds(lambda name: aws.header(name, 9, bytes(16)), st.sampled_from("mn")),
        st.builds(aws.text_header, st.sampled_from(["o", "p"]), st.text(max_size=9)),
    ),
    max_size=5, unique_by=lambda raw: raw[1],
)  # fmt: skip


@given(
    messages=st.lists(st.tuples(HEADERS, st.text(max_size=8), st.binary(max_size=50)), max_size=5),
    points=st.lists(st.integers(0, 4000), max_size=6),
)
def test_events_are_those_that_botocore_reads_wherever_the_network_cuts(messages, points):
    content = b"".join(
        aws.frame(b"".join(headers) + aws.text_header(":event-type", name), payload)
        for headers, name, payload in messages
    )
    theirs = botocore.eventstream.EventStreamBuffer()
    theirs.add_data(content)
    assert split(cut(content, points)) == [(each.headers[":event-type"], each.payload) for each in theirs]


@given(content=st.binary(max_size=80), good=st.booleans())
def test_any_bytes_are_events_or_a_broken_stream(content, good):
    pieces = [aws.event("a", {}), content] if good else [content]
    events = []
    try:
        events = split(pieces)
    except UpstreamBroken as broken:
        assert broken.status == 502
    assert all(isinstance(name, str) and isinstance(data, bytes) for name, data in events)


WHOLE = aws.event("contentBlockDelta", {"delta": {"text": "hi"}})


@pytest.mark.parametrize("position", range(len(WHOLE)))
def test_one_changed_bit_anywhere_breaks_the_stream(position):
    damaged = bytearray(WHOLE)
    damaged[position] ^= 1
    with pytest.raises(UpstreamBroken):
        split([bytes(damaged)])


def test_a_stream_that_ends_inside_an_event_is_broken():
    with pytest.raises(UpstreamBroken):
        split([WHOLE, WHOLE[:-1]])


def test_what_came_whole_before_the_damage_is_told_first():
    splitter = EventStreamSplitter()
    assert len(splitter.feed(WHOLE + b"x" * 20)) == 1
    with pytest.raises(UpstreamBroken):
        splitter.feed(b"")
    with pytest.raises(UpstreamBroken):
        splitter.close()


@pytest.mark.parametrize(("total", "headers"), [(15, 0), (100, 90), (_aws.MAX_MESSAGE_BYTES + 1, 0), (2**31, 2**30)])
def test_lengths_that_cannot_be_right_are_refused_at_once(total, headers):
    prelude = struct.pack(">II", total, headers)
    with pytest.raises(UpstreamBroken):
        EventStreamSplitter().feed(prelude + struct.pack(">I", aws.crc32(prelude)))


def test_exceptions_and_errors_are_events_of_their_own_names():
    error = aws.frame(
        aws.text_header(":message-type", "error") + aws.text_header(":error-code", "InternalError")
        + aws.text_header(":error-message", "it broke"), b"",
    )  # fmt: skip
    exception = aws.event("throttlingException", {"message": "slow"}, kind="exception")
    assert split([exception + error]) == [
        ("exception:throttlingException", b'{"message":"slow"}'), ("error:InternalError", b'{"message":"it broke"}'),
    ]  # fmt: skip


@pytest.mark.parametrize("headers", [
    aws.text_header(":message-type", "surprise"), b"\x05ab", aws.header("a", 77, b""), b"\x01a\x07\xff\xff", b"\x01\xff\x00",
])  # fmt: skip
def test_headers_that_are_none_break_the_stream(headers):
    with pytest.raises(UpstreamBroken):
        split([aws.frame(headers, b"{}")])


def test_a_long_event_in_many_pieces_is_put_together():
    payload = b"x" * 300_000
    long = aws.frame(aws.text_header(":event-type", "e") + aws.text_header("long", "y" * 400), payload)
    assert split([long[at : at + 1000] for at in range(0, len(long), 1000)]) == [("e", payload)]
