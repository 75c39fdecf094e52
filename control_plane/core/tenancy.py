"""Whose row is it?  Every row of a tenant names its organisation, and every query of a caller goes by `visible_to`.

A row of another tenant is answered like a missing one, so that ids cannot be probed.
"""

from collections.abc import Collection
from typing import Any, ClassVar, TypeVar
from uuid import UUID

from django.apps import apps
from django.db import models
from django.db.models import Q, QuerySet

from control_plane.core.errors import Denied, Invalid
from control_plane.core.principal import Principal
from shared.ids import parse_uuid, uuid7

Row = TypeVar("Row", bound=models.Model)


class TenantModel(models.Model):
    """A row of one organisation.

    `workspace_field` names the column that holds the row's workspace; None: the row belongs to the organisation as
    a whole, and callers who reach single workspaces do not see it.  `is_shared`: they do see rows without a workspace.
    `goes_with_workspace` tells the rows that a workspace does not have to be rid of before it is deleted.
    """

    workspace_field: ClassVar[str | None] = None
    is_shared: ClassVar[bool] = False
    goes_with_workspace: ClassVar[Q | None] = None

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organisation = models.ForeignKey("orgs.Organisation", on_delete=models.PROTECT)
    created_at = models.DateTimeField(auto_now_add=True)
    last_updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        abstract = True


class WorkspaceModel(TenantModel):
    """A row of one workspace."""

    workspace_field: ClassVar[str | None] = "workspace_id"

    workspace = models.ForeignKey("orgs.Workspace", on_delete=models.PROTECT)

    class Meta:
        abstract = True


def visible_to(queryset: QuerySet[Row], principal: Principal, scopes: Collection[str] | None = None) -> QuerySet[Row]:
    """Return the rows of `queryset` that `principal` may know of: the one place of isolation.

    The model has a column `organisation_id` and may have an attribute `workspace_field` (see TenantModel); without
    it, callers who reach single workspaces see nothing.  With `scopes`, only workspaces count in which the caller has
    one of them.
    """
    rows = queryset.filter(organisation_id=principal.organisation_id)
    workspaces = principal.workspace_ids if scopes is None else principal.workspaces_with(scopes)
    if workspaces is None:
        return rows
    field: str | None = getattr(queryset.model, "workspace_field", None)
    if field is None:
        return rows.none()
    return rows.filter(_or_shared(queryset.model, field, Q(**{f"{field}__in": workspaces})))


def _or_shared(model: type[models.Model], field: str, condition: Q) -> Q:
    is_shared: bool = getattr(model, "is_shared", False)
    return condition | Q(**{f"{field}__isnull": True}) if is_shared else condition


def of_workspace(queryset: QuerySet[Row], workspace: Any) -> QuerySet[Row]:
    """Return the rows of one workspace, with those that are shared by all; every row of what belongs to none."""
    field: str | None = getattr(queryset.model, "workspace_field", None)
    if field is None or field == "id":
        return queryset
    return queryset.filter(_or_shared(queryset.model, field, Q(**{field: workspace.pk})))


def by_id_or_slug(value: str, slug_field: str | None = "slug") -> Q:
    """Return the condition for rows that `value` names, by UUID or by slug; it may match none, never raises."""
    row_id: UUID | None = parse_uuid(value)
    condition = Q(pk=row_id) if row_id else Q(pk__in=[])
    # PostgreSQL refuses NUL in text, so no slug has one.
    return condition | Q(**{slug_field: value}) if slug_field and "\x00" not in value else condition


def workspace_model() -> Any:
    """Return the model of workspaces, which this package may not import."""
    return apps.get_model("orgs", "Workspace")


def resolve_workspace(principal: Principal, given: object) -> Any:
    """Return the workspace that a request means: by UUID or slug, or, when none is given, the caller's own.

    Callers who reach the whole organisation mean its default workspace then.  Raises Invalid for a workspace that
    is unknown or not the caller's, without telling which.
    """
    rows = visible_to(workspace_model().objects.all(), principal)
    if given is None or given == "":
        if principal.workspace_ids is not None and len(principal.workspace_ids) != 1:
            raise Invalid("workspace_id is required")
        found = list(rows if principal.workspace_ids else rows.filter(is_default=True))
    else:
        found = list(rows.filter(by_id_or_slug(str(given))))
    if len(found) != 1:
        # Another organisation's workspace is answered like a missing one, so that ids cannot be probed.
        raise Invalid("workspace_id: no such workspace")
    return found[0]


def refuse_other_organisation(principal: Principal, given: object) -> None:
    """Raise Invalid when a request names an organisation that is not the caller's own; naming none is fine."""
    if given is not None and given != "" and parse_uuid(str(given)) != principal.organisation_id:
        raise Invalid("organisation_id: no such organisation")


def resolve_home(principal: Principal, workspace_id: object, organisation_id: object = None) -> Any:
    """Return the workspace that a new row belongs to; None: it belongs to the organisation as a whole.

    Callers who reach the whole organisation name a workspace or mean all; others mean their own workspace.  Raises
    Invalid for what is not the caller's, Denied for one workspace's caller who asks for the whole organisation.
    """
    refuse_other_organisation(principal, organisation_id)
    if workspace_id is not None and workspace_id != "":
        return resolve_workspace(principal, workspace_id)
    if principal.workspace_ids is None:
        return None
    if organisation_id:
        raise Denied("What belongs to the whole organisation is made with a key of the organisation.")
    return resolve_workspace(principal, None)
