import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_plane.core.estimate import (
    IMAGE_TOKENS,
    MEDIA_TOKENS,
    asked_tokens,
    most_answer_tokens,
    most_asked_tokens,
    text_tokens,
    value_tokens,
)

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


# at most


@given(text=st.text(max_size=300))
def test_no_text_has_more_tokens_than_bytes(text):
    most = most_asked_tokens({"messages": [{"role": "user", "content": text}]})
    assert most >= len(text.encode("utf-8", "surrogatepass"))
    assert most >= asked_tokens({"messages": [{"role": "user", "content": text}]})


@given(value=JSON)
def test_every_body_has_a_most(value):
    assert most_asked_tokens({"messages": value, "tools": value, "input": value}) >= 0


def test_names_in_a_schema_are_read_as_well():
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"properties": {"x" * 500: {}}}}}]
    assert most_asked_tokens({"tools": tools}) > 500


@pytest.mark.parametrize("part", [
    {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000}},
    {"type": "input_audio", "input_audio": {"data": "A" * 100_000, "format": "wav"}},
    {"type": "file", "file": {"file_data": "A" * 100_000}},
])  # fmt: skip
def test_a_file_counts_by_rule_of_thumb_and_not_by_its_bytes(part):
    assert MEDIA_TOKENS <= most_asked_tokens({"messages": [{"content": [part]}]}) < 2 * MEDIA_TOKENS


def test_a_text_without_spaces_is_a_text():
    assert most_asked_tokens({"input": "日本語" * 20_000}) >= 180_000
    assert most_asked_tokens({"prompt": "aAbB" * 20_000}) >= 80_000
    assert (
        most_asked_tokens({"input": [{"type": "input_image", "image_url": "data:image/png;base64," + "A" * 10**6}]})
        < 9000
    )


def test_a_schema_is_read_whole_whatever_its_members_are_called():
    tools = [{"function": {"parameters": {"properties": {"url": {"description": "x" * 20_000}, "data": {}}}}}]
    assert most_asked_tokens({"tools": tools}) >= 20_000
    assert most_asked_tokens({"tools": msgspec.Raw(b'["' + b"x" * 20_000 + b'"]')}) >= 20_000


def test_a_member_that_was_left_as_it_came_is_looked_into_and_bounded_by_what_models_read():
    text = msgspec.Raw(msgspec.json.encode([{"role": "user", "content": "x" * 300_000}]))
    assert 300_000 <= most_asked_tokens({"messages": text}) < 300_100
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 400_000}}
    assert most_asked_tokens({"messages": msgspec.Raw(msgspec.json.encode([{"content": [picture]}]))}) < 9000
    assert most_asked_tokens({"messages": msgspec.Raw(b'"' + b"x" * 9_000_000 + b'"')}) == 2_000_000


@pytest.mark.parametrize(("body", "most"), [
    ({"max_tokens": 10}, 10), ({"max_tokens": 10, "n": 2}, 20), ({"max_tokens": 10, "best_of": 4, "n": 2}, 40),
    ({}, 77), ({"n": 2}, 154), ({"max_tokens": True}, 77), ({"max_tokens": "9"}, 9), ({"n": 10**12}, 77 * 128),
    ({"max_tokens": 10, "max_completion_tokens": 20}, 20), ({"max_tokens": -1}, 77), ({"max_tokens": 12.0}, 12),
    ({"max_tokens": 10, "n": 0}, 10), ({"max_output_tokens": 10}, 77),
])  # fmt: skip
def test_an_answer_is_as_long_as_its_cap_allows(body, most):
    assert most_answer_tokens(body, ("max_completion_tokens", "max_tokens"), 77) == most
