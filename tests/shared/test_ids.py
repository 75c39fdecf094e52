import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.ids import make_slug, parse_uuid, uuid7, uuid7_at


@given(st.integers(0, 2**48 - 1), st.binary(min_size=10, max_size=10))
def test_uuid7_carries_its_time_version_and_variant(unix_ms, entropy):
    made = uuid7_at(unix_ms, entropy)
    assert (made.int >> 80, made.version, made.variant) == (unix_ms, 7, "specified in RFC 4122")


@given(st.integers(0, 2**48 - 2), st.binary(min_size=10, max_size=10), st.binary(min_size=10, max_size=10))
def test_a_later_uuid7_sorts_behind_an_earlier_one(unix_ms, first, second):
    assert str(uuid7_at(unix_ms, first)) < str(uuid7_at(unix_ms + 1, second))


def test_two_uuids_made_at_once_differ():
    assert len({uuid7() for _ in range(1000)}) == 1000


def test_a_slug_has_its_prefix_and_no_look_alikes():
    slug = make_slug("pc")
    assert slug.startswith("pc-")
    assert not set(slug[3:]) & set("l01o")


@pytest.mark.parametrize("text", ["", "x", "pc-1", None, 7, "0" * 33])
def test_what_spells_no_uuid_is_none(text):
    assert parse_uuid(text) is None
