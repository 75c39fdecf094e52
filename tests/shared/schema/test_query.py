import pytest

from shared.schema import query as language
from shared.schema.query import All, AnyOf, Condition, Pattern, parse_conditions, parse_query
from shared.schema.values import Faults

BEYOND = "The pattern uses look-around, a back-reference or another thing that cannot run in linear time"
ADDRESS = "A condition looks at metadata.<key>, params.<key> or url.pathname"


def read(body):
    faults = Faults()
    return parse_query(body, ("q",), faults), faults


def told(body):
    return [line.removeprefix("path: ") for line in read(body)[1].lines]


def one(root, key, operator, operand):
    return language.Test(root, key, operator, operand, f"{root}.{key}")


def pattern(source):
    found, faults = read({"params.k": {"$regex": source}})
    assert faults.lines == []
    return found.operand


@pytest.mark.parametrize(("body", "query"), [
    ({"metadata.plan": "paid"}, one("metadata", "plan", "$eq", "paid")),
    ({"metadata.plan": None}, one("metadata", "plan", "$eq", None)),
    ({"metadata.plan": ["a"]}, one("metadata", "plan", "$eq", ["a"])),
    ({"metadata.a.b": 1}, one("metadata", "a.b", "$eq", 1)),
    ({"url.pathname": "/v1"}, one("url", "pathname", "$eq", "/v1")),
    ({"params.n": {"$gt": 1, "$lte": "9"}}, All((one("params", "n", "$gt", 1), one("params", "n", "$lte", "9")))),
    ({"params.n": {"$in": ["a", 1]}}, one("params", "n", "$in", ("a", 1))),
    ({"params.n": {}}, All(())),
    ({}, All(())),
    ({"$or": []}, AnyOf(())),
    ({"$and": [{"params.a": 1}]}, All((one("params", "a", "$eq", 1),))),
    ({"$or": [{"params.a": 1}, {"params.b": 2}], "params.c": 3},
     All((AnyOf((one("params", "a", "$eq", 1), one("params", "b", "$eq", 2))), one("params", "c", "$eq", 3)))),
    ({"$or": [{"params.a": 1, "params.b": 2}]}, AnyOf((All((one("params", "a", "$eq", 1), one("params", "b", "$eq", 2))),))),
])  # fmt: skip
def test_a_query_is_read(body, query):
    found, faults = read(body)
    assert (found, faults.lines) == (query, [])


def test_operators_beside_a_pattern_count_too():
    found, _ = read({"params.n": {"$regex": "a", "$ne": "b"}})
    assert found == All((one("params", "n", "$regex", Pattern("a", None)), one("params", "n", "$ne", "b")))


@pytest.mark.parametrize(("body", "said"), [
    ("x", ["q, message: Expected object, received string"]), ([], ["q, message: Expected object, received array"]), (None, ["q, message: Expected object, received null"]),
    ({"plan": 1}, [f"q,plan, message: {ADDRESS}"]), ({"metadata": 1}, [f"q,metadata, message: {ADDRESS}"]), ({"metadata.": 1}, [f"q,metadata., message: {ADDRESS}"]),
    ({"headers.x": 1}, [f"q,headers.x, message: {ADDRESS}"]), ({"url.host": 1}, [f"q,url.host, message: {ADDRESS}"]), ({"url": 1}, [f"q,url, message: {ADDRESS}"]),
    ({"$not": []}, ["q,$not, message: Unsupported operator used in the query router: $not"]),
    ({"params.a": {"$near": 1}}, ["q,params.a,$near, message: Unsupported operator used in the query router: $near"]),
    ({"params.a": {"b": 1}}, ["q,params.a,b, message: Unsupported operator used in the query router: b"]),
    ({"params.a": {"$and": []}}, ["q,params.a,$and, message: Unsupported operator used in the query router: $and"]),
    ({"$or": {}}, ["q,$or, message: Expected array, received object"]), ({"$or": [1]}, ["q,$or,0, message: Expected object, received number"]),
    ({"$or": [{"params.a": 1}, {"$and": [{"x": 1}]}]}, [f"q,$or,1,$and,0,x, message: {ADDRESS}"]),
    ({"params.a": {"$in": "x"}}, ["q,params.a,$in, message: Expected array, received string"]), ({"params.a": {"$nin": None}}, ["q,params.a,$nin, message: Expected array, received null"]),
    ({"params.a": {"$regex": 1}}, ["q,params.a,$regex, message: Expected string, received number"]),
    ({"params.a": {"$regex": "a" * 1001}}, ["q,params.a,$regex, message: String must contain at most 1000 character(s)"]),
])  # fmt: skip
def test_a_fault_of_a_query_is_told_with_its_path(body, said):
    assert told(body) == said


def test_an_unknown_operator_alone_is_the_whole_answers_sentence():
    assert read({"params.a": {"$near": 1}})[1].headline() == "Unsupported operator used in the query router: $near"
    assert read({"plan": 1})[1].headline() is None


def test_queries_nest_only_so_deep():
    def nested(depth):
        body = {"params.a": 1}
        for _ in range(depth):
            body = {"$and": [body]}
        return body

    assert told(nested(16)) == []
    assert [line.endswith("Nested deeper than 16 levels") for line in told(nested(17))] == [True]
    assert len(told(nested(200))) == 1


@pytest.mark.parametrize(("source", "text", "found"), [
    ("^gpt", "gpt-4", True), ("^gpt", "my gpt", False), ("", "", True), ("a.c", "abc", True), (r"\d+", "x12", True), (r"\u0041", "A", True),
    (r"\\u0041", "A", False), (r"\\u0041", r"\u0041", True), (r"^\/v1\/", "/v1/x", True), ("(?<year>[0-9]+)", "2030", True), ("end$", "end\n", False),
    ("(?i)GPT", "gpt", True), ("é", "café", True), ("(a+)+$", "a" * 5000 + "b", False),
])  # fmt: skip
def test_a_pattern_finds(source, text, found):
    assert bool(pattern(source).engine.Match(text)) is found


@pytest.mark.parametrize("source", ["[", "(", "a)", "*a", "a**", "[z-a]", "a\\", "\ud800"])
def test_a_pattern_that_nobody_understands_is_none(source):
    assert pattern(source).engine is None


@pytest.mark.parametrize("source", [
    "a(?=b)", "a(?!b)", "(?<=a)b", "(?<!a)b", r"(a)\1", r"(?<x>a)\k<x>", "(?<=a+)b", "(?=a", "a{2000}", "((a{100}){100}){100}", r"\cA",
])  # fmt: skip
def test_a_pattern_that_this_engine_lacks_is_a_fault(source):
    assert told({"params.k": {"$regex": source}}) == [f"q,params.k,$regex, message: {BEYOND}"]


def test_patterns_of_one_text_are_equal_and_hash_alike():
    one_, other = pattern("a+"), pattern("a+")
    assert (one_ == other, hash(one_) == hash(other), one_ == pattern("b"), one_ == "a+") == (True, True, False, False)
    assert repr(one_) == "Pattern('a+')"
    assert one_.engine is other.engine


def test_queries_are_equal_and_hash_alike_where_their_operands_do():
    one_, other = (
        read({"params.k": {"$regex": "a"}, "params.l": {"$in": [1]}})[0],
        read({"params.k": {"$regex": "a"}, "params.l": {"$in": [1]}})[0],
    )
    assert one_ == other
    assert hash(one_) == hash(other)
    assert one_ != read({"params.k": {"$regex": "b"}})[0]


def conditions(value):
    faults = Faults()
    return parse_conditions(value, ("c",), faults), [line.removeprefix("path: ") for line in faults.lines]


def test_a_condition_knows_what_it_looks_at_once_and_in_order():
    body = {"$or": [{"metadata.plan": "a"}, {"params.n": {"$gt": 1, "$lt": 5}}], "metadata.plan": "b"}
    (found,), said = conditions([{"query": body, "then": "t"}])
    assert said == []
    assert found.then == "t"
    assert found.paths == (("metadata", "plan", "metadata.plan"), ("params", "n", "params.n"))


def test_a_condition_at_fault_keeps_its_place():
    good = {"query": {"params.a": 1}, "then": "t"}
    found, said = conditions(
        [
            7,
            good,
            {"query": {}},
            {"then": "t"},
            {"query": {"x": 1}, "then": "u", "else": 1},
            {"query": {}, "then": ""},
            good,
        ]
    )
    assert [item.then for item in found] == ["", "t", "", "t", "u", "", "t"]
    assert said == [
        "c,0, message: Expected object, received number",
        "c,2,then, message: Required",
        "c,3,query, message: Required",
        "c,4,else, message: Unrecognized key",
        f"c,4,query,x, message: {ADDRESS}",
        "c,5,then, message: is empty",
    ]


def test_conditions_are_an_array():
    assert conditions({}) == ((), ["c, message: Expected array, received object"])
    assert conditions([{"query": {}, "then": 7}])[1] == ["c,0,then, message: Expected string, received number"]


def test_a_condition_without_a_test_is_equal_to_another():
    assert Condition(All(()), "a") == Condition(All(()), "a", ())
