"""What may a body hold?  JSON Schemas of the serializers that read bodies, and examples of bodies."""

from typing import Any, Final

from django.core.validators import MaxLengthValidator
from rest_framework import serializers
from rest_framework.fields import empty

Json = dict[str, Any]
#: The most special first: a field is what the first of its classes in this list is.
_KINDS: Final[tuple[tuple[type[Any], Json], ...]] = (
    (serializers.EmailField, {"type": "string", "format": "email"}),
    (serializers.UUIDField, {"type": "string", "format": "uuid"}),
    (serializers.URLField, {"type": "string", "format": "uri"}),
    (serializers.CharField, {"type": "string"}),
    (serializers.BooleanField, {"type": "boolean"}),
    (serializers.IntegerField, {"type": "integer"}),
    (serializers.FloatField, {"type": "number"}),
    (serializers.DecimalField, {"type": "number"}),
    (serializers.DateTimeField, {"type": "string", "format": "date-time"}),
)


def _bounds(field: Any, kind: str) -> Json:
    """Return how long or large a value may be, as the field says."""
    found: Json = {}
    if kind == "string":
        limits = [v.limit_value for v in field.validators if isinstance(v, MaxLengthValidator)]
        if limits:
            found["maxLength"] = min(limits)
        if getattr(field, "allow_blank", True) is False:
            found["minLength"] = 1
    if kind in {"integer", "number"}:
        for name, bound in (("minimum", "min_value"), ("maximum", "max_value")):
            if getattr(field, bound, None) is not None:
                found[name] = getattr(field, bound)
    return found


def _bare(field: Any) -> Json:
    """Return the schema of a field, leaving aside whether it may be null."""
    declared: Json | None = getattr(field, "openapi", None)
    if declared is not None:
        return dict(declared)
    match field:
        case serializers.ListSerializer() | serializers.ListField():
            return {"type": "array", "items": field_schema(field.child)}
        case serializers.DictField():
            return {"type": "object", "additionalProperties": field_schema(field.child)}
        case serializers.Serializer():
            return schema_of(field)
        case serializers.ChoiceField():
            return {"enum": list(field.choices)}
    for kind, schema in _KINDS:
        if isinstance(field, kind):
            return {**schema, **_bounds(field, schema["type"])}
    return {}


def field_schema(field: Any) -> Json:
    """Return the JSON Schema of one field; {} for one that may be anything."""
    schema = _bare(field)
    if field.allow_null and schema:
        if isinstance(schema.get("type"), str):
            schema["type"] = [schema["type"], "null"]
        elif "enum" in schema:
            schema["enum"] = [*schema["enum"], None]
    if field.default is not empty and not callable(field.default):
        schema["default"] = field.default
    if field.write_only:
        schema["writeOnly"] = True
    return schema


def schema_of(reader: Any) -> Json:
    """Return the JSON Schema of what a serializer reads; a partial one requires nothing."""
    fields = {name: field for name, field in reader.fields.items() if not field.read_only}
    schema: Json = {"type": "object", "properties": {name: field_schema(field) for name, field in fields.items()}}
    required = [] if reader.partial else [name for name, field in fields.items() if field.required]
    return {**schema, "required": required} if required else schema


def example_of(viewset: Any, action: str) -> Json:
    """Return the example of a body that a resource gives for an action, {} when it gives none."""
    name = "example_change" if action == "update" else "example"
    given: Json = getattr(viewset, name, {}) if action in {"create", "update", "create_of_type"} else {}
    return given
