import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_plane.core.estimate import IMAGE_TOKENS, asked_tokens, text_tokens, value_tokens

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)

#: Texts and what the tokeniser of current OpenAI models counts for them.
COUNTED = [
    ("The quick brown fox jumps over the lazy dog.", 10),
    ("def add(a, b):\n    return a + b\n", 12),
    ("Wie geht es Ihnen heute? Ich möchte gerne einen Kaffee.", 13),
    ("今日は天気がいいですね。散歩に行きましょう。", 15),
]


@pytest.mark.parametrize(("text", "real"), COUNTED)
def test_an_estimate_is_of_the_right_size(text, real):
    assert real * 0.6 <= text_tokens(text) <= real * 1.6


def test_nothing_is_no_token():
    assert text_tokens("") == value_tokens([]) == value_tokens(None) == asked_tokens({}) == 0


@given(left=st.text(max_size=200), right=st.text(max_size=200))
def test_a_longer_text_never_has_fewer_tokens(left, right):
    assert text_tokens(left + right) >= max(text_tokens(left), text_tokens(right)) - 1


@given(value=JSON)
def test_every_value_can_be_estimated(value):
    assert value_tokens(value) >= 0
    assert asked_tokens({"messages": value, "tools": value, "input": value}) >= 0


def test_a_picture_is_not_counted_by_its_bytes():
    part = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000}}
    assert value_tokens([part]) == IMAGE_TOKENS


def test_tokens_that_are_sent_as_numbers_are_counted_one_by_one():
    assert asked_tokens({"input": [[1, 2, 3], [4]]}) == 4


def test_what_is_said_and_the_tools_are_counted_and_nothing_else():
    said = {"messages": [{"role": "user", "content": "x" * 400}]}
    assert asked_tokens({**said, "user": "y" * 400, "model": "z" * 40}) == asked_tokens(said) == 104
    assert asked_tokens({**said, "tools": [{"type": "function", "function": {"name": "f" * 400}}]}) > 200


def test_a_member_that_was_left_as_it_came_is_counted_by_its_length():
    assert asked_tokens({"input": msgspec.Raw(b'"' + b"x" * 400 + b'"')}) == 100
