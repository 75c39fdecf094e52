"""JSON Schemas of serializers."""

import pytest
from rest_framework import serializers

from control_plane.core.fields import MetadataField
from control_plane.core.schemas import field_schema, schema_of


class Inner(serializers.Serializer):
    """Something inside."""

    id = serializers.UUIDField()


class Outer(serializers.Serializer):
    """Something with everything."""

    name = serializers.CharField(max_length=9)
    inner = Inner(many=True, required=False)
    shown = serializers.CharField(read_only=True)


@pytest.mark.parametrize(
    ("field", "schema"),
    [
        (serializers.CharField(max_length=9), {"type": "string", "maxLength": 9, "minLength": 1}),
        (serializers.CharField(allow_blank=True, allow_null=True), {"type": ["string", "null"]}),
        (serializers.EmailField(), {"type": "string", "format": "email", "minLength": 1}),
        (serializers.IntegerField(min_value=1, max_value=5), {"type": "integer", "minimum": 1, "maximum": 5}),
        (serializers.BooleanField(default=True), {"type": "boolean", "default": True}),
        (serializers.ChoiceField(("a", "b"), allow_null=True), {"enum": ["a", "b", None]}),
        (serializers.ListField(child=serializers.FloatField()), {"type": "array", "items": {"type": "number"}}),
        (serializers.DateTimeField(), {"type": "string", "format": "date-time"}),
        (serializers.JSONField(allow_null=True), {}),
        (MetadataField(), {"type": "object", "additionalProperties": {"type": "string"}}),
    ],
)
def test_a_field_says_what_it_takes(field, schema):
    assert field_schema(field) == schema


def test_a_serializer_says_what_it_reads():
    inner = {"type": "object", "properties": {"id": {"type": "string", "format": "uuid"}}, "required": ["id"]}
    schema = schema_of(Outer())
    assert schema["required"] == ["name"]
    assert schema["properties"]["inner"] == {"type": "array", "items": inner}
    assert set(schema["properties"]) == {"name", "inner"}
    assert "required" not in schema_of(Outer(partial=True))
