"""How is a question to the simulation described?  `question.py` reads it, and says of each fault where it is."""

from typing import Any, Final

from rest_framework import serializers

from control_plane.configs.question import MAX_DRAWS, MAX_RUNS, MAX_WAIT_S

Json = dict[str, Any]
_STATUS: Final[Json] = {"type": "integer", "minimum": 100, "maximum": 599}
_ANSWER: Final[Json] = {
    "anyOf": [
        _STATUS,
        {
            "type": "object",
            "properties": {
                "status": _STATUS,
                "retry_after_s": {"type": "number", "minimum": 0, "maximum": MAX_WAIT_S},
            },
            "required": ["status"],
            "additionalProperties": False,
        },
    ]
}
_DRAW: Final[Json] = {"type": "number", "minimum": 0, "exclusiveMaximum": 1}
_REQUEST: Final[Json] = {
    "type": "object",
    "properties": {
        "method": {"type": "string"},
        "path": {"type": "string", "pattern": "^/[^?]*$"},
        "headers": {"type": "object", "additionalProperties": {"type": "string"}},
        "metadata": {"type": "object"},
        "body": {"type": "object", "properties": {"model": {"type": "string"}}},
    },
    "additionalProperties": False,
}


class _DescribedField(serializers.JSONField):
    """A field of which only the schema is of use."""

    def __init__(self, schema: Json, **options: Any) -> None:
        super().__init__(**options)
        self.openapi = schema


def _optional(schema: Json) -> _DescribedField:
    return _DescribedField(schema, required=False)


class QuestionSerializer(serializers.Serializer[Any]):
    """Describes the body of a simulation."""

    config = _DescribedField({"anyOf": [{"type": "object"}, {"type": "string"}]})
    request = _optional(_REQUEST)
    answers = _optional(
        {"type": "object", "additionalProperties": {"anyOf": [*_ANSWER["anyOf"], {"type": "array", "items": _ANSWER}]}}
    )
    draw = _optional({"anyOf": [_DRAW, {"type": "array", "items": _DRAW, "minItems": 1, "maxItems": MAX_DRAWS}]})
    seed = _optional({"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1})
    open_breakers = _optional({"type": "array", "items": {"type": "string"}})
    now = _optional({"type": "string", "format": "date-time"})
    runs = _optional({"type": "integer", "minimum": 2, "maximum": MAX_RUNS})
    workspace_id = _optional({"type": "string"})
