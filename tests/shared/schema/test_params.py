import json
from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.schema.params import EVERY, MAX_PATHS, drop_params, param_paths, parse_param_path, shape_params
from shared.schema.values import Faults


def paths(*spelt):
    faults = Faults()
    found = param_paths(list(spelt), ("drop_params",), faults)
    assert faults.lines == []
    return found


@pytest.mark.parametrize(("spelt", "path"), [
    ("logprobs", ("logprobs",)), ("a.b.c", ("a", "b", "c")), ("m[0]", ("m", 0)), ("m[*].name", ("m", EVERY, "name")),
    ("m[0][*].x[12]", ("m", 0, EVERY, "x", 12)), ("a-b_c d", ("a-b_c d",)), ("$.a", ("$", "a")),
    ("", None), (".", None), ("a.", None), (".a", None), ("a..b", None), ("[0]", None), ("a[", None), ("a[]", None), ("a[-1]", None),
    ("a[x]", None), ("a]", None), ("a[0]b", None), ("a[٣]", None), ("a[1234567]", None),
])  # fmt: skip
def test_a_path_is_read_or_refused(spelt, path):
    assert parse_param_path(spelt) == path


@pytest.mark.parametrize(("value", "count", "said"), [
    (["a", "b.c"], 2, []), ("a", 1, []), (["$.a"], 1, []), ([], 0, []),
    ({}, 0, ["drop_params, message: Expected array, received object"]), ([1], 0, ["drop_params,0, message: Expected string, received number"]),
    (["a", "a["], 1, ["drop_params,1, message: Not a path such as 'logprobs', 'response_format.type' or 'messages[*].name'"]),
    (["a" * 257], 0, ["drop_params,0, message: Not a path such as 'logprobs', 'response_format.type' or 'messages[*].name'"]),
    (["a"] * (MAX_PATHS + 1), 0, [f"drop_params, message: Array must contain at most {MAX_PATHS} element(s)"]),
])  # fmt: skip
def test_drop_params_are_read_with_their_faults(value, count, said):
    faults = Faults()
    assert len(param_paths(value, ("drop_params",), faults)) == count
    assert [line.removeprefix("path: ") for line in faults.lines] == said


def test_a_path_may_begin_at_the_root():
    assert paths("$.a.b") == (("a", "b"),)


BODY = {
    "model": "m", "logprobs": True, "format": {"type": "json", "schema": {"a": 1}}, "tags": ["x", "y", "z"],
    "messages": [{"role": "user", "name": "n", "parts": [{"t": 1, "u": 2}]}, {"role": "system", "name": "k"}, "text"], "none": None,
}  # fmt: skip


@pytest.mark.parametrize(("spelt", "changed"), [
    ("logprobs", {"logprobs": ...}), ("format.schema", {"format": {"type": "json"}}), ("format.schema.a", {"format": {"type": "json", "schema": {}}}),
    ("tags[1]", {"tags": ["x", "z"]}), ("tags[*]", {"tags": []}), ("none", {"none": ...}),
    ("messages[*].name", {"messages": [{"role": "user", "parts": [{"t": 1, "u": 2}]}, {"role": "system"}, "text"]}),
    ("messages[1].name", {"messages": [BODY["messages"][0], {"role": "system"}, "text"]}),
    ("messages[*].parts[0].t", {"messages": [{"role": "user", "name": "n", "parts": [{"u": 2}]}, BODY["messages"][1], "text"]}),
])  # fmt: skip
def test_a_parameter_is_dropped_at_any_depth(spelt, changed):
    wanted = {key: value for key, value in (BODY | changed).items() if value is not ...}
    before = deepcopy(BODY)
    assert drop_params(BODY, paths(spelt)) == wanted
    assert before == BODY


@pytest.mark.parametrize("spelt", [
    "missing", "model.x", "model[0]", "format[0]", "tags.x", "tags[3]", "tags[9].x", "messages[2].x", "messages[*].absent", "none.x", "none[*]", "a.b[*].c",
])  # fmt: skip
def test_a_path_that_leads_nowhere_gives_back_the_very_body(spelt):
    assert drop_params(BODY, paths(spelt)) is BODY


def test_all_of_an_empty_array_is_nothing():
    body = {"tags": []}
    assert drop_params(body, paths("tags[*]", "tags[*].x", "tags[0]")) is body


def test_what_is_not_dropped_from_is_shared():
    dropped = drop_params(BODY, paths("messages[0].name"))
    assert dropped["format"] is BODY["format"]
    assert dropped["messages"][1] is BODY["messages"][1]
    assert dropped["messages"][0] is not BODY["messages"][0]
    assert dropped["messages"][0]["parts"] is BODY["messages"][0]["parts"]


def test_several_paths_are_dropped_one_after_the_other():
    assert drop_params(BODY, paths("tags[0]", "tags[0]"))["tags"] == ["z"]


keys = st.sampled_from(["a", "b", "c"])
values = st.recursive(
    st.integers() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=12,
)
spelt_paths = st.lists(
    st.builds(
        lambda key, index, rest: key + index + rest,
        keys,
        st.sampled_from(["", "[0]", "[*]", "[1]"]),
        st.sampled_from(["", ".a", ".b[*].c"]),
    ),
    max_size=4,
)


@given(st.dictionaries(keys, values, max_size=3), spelt_paths)
def test_dropping_never_changes_what_it_was_given_and_copies_only_what_it_changes(body, spelt):
    before = json.dumps(body)
    after = drop_params(body, paths(*spelt))
    assert json.dumps(body) == before
    assert (json.dumps(after) == before) == (after is body)
    for key, value in after.items():
        assert (value is body[key]) == (json.dumps(value) == json.dumps(body[key]))


@given(st.dictionaries(keys, values, max_size=3), spelt_paths)
def test_what_was_dropped_is_gone(body, spelt):
    plain = [path for path in spelt if "[" not in path]
    once = drop_params(body, paths(*plain))
    assert drop_params(once, paths(*plain)) is once


@pytest.mark.parametrize(("body", "default", "override", "drop", "shaped"), [
    ({"a": 1}, {}, {}, (), {"a": 1}), ({"a": 1}, {"a": 2, "b": 3}, {}, (), {"a": 1, "b": 3}), ({"a": 1}, {}, {"a": 2}, (), {"a": 2}),
    ({"a": None}, {"a": 2}, {}, (), {"a": None}), ({}, {"a": 1}, {"a": 2}, (), {"a": 2}), ({}, {"a": 1, "b": 1}, {"c": 1}, ("a", "c"), {"b": 1}),
    ({"a": {"x": 1}}, {}, {"a": {"y": 1}}, (), {"a": {"y": 1}}),
])  # fmt: skip
def test_params_are_defaulted_then_forced_then_dropped(body, default, override, drop, shaped):
    before = deepcopy((body, default, override))
    assert shape_params(body, default, override, paths(*drop)) == shaped
    assert (body, default, override) == before


def test_a_target_that_says_nothing_gives_back_the_very_body():
    assert shape_params(BODY, {}, {}, ()) is BODY
