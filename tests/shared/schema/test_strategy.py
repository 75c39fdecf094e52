import pytest

from shared.schema.query import All, Condition
from shared.schema.strategy import MODES, BreakerPolicy, StickyFields, Strategy, breaker, check_names, strategy
from shared.schema.values import Faults

MODE = "strategy,mode, message: Invalid 'mode' value. Must be one of: single, loadbalance, fallback, conditional"


def read(value, reader=strategy, path=("strategy",)):
    faults = Faults()
    return reader(value, path, faults), [line.removeprefix("path: ") for line in faults.lines]


def cb(**said):
    return read({"cooldown_interval": 30_000, **said}, breaker, ("cb_config",))


def sticky(**said):
    found, faults = read({"mode": "loadbalance", "sticky": said})
    return found.sticky, [line.removeprefix("strategy,sticky") for line in faults]


@pytest.mark.parametrize("mode", set(MODES) - {"conditional"})
def test_a_mode_is_enough(mode):
    assert read({"mode": mode}) == (Strategy(mode), [])


@pytest.mark.parametrize(
    "value", [{}, {"mode": None}, {"mode": "x"}, {"mode": 1}, {"mode": ["single"]}, {"mode": "Single"}]
)
def test_a_wrong_mode_is_told_in_the_peers_words(value):
    assert read(value) == (None, [MODE])


@pytest.mark.parametrize(("value", "said"), [
    ([], ["strategy, message: Expected object, received array"]), ("single", ["strategy, message: Expected object, received string"]),
    ({"mode": "single", "x": 1}, ["strategy,x, message: Unrecognized key"]),
    ({"mode": "fallback", "on_status_codes": [1, "x"]}, ["strategy,on_status_codes,0, message: Number must be from 100 to 999", "strategy,on_status_codes,1, message: Expected number, received string"]),
    ({"mode": "x", "default": 7}, ["strategy,default, message: Expected string, received number", MODE]),
    ({"mode": "conditional"}, ["strategy,conditions, message: No conditions passed in the query router"]),
    ({"mode": "conditional", "conditions": None}, ["strategy,conditions, message: No conditions passed in the query router"]),
    ({"mode": "conditional", "conditions": []}, ["strategy,conditions, message: No conditions passed in the query router"]),
    ({"mode": "conditional", "conditions": {}}, ["strategy,conditions, message: Expected array, received object"]),
    ({"mode": "fallback", "conditions": []}, []),
])  # fmt: skip
def test_a_fault_of_a_strategy_is_told_with_its_path(value, said):
    assert read(value)[1] == said


def test_statuses_may_be_none_said_or_said_to_be_none():
    assert read({"mode": "fallback"})[0].on_status_codes is None
    assert read({"mode": "fallback", "on_status_codes": None})[0].on_status_codes is None
    assert read({"mode": "fallback", "on_status_codes": []})[0].on_status_codes == frozenset()
    assert read({"mode": "fallback", "on_status_codes": [246, 429]})[0].on_status_codes == {246, 429}


# Sticky.


def test_sticky_fields_are_paths():
    found, said = sticky(enabled=True, hash_fields=["metadata.user", "params.a.b", "headers.X-User.Id"], ttl=60)
    assert (found, said) == (
        StickyFields((("metadata", "user"), ("params", "a", "b"), ("headers", "x-user.id")), 60),
        [],
    )


def test_stickiness_lasts_an_hour_where_nobody_says_otherwise():
    assert sticky(enabled=True, hash_fields=["metadata.user"])[0].ttl_s == 3600


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"enabled": False},
        {"enabled": None},
        {"enabled": False, "hash_fields": ["metadata.a"]},
        {"hash_fields": ["metadata.a"]},
    ],
)
def test_stickiness_must_be_switched_on(said):
    assert sticky(**said) == (None, [])


@pytest.mark.parametrize(("said", "faults"), [
    ({"enabled": True}, [",hash_fields, message: Required"]), ({"enabled": True, "hash_fields": []}, [",hash_fields, message: Required"]),
    ({"enabled": True, "hash_fields": "metadata.a"}, [",hash_fields, message: Expected array, received string"]),
    ({"enabled": True, "hash_fields": [1]}, [",hash_fields,0, message: Expected string, received number"]),
    ({"enabled": "yes", "hash_fields": ["metadata.a"]}, [",enabled, message: Expected boolean, received string"]),
    ({"enabled": True, "hash_fields": ["metadata.a"], "ttl": 0}, [",ttl, message: Number must be from 1 to 2592000"]),
    ({"enabled": True, "hash_fields": ["metadata.a"] * 17}, [",hash_fields, message: Array must contain at most 16 element(s)"]),
    ({"enabled": True, "hash_fields": ["metadata.a"], "x": 1}, [",x, message: Unrecognized key"]),
])  # fmt: skip
def test_a_fault_of_stickiness_is_told_once(said, faults):
    assert sticky(**said)[1] == faults


@pytest.mark.parametrize(
    "field",
    ["", "metadata", "metadata.", "metadata..a", "params.a.", "url.pathname", "headers", "headers.", ".a", "body.x"],
)
def test_a_hash_field_that_leads_nowhere_is_a_fault(field):
    found, said = sticky(enabled=True, hash_fields=["metadata.a", field])
    assert said == [",hash_fields,1, message: A hash field is metadata.<key>, params.<key> or headers.<name>"]
    assert found == StickyFields((("metadata", "a"),))


# Circuit breaker.


def test_a_breaker_has_the_contracts_defaults():
    assert cb(failure_threshold=3) == (BreakerPolicy(30_000, 3, None, 5, None), [])


def test_a_breaker_says_all_it_can():
    found, said = cb(
        failure_threshold=3, failure_threshold_percentage=50, minimum_requests=10, failure_status_codes=[429, 500]
    )
    assert (found, said) == (BreakerPolicy(30_000, 3, 50, 10, frozenset({429, 500})), [])


def test_no_listed_status_means_the_default():
    assert cb(failure_threshold=1, failure_status_codes=[])[0].statuses is None


@pytest.mark.parametrize(("value", "said"), [
    ({}, ["cb_config,cooldown_interval, message: Required"]), ({"failure_threshold": 1}, ["cb_config,cooldown_interval, message: Required"]),
    ({"cooldown_interval": 30_000}, ["cb_config, message: Either failure_threshold or failure_threshold_percentage is required"]),
    ({"cooldown_interval": 29_999, "failure_threshold": 1}, ["cb_config,cooldown_interval, message: Number must be from 30000 to 86400000"]),
    ({"cooldown_interval": 30_000, "failure_threshold": 0}, ["cb_config,failure_threshold, message: Number must be from 1 to 1000000"]),
    ({"cooldown_interval": 30_000, "failure_threshold_percentage": 101}, ["cb_config,failure_threshold_percentage, message: Number must be from 1 to 100"]),
    ({"cooldown_interval": 30_000, "failure_threshold": 1, "minimum_requests": 0}, ["cb_config,minimum_requests, message: Number must be from 1 to 1000000"]),
    ({"cooldown_interval": 30_000, "failure_threshold": 1, "x": 1}, ["cb_config,x, message: Unrecognized key"]),
    (7, ["cb_config, message: Expected object, received number"]),
])  # fmt: skip
def test_a_fault_of_a_breaker_is_told_once(value, said):
    assert read(value, breaker, ("cb_config",))[1] == said


# Names.


def named(thens, default, names, mode="conditional", faults=None):
    faults = faults or Faults()
    chosen = Strategy(mode, conditions=tuple(Condition(All(()), then) for then in thens), default=default)
    check_names(chosen, names, ("strategy",), faults)
    return faults


def test_names_must_be_those_of_targets():
    assert named(("a", "x", "b", "y"), "z", ("a", "b", None)).lines == [
        "path: strategy,conditions,1,then, message: Invalid target name found in the query router: x",
        "path: strategy,conditions,3,then, message: Invalid target name found in the query router: y",
        "path: strategy,default, message: Invalid target name found in the query router: z",
    ]
    assert named(("a",), "b", ("a", "b")).lines == []
    assert named(("a",), None, ("a",)).lines == []


def test_an_unknown_name_alone_is_the_whole_answers_sentence():
    assert named(("x",), None, ("a",)).headline() == "Invalid target name found in the query router: x"


def test_a_name_that_could_not_be_read_is_not_told_twice():
    assert named(("", "a"), None, ("a",)).lines == []


def test_only_the_conditional_mode_looks_at_names():
    assert named(("x",), "y", ("a",), mode="fallback").lines == []
