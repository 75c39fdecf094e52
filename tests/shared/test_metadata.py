import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.metadata import MAX_KEY_CHARS, MAX_METADATA_KEYS, MAX_VALUE_CHARS, merge_metadata

NOTHING = {
    "sent": None, "baggage": None, "headers": {}, "header_names": (), "user": None, "key": {}, "workspace": {},
    "key_user": None,
}  # fmt: skip
#: What each source is given to say `name=value`, from the weakest to the strongest.
SOURCES = {
    "user": lambda value: {"user": value},
    "headers": lambda value: {"headers": {"_user": value}, "header_names": ("_user",)},
    "baggage": lambda value: {"baggage": f"_user={value}"},
    "sent": lambda value: {"sent": json.dumps({"_user": value})},
    "key": lambda value: {"key": {"_user": value}},
    "key_user": lambda value: {"key_user": value},
    "workspace": lambda value: {"workspace": {"_user": value}},
}


def merged(**given_):
    return merge_metadata(**{**NOTHING, **given_})


@pytest.mark.parametrize("strongest", range(len(SOURCES)))
def test_the_stronger_source_wins(strongest):
    names = list(SOURCES)[: strongest + 1]
    given_ = {}
    for name in names:
        given_ |= SOURCES[name](f"from-{name}")
    assert merged(**given_) == {"_user": f"from-{names[-1]}"}


def test_all_sources_are_merged():
    assert merged(
        sent='{"a":"1"}', baggage="b=2", headers={"x-team": "3", "x-other": "no"}, header_names=("x-team", "x-absent"),
        user="4", key={"e": "5"}, workspace={"f": "6"},
    ) == {"a": "1", "b": "2", "x-team": "3", "_user": "4", "e": "5", "f": "6"}  # fmt: skip


@pytest.mark.parametrize(
    "sent", [None, "", "x", "[]", "1", '"a"', "null", "{", '{"a":1}x', "[" * 100_000, '{"a":"\udc80"}']
)
def test_what_is_no_json_object_counts_as_empty(sent):
    assert merged(sent=sent) == {}


@pytest.mark.parametrize(("value", "text"), [
    ("a", "a"), ("", ""), (1, "1"), (1.5, "1.5"), (True, "true"), ([1, "b"], '[1,"b"]'), ({"c": None}, '{"c":null}'), ("ü", "ü"),
])  # fmt: skip
def test_values_that_are_no_strings_are_encoded(value, text):
    assert merged(sent=json.dumps({"k": value})) == {"k": text}


def test_null_does_not_set_a_key():
    assert merged(sent='{"a":null,"_user":null}', user="body") == {"_user": "body"}


@pytest.mark.parametrize("user", [None, "", 5, True, ["a"], {"a": 1}])
def test_a_body_user_that_is_no_text_is_not_taken(user):
    assert merged(user=user) == {}


def test_keys_and_values_are_cut_to_their_bounds():
    assert merged(sent=json.dumps({"k" * 500: "v" * 500})) == {"k" * MAX_KEY_CHARS: "v" * MAX_VALUE_CHARS}
    assert merged(sent=json.dumps({"k": "v" * MAX_VALUE_CHARS})) == {"k": "v" * MAX_VALUE_CHARS}
    assert merged(user="u" * 10_000_000) == {"_user": "u" * MAX_VALUE_CHARS}


def test_when_there_are_too_many_keys_the_weakest_are_left_out():
    many = {f"k{number}": "v" for number in range(200)}
    made = merged(sent=json.dumps(many), key={"key": "1"}, workspace={"ws": "2"}, user="u", baggage="b=1")
    assert len(made) == MAX_METADATA_KEYS
    assert (made["ws"], made["key"]) == ("2", "1")
    assert not {"_user", "b"} & made.keys()


def test_control_characters_are_taken_out():
    assert merged(sent=json.dumps({"a\r\nb\x00": "1\t\x7f\x852"}), baggage="c=%0Ax") == {"ab": "12", "c": "x"}
    assert merged(sent='{"\\u0001":"lost"}') == {}


def test_what_utf8_cannot_spell_is_taken_out():
    made = merged(headers={"x-team": "a\udcffb"}, header_names=("x-team",), user="c\ud800")
    assert made == {"x-team": "ab", "_user": "c"}


@pytest.mark.parametrize("name", ["authorization", "cookie", "x-api-key", "api-key", "x-portkey-api-key"])
def test_credentials_are_never_copied(name):
    assert merged(headers={name: "sk-secret"}, header_names=(name,)) == {}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.text() | JSON.map(json.dumps), st.text(), st.text(st.characters(codec=None)), JSON)
def test_nothing_that_a_caller_sends_breaks_the_bounds(sent, baggage, header, user):
    made = merged(sent=sent, baggage=baggage, headers={"x": header}, header_names=("x",), user=user)
    assert len(made) <= MAX_METADATA_KEYS
    for key, value in made.items():
        assert 0 < len(key) <= MAX_KEY_CHARS
        assert len(value) <= MAX_VALUE_CHARS
        assert not any(ord(char) < 32 or ord(char) == 127 for char in key + value)
        (key + value).encode()
