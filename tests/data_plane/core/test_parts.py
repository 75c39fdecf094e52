"""Does a large body go out as it came in, member by member?"""

import json

import msgspec
import pytest

from data_plane.core.parts import SMALL_MEMBER_BYTES, is_of, read_members, unfold, write_members

LONG = 'lorem "ipsum" \\ ä ' * 4000


def sent(body):
    written = write_members(body)
    return written if isinstance(written, bytes) else b"".join(written)


@pytest.mark.parametrize(
    "body",
    [
        {"model": "m", "messages": [{"role": "user", "content": LONG}], "stream": True},
        {"messages": [LONG], "tools": [LONG], "n": 1},
        {"messages": [LONG]},
        {LONG: LONG},
        {"a": None, "b": {}, "c": [1.5]},
        {},
    ],
)
@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_what_is_written_is_what_was_read(body, kind):
    members = read_members(kind(json.dumps(body, ensure_ascii=False).encode()))
    assert json.loads(sent(members)) == body
    assert unfold(members) == body


def test_a_large_member_is_not_copied_and_a_small_one_is_decoded():
    content = json.dumps({"model": "m", "messages": [LONG]}).encode()
    members = read_members(content)
    assert members["model"] == "m"
    assert isinstance(members["messages"], msgspec.Raw)
    head, name, messages, end = write_members(members)
    assert isinstance(messages, memoryview)
    assert bytes(messages) in content
    assert (head, name, end) == (b'{"model":"m"', b',"messages":', b"}")


def test_a_member_that_is_changed_goes_out_changed():
    members = read_members(json.dumps({"model": "a", "messages": [LONG]}).encode())
    assert json.loads(sent({**members, "model": "b"})) == {"model": "b", "messages": [LONG]}


@pytest.mark.parametrize(
    ("value", "expected"), [([LONG], True), (["a"], True), (LONG, False), ({"a": LONG}, False), (1, False)]
)
def test_an_array_is_known_as_one_whether_it_is_decoded_or_not(value, expected):
    assert is_of(read_members(json.dumps({"messages": value}).encode())["messages"], (list,)) is expected


@pytest.mark.parametrize("kinds", [(str,), (str, list)])
def test_a_text_is_known_as_one_whether_it_is_decoded_or_not(kinds):
    for value in (LONG, "short"):
        assert is_of(read_members(json.dumps({"prompt": value}).encode())["prompt"], kinds)
    assert not is_of(None, kinds)
    assert not is_of(read_members(json.dumps({"prompt": {"a": LONG}}).encode())["prompt"], kinds)


@pytest.mark.parametrize(
    "content",
    [
        b'{"a": [' + b"1," * SMALL_MEMBER_BYTES + b"}",
        b'{"a": "' + b"x" * SMALL_MEMBER_BYTES,
        b'{"a": 1} x',
        b"[]",
        b'{"a": tru}',
    ],
)
def test_what_is_no_json_object_is_refused(content):
    with pytest.raises(msgspec.DecodeError):
        read_members(content)
