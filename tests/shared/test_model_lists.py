import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.model_lists import is_listed


@pytest.mark.parametrize(("pattern", "model", "virtual_key"), [
    ("gpt-4o", "gpt-4o", None), ("gpt-4o", "gpt-4o", "main"), ("gpt-*", "gpt-4o-mini", None), ("*", "anything", "any"),
    ("@main/gpt-4o", "gpt-4o", "main"), ("@main/*", "claude", "main"), ("*-mini", "o3-mini", None), ("a*c*e", "abcde", None),
    ("@main/org/model", "org/model", "main"),
])  # fmt: skip
def test_a_list_allows_what_it_names(pattern, model, virtual_key):
    assert is_listed((pattern,), model, virtual_key)


@pytest.mark.parametrize(("pattern", "model", "virtual_key"), [
    ("gpt-4o", "gpt-4o-mini", None), ("gpt-4o", "GPT-4o", None), ("@main/gpt-4o", "gpt-4o", "other"),
    ("@main/gpt-4o", "gpt-4o", None), ("@main", "gpt-4o", "main"), ("ab*bc", "abc", None), ("gpt.4o", "gpt-4o", None),
    ("", "gpt-4o", None),
])  # fmt: skip
def test_a_list_allows_nothing_else(pattern, model, virtual_key):
    assert not is_listed((pattern,), model, virtual_key)


def test_an_empty_list_allows_nothing():
    assert not is_listed((), "gpt-4o", None)


@given(st.text(alphabet="ab*", max_size=8), st.text(alphabet="ab", max_size=12))
def test_a_star_means_any_characters(pattern, name):
    expression = ".*".join(map(re.escape, pattern.split("*")))
    assert is_listed((pattern,), name, None) is (re.fullmatch(expression, name) is not None)


def test_many_stars_take_no_longer_than_the_name_is_long():
    assert not is_listed(("a*" * 100 + "b",), "a" * 500, None)
