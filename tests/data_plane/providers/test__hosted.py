import pytest

from data_plane.providers._hosted import own_id, stem_of
from shared.errors import NotFound


@pytest.mark.parametrize(("text", "step"), [("job-1", "job-1"), ("a_b.c", "a_b.c"), ("7", "7"), ("a%2Db", "a-b")])
def test_an_id_is_one_step_of_a_path(text, step):
    assert own_id(text, "batch") == step


@pytest.mark.parametrize("text", ["", "a/b", "..", ".", "a/..", "a%2Fb", "a:cancel", "a?b", "-", "é", "x" * 257])
def test_what_leads_elsewhere_is_no_id(text):
    with pytest.raises(NotFound, match="no such"):
        own_id(text, "batch")


@pytest.mark.parametrize(("name", "stem"), [
    ("My Data.jsonl", "my-data"), ("a/b\\c.JSONL", "c"), ("été.jsonl", "t"), ("", "file"), (".jsonl", "file"), ("x" * 99, "x" * 40),
])  # fmt: skip
def test_a_name_of_the_callers_is_made_plain(name, stem):
    assert stem_of(name) == stem
