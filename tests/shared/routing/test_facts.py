import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.routing.facts import ABSENT, Facts, as_text, holds, parse_number, same
from shared.schema.query import parse_query
from shared.schema.values import Faults

MISSING = object()


def parsed(body):
    faults = Faults()
    query = parse_query(body, ("query",), faults)
    assert faults.lines == []
    return query


def true_of(body, value=MISSING, root="metadata"):
    """Return whether `body` holds where `k` is `value`."""
    found = {} if value is MISSING else {"k": value}
    return holds(parsed(body), Facts(**{root: found}))


CASES = [
    # operator, operand, match, no match, missing, null, wrong type, number as text, bool
    ("$eq", "paid", {"paid": True, "free": False, "Paid": False}, False, False),
    ("$eq", 1, {1: True, 2: False, "1": False}, False, False),
    ("$eq", None, {}, False, True),
    ("$ne", "paid", {"paid": False, "free": True}, True, True),
    ("$ne", 1, {1: False, 2: True, "1": True}, True, True),
    ("$in", ["a", 1], {"a": True, 1: True, "b": False, "1": False}, False, False),
    ("$in", [None], {}, False, True),
    ("$nin", ["a", 1], {"a": False, 1: False, "b": True, "1": True}, True, True),
    ("$regex", "^gpt-[0-9]", {"gpt-4": True, "my-gpt-4": False, "GPT-4": False, 4: False}, False, False),
    ("$regex", "^4$", {4: True, "4": True, 4.5: False}, False, False),
    ("$regex", "^null$", {}, False, True),
    ("$gt", 10, {11: True, 10: False, "11": True, "9": False, "11 items": True, "items": False}, False, False),
    ("$gte", 10, {10: True, 9.99: False, "10.0": True}, False, False),
    ("$lt", "10", {9: True, 10: False, "9.9": True}, False, False),
    ("$lte", 10, {10: True, 11: False, "1e1": True}, False, False),
    ("$gt", "ten", {11: False, "eleven": False}, False, False),
]  # fmt: skip


@pytest.mark.parametrize("root", ["metadata", "params"])
@pytest.mark.parametrize(("operator", "operand", "values", "missing", "null"), CASES)
def test_an_operator_compares_as_javascript_does(root, operator, operand, values, missing, null):
    body = {f"{root}.k": {operator: operand}}
    assert {value: true_of(body, value, root) for value in values} == values
    assert (true_of(body, root=root), true_of(body, None, root)) == (missing, null)


@pytest.mark.parametrize(("operator", "operand", "value", "holds_"), [
    ("$eq", True, True, True), ("$eq", True, 1, False), ("$eq", 1, True, False), ("$eq", False, 0, False), ("$eq", 0, False, False),
    ("$eq", True, "true", False), ("$ne", True, 1, True), ("$in", [1], True, False), ("$in", [True], True, True),
    ("$nin", [0], False, True), ("$gt", 0, True, False), ("$lt", 2, True, False), ("$regex", "^true$", True, True),
    ("$regex", "^false$", False, True), ("$eq", 1, 1.0, True), ("$in", [2.0], 2, True),
])  # fmt: skip
def test_a_truth_value_is_no_number(operator, operand, value, holds_):
    assert true_of({"metadata.k": {operator: operand}}, value) is holds_


@pytest.mark.parametrize("value", [[], ["paid"], {"a": 1}])
@pytest.mark.parametrize(("operator", "operand", "holds_"), [
    ("$eq", "paid", False), ("$in", ["paid"], False), ("$regex", ".*", False), ("$gt", 0, False), ("$ne", "paid", True), ("$nin", ["paid"], True),
])  # fmt: skip
def test_an_array_or_object_among_the_params_counts_as_absent(operator, operand, holds_, value):
    assert true_of({"params.k": {operator: operand}}, value, "params") is holds_
    assert true_of({"metadata.k": {operator: operand}}, value) is holds_


def test_an_array_is_equal_to_nothing():
    assert not true_of({"metadata.k": ["a"]}, ["a"])
    assert not true_of({"metadata.k": {"$eq": {"a": 1}}}, {"a": 1})


def test_a_bare_value_means_equality():
    assert true_of({"metadata.k": "a"}, "a")
    assert true_of({"metadata.k": None}, None)
    assert not true_of({"metadata.k": None})


def test_the_path_of_the_url_can_be_looked_at():
    query = parsed({"url.pathname": {"$regex": "^/v1/chat"}})
    assert holds(query, Facts("/v1/chat/completions"))
    assert not holds(query, Facts("/v1/embeddings"))


def test_a_deeper_path_is_a_key_with_dots():
    query = parsed({"metadata.a.b": "x"})
    assert holds(query, Facts(metadata={"a.b": "x"}))
    assert not holds(query, Facts(metadata={"a": {"b": "x"}}))


A, B, C = {"metadata.a": 1}, {"metadata.b": 1}, {"metadata.c": 1}


@pytest.mark.parametrize(("query", "true_for"), [
    ({"$or": [A, B]}, ["a", "b", "ab", "ac", "bc", "abc"]), ({"$and": [A, B]}, ["ab", "abc"]), ({**A, **B}, ["ab", "abc"]),
    ({"$or": [{"$and": [A, B]}, C]}, ["c", "ab", "ac", "bc", "abc"]), ({"$and": [{"$or": [A, B]}, C]}, ["ac", "bc", "abc"]),
    ({"$or": [A, B], **C}, ["ac", "bc", "abc"]), ({"$or": [A], "$and": [B, C]}, ["abc"]), ({"$or": [{**A, **B}]}, ["ab", "abc"]),
    ({"$or": [{"$or": [{"$or": [A]}]}]}, ["a", "ab", "ac", "abc"]), ({"$or": []}, []), ({"$and": [], **A}, ["a", "ab", "ac", "abc"]),
    ({"$or": [{"metadata.a": {"$ne": 1}}, B]}, ["", "b", "c", "ab", "bc", "abc"]),
])  # fmt: skip
def test_queries_nest(query, true_for):
    every = ["", "a", "b", "c", "ab", "ac", "bc", "abc"]
    assert [each for each in every if holds(parsed(query), Facts(metadata=dict.fromkeys(each, 1)))] == true_for


@pytest.mark.parametrize(("value", "holds_"), [(5, True), (1, False), (9, False)])
def test_several_operators_of_one_key_must_all_hold(value, holds_):
    assert true_of({"metadata.k": {"$gt": 1, "$lt": 9}}, value) is holds_
    assert true_of({"metadata.k": {"$regex": "^[159]$", "$gt": 1, "$ne": 9}}, value) is holds_


def test_a_pattern_that_nobody_understands_matches_nothing():
    assert not true_of({"metadata.k": {"$regex": "["}}, "[")


def test_a_pattern_looks_anywhere_in_a_text():
    assert true_of({"metadata.k": {"$regex": "b+"}}, "abbc")
    assert not true_of({"metadata.k": {"$regex": "^b"}}, "abbc")


def test_bytes_that_are_no_text_can_be_matched_against():
    query = parsed({"url.pathname": {"$regex": "^/v1/"}})
    assert holds(query, Facts("/v1/\udcff"))


def test_a_key_that_the_body_lacks_is_absent_and_null_is_not():
    facts = Facts(params={"n": None, "l": []}, metadata={"m": 1})
    assert [facts.value("params", key) for key in ("n", "l", "x")] == [None, ABSENT, ABSENT]
    assert (facts.value("metadata", "m"), facts.value("metadata", "x")) == (1, ABSENT)
    assert repr(ABSENT) == "ABSENT"


@pytest.mark.parametrize(("path", "value"), [
    (("params", "a", "b"), 1), (("params", "a"), ABSENT), (("params", "a", "b", "c"), ABSENT), (("params", "x", "y"), ABSENT),
    (("metadata", "m"), "v"), (("headers", "h"), "w"), (("headers", "a"), ABSENT),
])  # fmt: skip
def test_a_hash_field_is_found_at_any_depth(path, value):
    assert Facts(params={"a": {"b": 1}}, metadata={"m": "v"}, headers={"h": "w"}).at(path) == value


# What JavaScript's parseFloat says of each; None stands for NaN.
PARSE_FLOAT = [
    ("12", 12), ("12.5px", 12.5), ("  7", 7), ("\t\n\r\v\f 7", 7), ("\xa0\ufeff\u2003\u30007", 7), ("-3", -3), ("+3", 3), (".5", 0.5),
    ("5.", 5), ("-.5e1", -5), ("1e3", 1000), ("1e", 1), ("1e+", 1), ("1E-2x", 0.01), ("1_000", 1), ("1,5", 1), ("0x10", 0),
    ("Infinity", math.inf), ("-Infinityx", -math.inf), ("+Infinity", math.inf), ("infinity", None), ("inf", None), ("NaN", None), ("nan", None),
    ("", None), (" ", None), (".", None), ("-", None), ("+-1", None), ("e5", None), ("abc1", None), ("\x1c7", None), ("\x857", None),
    ("٣", None), ("1٣", 1), ("1e999", math.inf), ("-0", 0), ("1.2.3", 1.2), ("1 2", 1), ("true", None), ("null", None),
    (True, None), (False, None), (None, None), (3, 3), (3.5, 3.5), (10**400, math.inf), (-(10**400), -math.inf), (float("nan"), None), ([5], None), ({}, None),
]  # fmt: skip


@pytest.mark.parametrize(("value", "number"), PARSE_FLOAT)
def test_a_number_is_read_as_javascript_reads_it(value, number):
    assert parse_number(value) == number


# What JavaScript's String makes of each number.
WRITTEN = [
    (0, "0"), (-0.0, "0"), (1, "1"), (1.0, "1"), (-2.5, "-2.5"), (0.1, "0.1"), (1e-6, "0.000001"), (1.5e-5, "0.000015"), (1e-7, "1e-7"),
    (1.5e-7, "1.5e-7"), (1e16, "10000000000000000"), (1.5e20, "150000000000000000000"), (1e21, "1e+21"), (1.25e30, "1.25e+30"),
    (10**21, "1e+21"), (10**5000, "Infinity"), (-(10**5000), "-Infinity"), (math.inf, "Infinity"), (math.nan, "NaN"), (2**53, "9007199254740992"),
    (None, "null"), (True, "true"), (False, "false"), ("x", "x"), ("", ""),
]  # fmt: skip


@pytest.mark.parametrize(("value", "text"), WRITTEN, ids=[text or "empty" for _, text in WRITTEN])
def test_a_simple_value_is_written_as_javascript_writes_it(value, text):
    assert as_text(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_read_back_as_it_was_written(number):
    assert parse_number(as_text(number)) == number
    assert re.fullmatch(r"-?[0-9]+(\.[0-9]+)?(e[+-][0-9]+)?", as_text(number))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["\ud800", "1", "-1e5x", "a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["k", "l", "k.l"]), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
simple_queries = st.one_of(
    st.builds(
        lambda root, op, value: {f"{root}.k": {op: value}},
        st.sampled_from(["metadata", "params"]),
        st.sampled_from(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"]),
        json_values,
    ),
    st.builds(
        lambda op, some: {"params.k": {op: some}}, st.sampled_from(["$in", "$nin"]), st.lists(json_values, max_size=3)
    ),
    st.builds(
        lambda path, pattern: {path: {"$regex": pattern}},
        st.sampled_from(["url.pathname", "metadata.k", "params.k"]),
        st.sampled_from(["a", "[", "^.*$", r"\d+", "(a|b)+"]),
    ),
    st.dictionaries(
        st.sampled_from(["metadata.k", "params.l"]), json_values.filter(lambda it: not isinstance(it, dict)), max_size=2
    ),
)
queries = st.recursive(
    simple_queries,
    lambda inner: st.dictionaries(st.sampled_from(["$and", "$or"]), st.lists(inner, max_size=3), max_size=2),
    max_leaves=5,
)
facts_of = st.builds(
    Facts,
    st.text(max_size=6) | st.just("/\udcff"),
    st.dictionaries(st.sampled_from(["k", "l"]), json_values, max_size=2),
    st.dictionaries(st.sampled_from(["k", "l"]), json_values, max_size=2),
)


@settings(max_examples=1000, deadline=None)
@given(queries, facts_of)
def test_any_query_is_true_or_false_of_any_facts(query, facts):
    assert holds(parsed(query), facts) in {True, False}


@given(json_values, json_values)
def test_equality_looks_the_same_from_both_sides(left, right):
    assert same(left, right) == same(right, left)
