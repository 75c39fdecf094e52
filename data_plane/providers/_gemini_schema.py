"""How does a JSON schema read in Gemini's own words, which are a part of OpenAPI's?

References are put in place, `null` becomes `nullable`, and what only validates more closely is left out.  A schema that
would mean something else afterwards is not translated: the newer models take it as JSON schema, in another field.
Source: https://ai.google.dev/api/caching#Schema, https://ai.google.dev/gemini-api/docs/structured-output
"""

from collections.abc import Mapping
from typing import Any, Final

from data_plane.core.types import Json

_TYPES: Final[Mapping[str, str]] = {
    "string": "STRING", "number": "NUMBER", "integer": "INTEGER", "boolean": "BOOLEAN", "array": "ARRAY",
    "object": "OBJECT",
}  # fmt: skip
#: Members that mean the same there.
_SAME: Final = (
    "title", "description", "nullable", "pattern", "minimum", "maximum", "minItems", "maxItems", "minLength",
    "maxLength", "minProperties", "maxProperties",
)  # fmt: skip
#: Members that decide about the structure, and that Gemini's words cannot say.
_BEYOND: Final = frozenset(
    {"not", "if", "then", "else", "patternProperties", "prefixItems", "contains", "propertyNames", "dependentSchemas",
     "dependentRequired", "dependencies", "unevaluatedProperties", "$dynamicRef", "$recursiveRef"}
)  # fmt: skip
#: Formats that every model has always taken; others were refused, and change nothing.
_FORMATS: Final = frozenset({"enum", "date-time", "float", "double", "int32", "int64"})
#: References may lead to the same place again and again: more than any schema written by hand has.
MAX_NODES: Final = 5000
MAX_DEPTH: Final = 48


class _BeyondWordsError(Exception):
    """The schema cannot be said in Gemini's words."""


class _Translation:
    """One schema on its way; `open` are the references that are being followed."""

    def __init__(self, root: Json, *, ordered: bool) -> None:
        self._root = root
        self._ordered = ordered
        self._left = MAX_NODES
        self._open: list[str] = []

    def node(self, schema: object, depth: int) -> Json:
        self._left -= 1
        if not isinstance(schema, dict) or self._left < 0 or depth > MAX_DEPTH or not _BEYOND.isdisjoint(schema):
            raise _BeyondWordsError
        reference = schema.get("$ref")
        if reference is not None:
            return self._followed(reference, schema, depth)
        for name in ("allOf", "anyOf", "oneOf"):
            if name in schema:
                return self._alternatives(schema, name, depth)
        return self._plain(schema, depth)

    def _followed(self, reference: object, schema: Json, depth: int) -> Json:
        if not isinstance(reference, str) or reference in self._open:
            raise _BeyondWordsError
        found: Any = self._root
        for step in reference.removeprefix("#").split("/")[1:]:
            found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
        if not reference.startswith("#") or not isinstance(found, dict):
            raise _BeyondWordsError
        beside = {name: value for name, value in schema.items() if name not in {"$ref", "$defs", "definitions"}}
        self._open.append(reference)
        made = self.node({**found, **beside}, depth + 1)
        self._open.pop()
        return made

    def _alternatives(self, schema: Json, name: str, depth: int) -> Json:
        members = schema[name]
        beside = {key: value for key, value in schema.items() if key not in {name, "default", "discriminator"}}
        if not isinstance(members, list) or not members:
            raise _BeyondWordsError
        real = [member for member in members if member != {"type": "null"}]
        is_nullable = len(real) < len(members) and name != "allOf"
        if len(real) == 1 and isinstance(real[0], dict):
            made = self.node({**real[0], **beside}, depth + 1)
            return {**made, "nullable": True} if is_nullable else made
        # Vertex AI wants `anyOf` to stand alone.
        if name == "allOf" or is_nullable or not beside.keys() <= {"$defs", "definitions", "$schema", "title"}:
            raise _BeyondWordsError
        return {"anyOf": [self.node(member, depth + 1) for member in real]}

    def _plain(self, schema: Json, depth: int) -> Json:
        made = {name: schema[name] for name in _SAME if schema.get(name) is not None}
        made["type"] = self._type(schema, made)
        shaped = schema.get("format")
        if isinstance(shaped, str) and shaped in _FORMATS:
            made["format"] = shaped
        if "enum" in schema or "const" in schema:
            self._put_values(schema, made)
        if made["type"] == "OBJECT":
            self._put_properties(schema, made, depth)
        elif made["type"] == "ARRAY":
            made["items"] = self.node(schema.get("items"), depth + 1)
        return made

    def _type(self, schema: Json, made: Json) -> str:
        kind = schema.get("type")
        if isinstance(kind, list):
            if "null" in kind:
                made["nullable"] = True
            real = [one for one in kind if one != "null"]
            kind = real[0] if len(real) == 1 else None
        elif kind is None:
            told = {"properties": "object", "items": "array", "enum": "string", "const": "string"}
            kind = next((meant for name, meant in told.items() if name in schema), None)
        if isinstance(kind, str) and kind.lower() in _TYPES:
            return _TYPES[kind.lower()]
        raise _BeyondWordsError

    def _put_values(self, schema: Json, made: Json) -> None:
        values = schema["enum"] if "enum" in schema else [schema["const"]]
        if not isinstance(values, list) or made["type"] != "STRING":
            raise _BeyondWordsError
        if None in values:
            made["nullable"] = True
        made["enum"] = [value for value in values if value is not None]
        if not made["enum"] or not all(isinstance(value, str) for value in made["enum"]):
            raise _BeyondWordsError

    def _put_properties(self, schema: Json, made: Json, depth: int) -> None:
        properties = schema.get("properties")
        # An object without properties is one with any: Gemini's words have none for that.
        if not isinstance(properties, dict) or not properties or isinstance(schema.get("additionalProperties"), dict):
            raise _BeyondWordsError
        made["properties"] = {name: self.node(value, depth + 1) for name, value in properties.items()}
        required = schema.get("required")
        if isinstance(required, list):
            made["required"] = [name for name in required if isinstance(name, str) and name in properties]
        if self._ordered and len(properties) > 1:
            made["propertyOrdering"] = schema.get("propertyOrdering") or list(properties)


def gemini_schema(schema: Json, *, ordered: bool = False) -> Json | None:
    """Return `schema` in Gemini's words, None when it cannot be said in them without meaning something else.

    `ordered` has the answer's members in the order of the schema, which Gemini sorts by name otherwise.
    """
    try:
        return _Translation(schema, ordered=ordered).node(schema, 0)
    except _BeyondWordsError:
        return None
