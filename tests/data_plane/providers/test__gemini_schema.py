import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_plane.providers._gemini_schema import gemini_schema

TEXT = {"type": "string"}


def test_types_and_what_means_the_same_are_kept():
    schema = {
        "$schema": "x", "type": "object", "description": "d", "additionalProperties": False, "required": ["a", "gone", 7],
        "properties": {
            "a": {"type": "integer", "minimum": 1, "exclusiveMinimum": 0, "format": "int32", "default": 3},
            "b": {"type": "array", "items": {"type": "boolean"}, "minItems": 1, "uniqueItems": True},
            "c": {"type": "string", "format": "uuid", "pattern": "^a", "examples": ["a"]},
            "d": {"type": "string", "format": "date-time"},
        },
    }  # fmt: skip
    before = copy.deepcopy(schema)
    assert gemini_schema(schema) == {
        "type": "OBJECT", "description": "d", "required": ["a"],
        "properties": {
            "a": {"type": "INTEGER", "minimum": 1, "format": "int32"},
            "b": {"type": "ARRAY", "items": {"type": "BOOLEAN"}, "minItems": 1},
            "c": {"type": "STRING", "pattern": "^a"},
            "d": {"type": "STRING", "format": "date-time"},
        },
    }  # fmt: skip
    assert schema == before


@pytest.mark.parametrize(("schema", "said"), [
    ({"type": ["string", "null"]}, {"type": "STRING", "nullable": True}),
    ({"anyOf": [TEXT, {"type": "null"}], "description": "d"}, {"type": "STRING", "nullable": True, "description": "d"}),
    ({"oneOf": [TEXT, {"type": "integer"}]}, {"anyOf": [{"type": "STRING"}, {"type": "INTEGER"}]}),
    ({"allOf": [TEXT], "title": "t"}, {"type": "STRING", "title": "t"}),
    ({"const": "a"}, {"type": "STRING", "enum": ["a"]}),
    ({"enum": ["a", None, "b"]}, {"type": "STRING", "nullable": True, "enum": ["a", "b"]}),
    ({"items": TEXT}, {"type": "ARRAY", "items": {"type": "STRING"}}),
    ({"properties": {"a": TEXT}}, {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}}),
    ({"type": "STRING"}, {"type": "STRING"}),
])  # fmt: skip
def test_what_json_schema_says_otherwise_is_said_in_geminis_words(schema, said):
    assert gemini_schema(schema) == said


def test_references_are_put_in_place_with_what_stands_beside_them():
    schema = {
        "type": "object", "$defs": {"a/b": {"type": "object", "properties": {"x": {"$ref": "#/definitions/n"}}}},
        "definitions": {"n": {"type": "number"}},
        "properties": {"p": {"$ref": "#/$defs/a~1b", "description": "d"}, "q": {"$ref": "#/definitions/n"}},
    }  # fmt: skip
    assert gemini_schema(schema)["properties"] == {
        "p": {"type": "OBJECT", "description": "d", "properties": {"x": {"type": "NUMBER"}}}, "q": {"type": "NUMBER"},
    }  # fmt: skip


@pytest.mark.parametrize("schema", [
    {}, True, {"type": "object"}, {"type": "object", "properties": {}}, {"type": "array"}, {"type": "null"},
    {"type": ["string", "integer"]}, {"type": 7}, {"type": "thing"}, {"enum": [1, 2]}, {"enum": "a"}, {"const": 1},
    {"type": "integer", "enum": [1]}, {"enum": [None]}, {"not": TEXT}, {"type": "array", "prefixItems": [TEXT]},
    {"type": "object", "properties": {"a": TEXT}, "additionalProperties": TEXT},
    {"type": "object", "properties": {"a": {}}}, {"anyOf": []}, {"anyOf": [TEXT, {"type": "integer"}], "description": "d"},
    {"anyOf": [TEXT, {"type": "integer"}, {"type": "null"}]}, {"allOf": [TEXT, {"minLength": 1}]},
    {"$ref": "#/$defs/gone"}, {"$ref": "https://x.example/s"}, {"$ref": "#"}, {"$ref": 7},
    {"$defs": {"n": {"type": "object", "properties": {"n": {"$ref": "#/$defs/n"}}}}, "$ref": "#/$defs/n"},
])  # fmt: skip
def test_what_would_mean_something_else_is_not_said(schema):
    assert gemini_schema({"type": "object", "properties": {"a": schema}}) is None


def test_an_answers_members_are_in_the_schemas_order_when_asked_for():
    inner = {"type": "object", "properties": {"z": TEXT, "a": TEXT}}
    schema = {"type": "object", "properties": {"one": inner}}
    assert gemini_schema(schema, ordered=True)["properties"]["one"]["propertyOrdering"] == ["z", "a"]
    assert "propertyOrdering" not in gemini_schema(schema, ordered=True)
    assert "propertyOrdering" not in str(gemini_schema(schema))


def test_references_that_multiply_are_given_up_soon():
    doubling = {
        f"d{n}": {"type": "object", "properties": {side: {"$ref": f"#/$defs/d{n + 1}"} for side in "ab"}}
        for n in range(40)
    }
    assert gemini_schema({"$defs": {**doubling, "d40": TEXT}, "$ref": "#/$defs/d0"}) is None


def test_a_schema_of_great_depth_is_given_up():
    schema = TEXT
    for _ in range(900):
        schema = {"type": "array", "items": schema}
    assert gemini_schema(schema) is None


WORDS = ["type", "properties", "items", "anyOf", "oneOf", "allOf", "$ref", "$defs", "enum", "const", "required", "format",
         "additionalProperties", "nullable", "description", "a"]  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["string", "object", "array", "null", "#", "#/$defs/a", "a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=5),
    max_leaves=15,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(WORDS), JSON, max_size=6))
def test_any_schema_is_said_or_not(schema):
    said = gemini_schema(schema)
    assert said is None or "type" in said or "anyOf" in said
