"""What is a resource of the Admin API?  Its viewset says what is special; tenancy, scopes and shapes come from here.

A viewset of any installed app is found by `@resource`, in a module of the app whose name ends in `viewsets`.  Every
change runs in one transaction with the audit row and the outbox row that its service writes, and honours `If-Match` and
`Idempotency-Key` (see `changes.py`).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, ClassVar, Final, TypeVar
from uuid import UUID

from django.apps import apps
from django.db.models import QuerySet
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import Route, SimpleRouter
from rest_framework.serializers import BaseSerializer
from rest_framework.viewsets import GenericViewSet

from control_plane.core.audit import CURRENT_BODY
from control_plane.core.changes import serve, version_of
from control_plane.core.errors import Invalid, Missing
from control_plane.core.permissions import HasScope, refusal
from control_plane.core.principal import Principal, principal_of
from control_plane.core.tenancy import by_id_or_slug, of_workspace, resolve_workspace, visible_to

Json = dict[str, Any]
ViewSet = TypeVar("ViewSet", bound="type[ScopedViewSet]")

VERBS: Final = {
    "list": "list", "create": "create", "retrieve": "read", "update": "update", "destroy": "delete",
}  # fmt: skip
#: What a call does that changes nothing, whatever its method.
_LOOKING: Final = frozenset({"list", "read", "view"})


def is_change(viewset: "type[ScopedViewSet] | ScopedViewSet", method: str, action: str | None) -> bool:
    """Return whether a call of an action of a viewset changes something; `method` in lower case."""
    verb = (VERBS | viewset.verbs).get(action or "")
    return action is not None and method in {"post", "put", "patch", "delete"} and verb not in _LOOKING


def filters_of(request: Request) -> dict[str, str]:
    """Return the query's parameters that are not empty; one that PostgreSQL cannot compare with matches nothing."""
    return {name: str(value).replace("\x00", "\ufffd") for name, value in request.query_params.items() if value}


def choice_of(query: Mapping[str, str], name: str, allowed: Iterable[str], default: str | None = None) -> str | None:
    """Return what a query chose among `allowed`; raise Invalid for anything else."""
    given = query.get(name, default)
    listed = tuple(allowed)
    if given is not None and given not in listed:
        raise Invalid(f"{name} must be one of: {', '.join(listed)}")
    return given


class ScopedViewSet(GenericViewSet[Any]):
    """Isolation and scopes; register a subclass with `@resource`.

    `scope` is the first half of its scopes, `verbs` maps actions beyond the usual five to the second.  `is_single`:
    there is one of it, so nothing lies below its path by a name.  `parts` names
    relations that callers see as part of a row: a change of them is one of its entity tag too.

    The rest is for the API's description (see `openapi.py`): what the query of a list may narrow it by, which
    serializers read the bodies of further actions, what the queries of further actions must have, which actions are
    refused, which may find nothing although their path names nothing, and the shape of lists.
    """

    permission_classes = (HasScope,)
    lookup_value_regex = "[^/]+"
    slug_field: ClassVar[str | None] = "slug"
    scope: ClassVar[str] = ""
    verbs: ClassVar[dict[str, str]] = {}
    path: ClassVar[str] = ""
    is_single: ClassVar[bool] = False
    parts: ClassVar[tuple[str, ...]] = ()
    filters: ClassVar[dict[str, str]] = {}
    required_filters: ClassVar[frozenset[str]] = frozenset()
    bodies: ClassVar[dict[str, type[BaseSerializer[Any]]]] = {}
    queries: ClassVar[dict[str, dict[str, str]]] = {}
    refused: ClassVar[frozenset[str]] = frozenset()
    may_miss: ClassVar[frozenset[str]] = frozenset()
    list_shape: ClassVar[str] = "List"

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Let the call in, and see to it that a change is served as one."""
        super().initial(request, *args, **kwargs)
        method = (request.method or "").lower()
        if is_change(self, method, self.action):
            setattr(self, method, partial(serve, self, getattr(self, method)))

    @property
    def principal(self) -> Principal:
        """The authenticated caller, within the workspaces whose roles allow the action."""
        principal = principal_of(self.request)
        return principal.narrowed(self.scopes_of(self.action)) if self.action else principal

    def scopes_of(self, action: str) -> frozenset[str]:
        """Return the scopes any of which allows `action`."""
        return frozenset({f"{self.scope}.{(VERBS | self.verbs)[action]}"})

    def demand(self, scope: str, workspace_id: UUID | None = None) -> None:
        """Raise Denied unless the caller has `scope`, in this workspace when one is given."""
        if not self.principal.allows(scope, workspace_id):
            raise refusal(self.principal, {scope}, workspace_id)

    def get_queryset(self) -> QuerySet[Any]:
        """Return the rows that the caller may know of, narrowed to the workspace that the query names."""
        needed = self.scopes_of(self.action) if self.action else None
        rows = visible_to(super().get_queryset(), self.principal, needed)
        given = self.request.query_params.get("workspace_id")
        if given and getattr(rows.model, "workspace_field", None) not in {None, "id"}:
            rows = of_workspace(rows, resolve_workspace(self.principal, given))
        return rows

    def get_object(self) -> Any:
        """Return the row that the path names, by UUID or slug.  Raises Missing, or Invalid when several match."""
        named = by_id_or_slug(str(self.kwargs["pk"]), self.slug_field)
        found = list(self.get_queryset().filter(named)[:2])
        if not found:
            raise Missing
        if len(found) > 1:
            raise Invalid("Several workspaces have an object of that name: say which with workspace_id.")
        self.check_object_permissions(self.request, found[0])
        return found[0]

    def version_of(self, row: Any) -> str:
        """Return the entity tag of a row."""
        return version_of(row, self.parts)

    def body(self) -> Json:
        """Return the request's JSON object."""
        given = self.request.data
        if not isinstance(given, dict):
            raise Invalid("The body must be a JSON object.")
        CURRENT_BODY.set(given)
        return given

    def checked(self, serializer_class: type[BaseSerializer[Any]], *, partial: bool = False) -> Json:
        """Return the validated body; raise ValidationError with every fault."""
        serializer = serializer_class(data=self.body(), partial=partial, context=self.get_serializer_context())
        serializer.is_valid(raise_exception=True)
        checked: Json = serializer.validated_data
        return checked


class ReadOnlyViewSet(ScopedViewSet, ABC):
    """List and retrieve; a subclass gives `queryset` and `show`."""

    @abstractmethod
    def show(self, row: Any) -> Json:
        """Return the whole JSON form of a row."""

    def show_in_list(self, row: Any) -> Json:
        """Return the JSON form of a row among others."""
        return self.show(row)

    def list(self, request: Request, *_args: Any, **_kwargs: Any) -> Response:
        """Answer one page of the rows."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response([self.show_in_list(row) for row in page or ()])

    def retrieve(self, request: Request, *_args: Any, **_kwargs: Any) -> Response:
        """Answer one row, with the entity tag that a change of it may name."""
        row = self.get_object()
        return Response(self.show(row), headers={"ETag": self.version_of(row)})


class ResourceViewSet(ReadOnlyViewSet):
    """The five usual operations; a subclass gives `queryset`, `serializer_class`, `show`, and what changes mean.

    `make`, `change` and `remove` call a service and return the answer, always an object: SDKs cannot read less.
    `example` is a body that makes a row, `example_change` one that changes it: the contract tests use both.
    """

    example: ClassVar[Json] = {}
    example_change: ClassVar[Json] = {}

    @abstractmethod
    def make(self, given: Json) -> Json:
        """Make a row of a validated body."""

    @abstractmethod
    def change(self, row: Any, given: Json) -> Json:
        """Change a row by a validated body, which names only what changes."""

    @abstractmethod
    def remove(self, row: Any) -> Json:
        """Delete a row."""

    def create(self, request: Request, *_args: Any, **_kwargs: Any) -> Response:
        """Make a row."""
        given = self.checked(self.get_serializer_class())
        return Response(self.make(given))

    def update(self, request: Request, *_args: Any, **_kwargs: Any) -> Response:
        """Change a row."""
        row = self.get_object()
        given = self.checked(self.get_serializer_class(), partial=True)
        return Response(self.change(row, given))

    def destroy(self, request: Request, *_args: Any, **_kwargs: Any) -> Response:
        """Delete a row; a body is allowed and means nothing."""
        return Response(self.remove(self.get_object()))


class OrganisationViewSet(ResourceViewSet):
    """Rows that belong to the organisation as a whole; a request that puts one into a workspace is refused."""

    def get_queryset(self) -> QuerySet[Any]:
        """Return the organisation's, whichever of its workspaces the query names."""
        if workspace := self.request.query_params.get("workspace_id"):
            resolve_workspace(self.principal, workspace)
        return super().get_queryset()

    def checked(self, serializer_class: type[BaseSerializer[Any]], *, partial: bool = False) -> Json:
        """Return the validated body; raise Invalid for one that would belong to a single workspace."""
        given = super().checked(serializer_class, partial=partial)
        if self.body().get("workspace_id"):
            raise Invalid("workspace_id: this belongs to the organisation as a whole")
        return given


class SingleViewSet(ScopedViewSet, ABC):
    """What an organisation has one of: read, set, and, where `refused` does not say otherwise, taken away.

    A subclass gives `show` and `set`, which return the whole JSON form, and `serializer_class`.
    """

    is_single: ClassVar[bool] = True
    verbs: ClassVar[dict[str, str]] = {"list": "read", "replace": "update", "clear": "update"}
    refused: ClassVar[frozenset[str]] = frozenset({"clear"})
    list_shape: ClassVar[str] = "Single"

    @abstractmethod
    def show(self) -> Json:
        """Return what is set."""

    @abstractmethod
    def set(self, given: Json) -> Json:
        """Set what a validated body says, and return what is set then."""

    def unset(self) -> Json:
        """Take it away, and return what is set then."""
        raise Missing

    def list(self, _request: Request, *_args: Any, **_kwargs: Any) -> Response:
        """Answer what is set."""
        return Response(self.show())

    def replace(self, _request: Request, *_args: Any, **_kwargs: Any) -> Response:
        """Set what the body names."""
        return Response(self.set(self.checked(self.get_serializer_class())))

    def clear(self, _request: Request, *_args: Any, **_kwargs: Any) -> Response:
        """Take it away."""
        return Response(self.unset())


_REGISTRY: Final[dict[str, type[ScopedViewSet]]] = {}


def resource(path: str, *, scope: str | None = None) -> Callable[[ViewSet], ViewSet]:
    """Serve a viewset under `/v1/<path>`; its scopes begin with `scope`, by default the path in snake case.

    `path` may hold a named group, such as `admin/workspaces/(?P<workspace>[^/]+)/users`.
    """

    def register(viewset: ViewSet) -> ViewSet:
        if path in _REGISTRY:
            raise ValueError(f"two viewsets claim /v1/{path}")
        viewset.path = path
        viewset.scope = scope or path.replace("-", "_")
        _REGISTRY[path] = viewset
        return viewset

    return register


def discover() -> dict[str, type[ScopedViewSet]]:
    """Import the modules of every app of ours whose names end in `viewsets`, and return all resources by path."""
    for config in apps.get_app_configs():
        if config.name.startswith("control_plane."):
            for found in iter_modules([config.path]):
                if found.name.endswith("viewsets"):
                    import_module(f"{config.name}.{found.name}")
    return dict(sorted(_REGISTRY.items()))


class _Router(SimpleRouter):
    """Routes without a trailing slash, as clients write them; one is accepted."""

    def __init__(self) -> None:
        super().__init__()
        self.trailing_slash = "/?"
        first, *rest = self.routes
        if not isinstance(first, Route):
            raise TypeError("the first route of a router is that of a list")
        # Of what there is one of, nothing lies below the path by a name: it is changed where it is read.
        of_single = {**first.mapping, "put": "replace", "delete": "clear"}
        self.routes = [first._replace(mapping=of_single), *rest]


def build_router() -> SimpleRouter:
    """Return the router of the whole Admin API."""
    router = _Router()
    for path, viewset in _longest_first(discover()):
        router.register(path, viewset, basename=f"api-{viewset.scope}-{viewset.__name__.lower()}")
    return router


def _longest_first(resources: dict[str, type[ScopedViewSet]]) -> Iterator[tuple[str, type[ScopedViewSet]]]:
    """Yield nested paths before the paths that they are below of."""
    yield from sorted(resources.items(), key=lambda item: (-len(item[0]), item[0]))
