"""Cloud Storage's requests and answers; a whole upload is in `test__vertex_bulk.py`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_plane.core.types import CallFacts
from data_plane.providers._bulk import Place, Slice, Told
from data_plane.providers._gcs import Gcs
from shared.errors import BadRequest, GatewayError, UpstreamInvalid

STORE = Gcs("https://storage.googleapis.com", CallFacts("", False, True, {}, {}))
PLACE = Place("my-bucket", "a/b c.jsonl")


def test_a_name_stands_in_the_path_as_one_step():
    assert STORE.read(PLACE).url == "https://storage.googleapis.com/storage/v1/b/my-bucket/o/a%2Fb%20c.jsonl?alt=media"
    assert STORE.page(Place("my-bucket", "x"), 5000, "t&").url.endswith("/o?maxResults=1000&prefix=x%2F&pageToken=t%26")


@pytest.mark.parametrize(("part", "said"), [
    (Slice(1, 0, b"abc"), "bytes 0-2/*"), (Slice(2, 3, b"d", 4), "bytes 3-3/4"), (Slice(1, 0, b"", 0), "bytes */0"),
])  # fmt: skip
def test_a_part_says_where_it_belongs(part, said):
    assert STORE.send(PLACE, "u/1", part).headers["content-range"] == said
    assert STORE.send(PLACE, "u/1", part).url.endswith("uploadType=resumable&upload_id=u%2F1")


@pytest.mark.parametrize("location", ["", "https://x/y", "https://[", "https://x/?upload_id="])
def test_an_upload_without_an_id_has_not_begun(location):
    with pytest.raises(UpstreamInvalid):
        STORE.begun(Told(200, {"location": location}, b""))


@pytest.mark.parametrize(("told", "part"), [
    (Told(308, {}, b""), Slice(1, 0, b"abc")), (Told(308, {"range": "bytes=0-1"}, b""), Slice(1, 0, b"abc")), (Told(200, {}, b""), Slice(1, 0, b"abc")),
    (Told(308, {"range": "bytes=0-2"}, b""), Slice(1, 0, b"abc", 3)),
])  # fmt: skip
def test_a_part_that_was_not_taken_whole_is_a_failure(told, part):
    with pytest.raises(UpstreamInvalid):
        STORE.sent(told, part)


@pytest.mark.parametrize("bucket", ["", "ab", "A-b", "goog-x", "a..b", "1.2.3", "a/b", "a@b", ".ab"])
def test_a_bucket_with_a_name_that_google_does_not_have_is_refused(bucket):
    with pytest.raises(BadRequest):
        STORE.place(bucket, "x")


@given(
    st.one_of(st.binary(max_size=100), st.just(b'{"items":[{"name":"x","size":{}},3,{"name":4}],"nextPageToken":5}'))
)
def test_whatever_google_answers_is_read_or_refused(content):
    told = Told(200, {}, content)
    for read in (lambda: STORE.seen(told, PLACE), lambda: STORE.paged(told, PLACE), lambda: STORE.fault(500, content)):
        try:
            read()
        except GatewayError:
            continue


def test_an_error_without_json_is_its_text():
    assert STORE.fault(404, b"Not Found").message == "Not Found"
    assert STORE.fault(403, b'{"error":{"code":403,"message":"no","status":"PERMISSION_DENIED"}}').message == "no"
