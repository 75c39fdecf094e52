import pytest

from shared.redact import Secret
from shared.schema.values import (
    MAX_FAULTS,
    Faults,
    array,
    expected,
    few,
    fields,
    flag,
    items,
    mapping,
    one_of,
    secret,
    statuses,
    text,
    whole,
)

AT = ("targets", "0", "k")


def read(reader, value):
    """Return what a reader makes of a value, and what it says of it."""
    faults = Faults()
    return reader(value, AT, faults), [line.removeprefix("path: targets,0,k, message: ") for line in faults.lines]


def test_a_fault_reads_as_clients_of_the_peer_know_it():
    faults = Faults()
    faults.add(("strategy", "mode"), "is wrong")
    faults.add((), "is empty")
    assert faults.lines == ["path: strategy,mode, message: is wrong", "path: , message: is empty"]


@pytest.mark.parametrize(("path", "found"), [
    ((), True), (("a",), True), (("a", "b"), True), (("a", "b", "c"), False), (("b",), False), (("a", "bc"), False), (("a,b",), False),
])  # fmt: skip
def test_a_fault_is_within_every_path_above_it(path, found):
    faults = Faults()
    faults.add(("a", "b"), "x")
    assert faults.within(path) is found
    assert not Faults().within(path)


def test_a_path_with_a_comma_in_it_is_another_path():
    faults = Faults()
    faults.add(("a,b",), "x")
    assert not faults.within(("a",))


def test_a_known_sentence_is_the_whole_answers_when_all_faults_have_one():
    faults = Faults()
    assert faults.headline() is None
    faults.add(("a",), "first", headline=True)
    faults.add(("b",), "second", headline=True)
    assert faults.headline() == "first"
    faults.add(("c",), "third")
    assert faults.headline() is None


def test_only_so_many_faults_are_listed():
    faults = Faults()
    for number in range(MAX_FAULTS * 3):
        faults.add((str(number),), "x", headline=True)
    assert len(faults.lines) == MAX_FAULTS + 1
    assert faults.lines[-2:] == ["path: 99, message: x", "path: , message: There are more faults than are listed here"]
    assert faults.headline() is None


def test_what_a_caller_wrote_is_cut_in_a_fault():
    faults = Faults()
    faults.add(("k" * 100_000,), "m" * 100_000)
    assert len(faults.lines[0]) < 500
    assert faults.lines[0].startswith("path: kkk")


@pytest.mark.parametrize(("value", "kind"), [
    (True, "boolean"), (1, "number"), (1.5, "number"), ("x", "string"), ([], "array"), ({}, "object"), (None, "null"), (object(), "unknown"),
])  # fmt: skip
def test_a_wrong_type_is_named_as_json_names_it(value, kind):
    faults = Faults()
    expected("nothing", value, ("k",), faults)
    assert faults.lines == [f"path: k, message: Expected nothing, received {kind}"]


@pytest.mark.parametrize(("reader", "value", "result", "said"), [
    (text, "x", "x", []), (text, "", None, ["is empty"]), (text, 1, None, ["Expected string, received number"]),
    (secret, 1, None, ["Expected string, received number"]), (secret, "", None, ["is empty"]),
    (flag, True, True, []), (flag, False, False, []), (flag, 1, None, ["Expected boolean, received number"]), (flag, "true", None, ["Expected boolean, received string"]),
    (mapping, {"a": 1}, {"a": 1}, []), (mapping, [], None, ["Expected object, received array"]),
    (array, [1], [1], []), (array, {}, [], ["Expected array, received object"]),
    (whole(1, 5), 1, 1, []), (whole(1, 5), 5, 5, []), (whole(1, 5), 5.0, 5, []), (whole(1, 5), 0, None, ["Number must be from 1 to 5"]),
    (whole(1, 5), 6, None, ["Number must be from 1 to 5"]), (whole(1, 5), 6.0, None, ["Number must be from 1 to 5"]),
    (whole(1, 5), 1.5, None, ["Expected integer, received float"]), (whole(1, 5), float("inf"), None, ["Expected integer, received float"]),
    (whole(1, 5), float("nan"), None, ["Expected integer, received float"]), (whole(1, 5), True, None, ["Expected number, received boolean"]),
    (whole(1, 5), "3", None, ["Expected number, received string"]), (whole(1, 5), 10**400, None, ["Number must be from 1 to 5"]),
    (statuses, [429, 500, 429], {429, 500}, []), (statuses, [], frozenset(), []), (statuses, 429, frozenset(), ["Expected array, received number"]),
    (one_of("a", "b"), "b", "b", []), (one_of("a", "b"), "c", None, ["Must be one of: a, b"]), (one_of("a"), ["a"], None, ["Must be one of: a"]),
])  # fmt: skip
def test_a_value_is_read_or_its_fault_told(reader, value, result, said):
    assert read(reader, value) == (result, said)
    assert type(read(reader, value)[0]) is type(result) or isinstance(result, set)


def test_a_secret_is_read_as_one():
    found, said = read(secret, "sk-sentinel")
    assert isinstance(found, Secret)
    assert (found.reveal(), said) == ("sk-sentinel", [])


def test_elements_that_cannot_be_read_are_left_out_and_told_by_index():
    faults = Faults()
    assert items(["a", 1, "b", None], ("k",), faults, text) == ("a", "b")
    assert [line.partition(", message")[0] for line in faults.lines] == ["path: k,1", "path: k,3"]
    assert statuses([99, 100, 999, 1000], ("k",), Faults()) == {100, 999}


def test_an_array_that_is_too_long_is_not_read():
    assert read(few(2, text), ["a", "b"]) == (("a", "b"), [])
    assert read(few(2, text), ["a", "b", "c"]) == ((), ["Array must contain at most 2 element(s)"])
    assert read(few(2, text), "abc") == ((), ["Expected array, received string"])
    assert read(statuses, [1] * 100_000)[1] == ["Array must contain at most 900 element(s)"]


READERS = {"name": text, "count": whole(0, 9)}


@pytest.mark.parametrize(("value", "found", "said"), [
    ({"name": "x", "count": 1}, {"name": "x", "count": 1}, []), ({"name": "x"}, {"name": "x"}, []), ({"name": "x", "count": None}, {"name": "x"}, []),
    ({"count": 1}, None, ["name, message: Required"]), ({"name": None}, None, ["name, message: Required"]), ({}, None, ["name, message: Required"]),
    ({"name": 7}, None, ["name, message: Expected string, received number"]),
    ({"name": "x", "more": None}, {"name": "x"}, ["more, message: Unrecognized key"]),
    ({"name": "x", "count": "1"}, {"name": "x"}, ["count, message: Expected number, received string"]),
])  # fmt: skip
def test_an_object_is_read_by_its_keys(value, found, said):
    faults = Faults()
    assert fields(value, ("o",), faults, READERS, required=("name",)) == found
    assert [line.removeprefix("path: o,") for line in faults.lines] == said


def test_what_is_no_object_has_no_fields():
    faults = Faults()
    assert fields([], ("o",), faults, READERS) is None
    assert faults.lines == ["path: o, message: Expected object, received array"]
