import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_plane.batches.lines import BATCHED, MAX_CUSTOM_ID_CHARS, answer_line, error_line, read_line, read_written
from data_plane.core.endpoint import ENDPOINTS

URL = "/v1/chat/completions"


def line(**changes):
    return orjson.dumps({"custom_id": "a", "method": "POST", "url": URL, "body": {"model": "m"}, **changes})


def test_a_line_is_a_request():
    seen = set()
    read = read_line(3, line(), URL, seen)
    assert (read.number, read.custom_id, orjson.loads(read.body), read.fault) == (3, "a", {"model": "m"}, None)
    assert seen == {"a"}


@pytest.mark.parametrize(("text", "fault"), [
    (b"{", "not a request"), (b"[]", "not a request"), (b"\xff", "not a request"), (b"{}", "not a request"),
    (line(custom_id=""), "custom_id"), (line(custom_id="x" * (MAX_CUSTOM_ID_CHARS + 1)), "custom_id"), (line(method="GET"), "method"),
    (line(url="/v1/embeddings"), "url must be"), (line(body=[]), "body must be an object"), (line(body={"stream": True}), "stream"),
    (line(custom_id=5), "not a request"),
])  # fmt: skip
def test_a_line_that_cannot_be_sent_says_why(text, fault):
    assert fault in read_line(1, text, URL, set()).fault


def test_a_custom_id_is_used_once():
    seen = set()
    assert read_line(1, line(), URL, seen).fault is None
    assert "used before" in read_line(2, line(), URL, seen).fault


@pytest.mark.parametrize("text", [b"", b"\n", b"  \r\n"])
def test_an_empty_line_is_none(text):
    assert read_line(1, text, URL, set()) is None


@given(text=st.binary(max_size=60))
def test_any_bytes_are_read_or_have_a_fault(text):
    read = read_line(1, text, URL, set())
    assert read is None or read.fault or read.body


def test_an_answer_is_written_with_its_status_and_body():
    told = orjson.loads(answer_line("a", "r-1", 429, b'{"error":1}'))
    assert told["response"] == {"status_code": 429, "request_id": "r-1", "body": {"error": 1}}
    assert orjson.loads(answer_line("a", "r-1", 502, b"<html>"))["response"]["body"] == "<html>"
    assert orjson.loads(error_line("a", "code", "why"))["error"] == {"code": "code", "message": "why"}


def test_only_whole_lines_count_as_written():
    text = answer_line("a", "r-1", 200, b"{}")
    assert read_written(text + b"\n") == "a"
    assert read_written(text) is None
    assert read_written(text[:-5] + b"\n") is None


def test_every_batched_endpoint_answers_in_json():
    assert all(not ENDPOINTS[name].takes_form and name != "speech" for name in BATCHED.values())
