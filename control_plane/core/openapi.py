"""What does the Admin API offer, for machines?  An OpenAPI document, made of the registry of resources.

Paths and methods come from the router, scopes from the viewsets, bodies from the serializers that read them, sentences
from docstrings: what is described here cannot differ from what is served.  `manage.py write_openapi` keeps a copy.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from rest_framework.serializers import BaseSerializer

from control_plane.core.errors import error_body
from control_plane.core.idempotency import MAX_KEY_CHARS, REPLAYED_HEADER
from control_plane.core.pagination import DEFAULT_SIZE, MAX_SIZE
from control_plane.core.resources import (
    ReadOnlyViewSet,
    ResourceViewSet,
    ScopedViewSet,
    SingleViewSet,
    build_router,
    discover,
    is_change,
)
from control_plane.core.schemas import example_of, schema_of
from shared.version import VERSION

Json = dict[str, Any]
FILE: Final = Path(__file__).resolve().parent.parent / "openapi.json"
_GROUP: Final = re.compile(r"\(\?P<(\w+)>((?:[^()\[\]]|\[[^\]]*\])*)\)")
#: What the five usual operations of a whole resource do is said where its viewset says what is special.
_SAID_BY: Final = {
    "create": "make", "update": "change", "destroy": "remove", "retrieve": "show",
    "list": "show", "replace": "set", "clear": "unset",
}  # fmt: skip
_FAULTS: Final = {
    400: "The request cannot be served as it is.",
    401: "No valid API key.",
    403: "The API key lacks a scope.",
    404: "No such object, or none that the caller may know of.",
    409: "The change conflicts with what is there, or the same call is still running.",
    412: "The object was changed since the version that If-Match names.",
    422: "The Idempotency-Key was used for another call.",
    429: "Too many calls.",
}


_KITS: Final = (ResourceViewSet, ReadOnlyViewSet, SingleViewSet)


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path; `detail`: it is about a single row."""

    path: str
    method: str
    action: str
    viewset: type[ScopedViewSet]
    detail: bool
    groups: tuple[tuple[str, str], ...]

    @property
    def is_change(self) -> bool:
        """Whether a call changes something."""
        return is_change(self.viewset, self.method, self.action)

    @property
    def scopes(self) -> list[str]:
        """The scopes any of which allows the call."""
        return sorted(self.viewset().scopes_of(self.action))

    @property
    def tag(self) -> str:
        """The resource that it belongs to."""
        return self.viewset.path.split("/(")[0]

    @property
    def summary(self) -> str:
        """What it does: the first sentence of the docstring that says so."""
        said = getattr(self.viewset, self.action)
        if self.action == "list" and not issubclass(self.viewset, SingleViewSet):
            return f"List: {_first_sentence(self.viewset)}"
        if any(said is getattr(base, self.action, None) for base in _KITS):
            said = getattr(self.viewset, _SAID_BY[self.action])
        return re.sub(r"^(Answer|Return)\b", "Read", _first_sentence(said))


def _first_sentence(said: Any) -> str:
    text = " ".join((said.__doc__ or "").strip().split("\n\n")[0].split())
    return text.split(". ")[0].rstrip(".").replace("`", "")


def operations() -> Iterator[Operation]:
    """Yield every operation of the API, by path and method."""
    router = build_router()
    found = []
    for prefix, viewset in discover().items():
        for route in router.get_routes(viewset):
            regex = route.url.format(prefix=prefix, lookup=f"(?P<id>{viewset.lookup_value_regex})", trailing_slash="")
            for method, action in router.get_method_map(viewset, route.mapping).items():
                if action not in viewset.refused:
                    path = "/" + _GROUP.sub(r"{\1}", regex.strip("^$"))
                    groups = tuple(_GROUP.findall(regex))
                    found.append(Operation(path, method, action, viewset, route.detail, groups))
    yield from sorted(found, key=lambda operation: (operation.path, operation.method))


def _body_reader(operation: Operation) -> BaseSerializer[Any] | None:
    """Return the serializer that reads the body, None when there is no body."""
    declared = operation.viewset.bodies.get(operation.action)
    reading = {"create", "update"} if issubclass(operation.viewset, ResourceViewSet) else {"replace"}
    if declared is None and issubclass(operation.viewset, _KITS) and operation.action in reading:
        view = operation.viewset(action=operation.action)
        declared = view.get_serializer_class()
    return declared(partial=operation.action == "update") if declared else None


def _body(operation: Operation) -> Json | None:
    reader = _body_reader(operation)
    if reader is None:
        return None
    content: Json = {"schema": schema_of(reader)}
    given = example_of(operation.viewset, operation.action)
    if given:
        content["example"] = given
    return {"required": operation.action != "update", "content": {"application/json": content}}


def _query(name: str, schema: Json, description: str) -> Json:
    return {"name": name, "in": "query", "schema": schema, "description": description}


def _parameters(operation: Operation) -> Iterator[Json]:
    for name, pattern in operation.groups:
        choices = {"enum": pattern.split("|")} if re.fullmatch(r"[\w|-]+", pattern) else {}
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string", **choices}}
    if operation.action == "list":
        if issubclass(operation.viewset, ReadOnlyViewSet):
            yield _query("current_page", {"type": "integer", "minimum": 0, "default": 0}, "Page, counted from 0")
            size = {"type": "integer", "minimum": 1, "default": DEFAULT_SIZE}
            yield _query("page_size", size, f"Rows of a page; more than {MAX_SIZE} are not given")
        for name, meaning in operation.viewset.filters.items():
            required = {"required": True} if name in operation.viewset.required_filters else {}
            yield {**_query(name, {"type": "string"}, meaning), **required}
    for name, meaning in operation.viewset.queries.get(operation.action, {}).items():
        yield {**_query(name, {"type": "string"}, meaning), "required": True}
    model = getattr(getattr(operation.viewset, "queryset", None), "model", None)
    of_workspace = getattr(model, "workspace_field", None) not in {None, "id"}
    if of_workspace and operation.method in {"get", "delete"} and "workspace_id" not in operation.viewset.filters:
        yield _query("workspace_id", {"type": "string"}, "Workspace, by UUID or slug")
    if operation.is_change and operation.detail:
        yield {"$ref": "#/components/parameters/IfMatch"}
    if operation.is_change and operation.method == "post":
        yield {"$ref": "#/components/parameters/IdempotencyKey"}


def _answer(operation: Operation) -> Json:
    answer: Json = {"description": "Done.", "content": {"application/json": {"schema": {"type": "object"}}}}
    if operation.action == "list":
        shape = operation.viewset.list_shape
        answer["content"]["application/json"]["schema"] = {"$ref": f"#/components/schemas/{shape}"}
    if operation.action == "retrieve" and issubclass(operation.viewset, ReadOnlyViewSet):
        answer["headers"] = {"ETag": {"schema": {"type": "string"}, "description": "Version, for If-Match"}}
    if operation.is_change and operation.method == "post":
        meaning = "`true` when an earlier answer is repeated"
        answer["headers"] = {REPLAYED_HEADER: {"schema": {"type": "string"}, "description": meaning}}
    return answer


def _faults(operation: Operation) -> list[int]:
    faults = [400, 401, 403]
    if operation.groups or operation.action in operation.viewset.may_miss:
        faults.append(404)
    if operation.is_change:
        faults.append(409)
        faults += [412] if operation.detail else []
        faults += [422, 429] if operation.method == "post" else []
    return faults


def describe(operation: Operation) -> Json:
    """Return the OpenAPI form of an operation."""
    words = re.sub(r"\W+", "_", f"{operation.action} {re.sub(r'[{}]', '', operation.path)}").strip("_")
    described: Json = {
        "operationId": words,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": f"Needs one of the scopes: {', '.join(operation.scopes)}.",
        "x-scopes": operation.scopes,
        "parameters": list(_parameters(operation)),
        "responses": {
            "200": _answer(operation),
            **{str(status): {"$ref": f"#/components/responses/{status}"} for status in _faults(operation)},
        },
    }
    body = _body(operation)
    return described if body is None else {**described, "requestBody": body}


def _components() -> Json:
    key = {"type": "string", "minLength": 1, "maxLength": MAX_KEY_CHARS}
    page = {"object": {"const": "list"}, "total": {"type": "integer"}}
    rows = {"type": "array", "items": {"type": "object"}}
    return {
        "securitySchemes": {
            "apiKey": {"type": "apiKey", "in": "header", "name": "x-portkey-api-key"},
            "bearer": {"type": "http", "scheme": "bearer"},
        },
        "parameters": {
            "IfMatch": {
                "name": "If-Match", "in": "header", "schema": {"type": "string"},
                "description": "ETag that the object must still have; `*` matches every one",
            },
            "IdempotencyKey": {
                "name": "Idempotency-Key", "in": "header", "schema": key,
                "description": "Within 24 hours, the same call under the same key is done once",
            },
        },
        "schemas": {
            "List": {"type": "object", "properties": {**page, "data": rows}, "required": ["data"]},
            "Single": {"type": "object"},
            "Records": {"type": "object", "properties": {"records": rows, "total": {"type": "integer"}}},
            "Error": {"type": "object", "example": error_body(404, _FAULTS[404]), "required": ["success", "data"]},
        },
        "responses": {str(status): _fault(meaning) for status, meaning in _FAULTS.items()},
    }  # fmt: skip


def _fault(meaning: str) -> Json:
    return {"description": meaning, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}}


@cache
def document() -> Json:
    """Return the whole OpenAPI document, as plain JSON values."""
    paths: dict[str, Json] = {}
    for operation in operations():
        paths.setdefault(operation.path, {})[operation.method] = describe(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Gatehouse Admin API", "version": VERSION},
        "servers": [{"url": "/v1"}],
        "security": [{"apiKey": []}, {"bearer": []}],
        "paths": paths,
        "components": _components(),
    }
