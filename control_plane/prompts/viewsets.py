"""Labels and collections in the Admin API."""

from typing import Any, ClassVar

from django.db.models import QuerySet

from control_plane.core.resources import Json, ResourceViewSet, filters_of, resource
from control_plane.core.tenancy import refuse_other_organisation, resolve_home, resolve_workspace
from control_plane.prompts import services
from control_plane.prompts.counts import counted, details_json
from control_plane.prompts.models import Collection, Label
from control_plane.prompts.serializers import CollectionSerializer, LabelSerializer, collection_json, label_json


@resource("labels", scope="prompts")
class LabelViewSet(ResourceViewSet):
    """Labels of versions of prompts: those of a workspace, and the organisation's, which every workspace sees."""

    queryset = Label.objects.all()
    serializer_class = LabelSerializer
    slug_field: ClassVar[str | None] = None
    filters: ClassVar[dict[str, str]] = {
        "organisation_id": "The caller's organisation",
        "workspace_id": "Labels that a workspace may use, by UUID or slug",
        "search": "Part of the name",
    }
    example: ClassVar[Json] = {"name": "release-candidate", "description": "Tried by some", "color_code": "#00aaff"}
    example_change: ClassVar[Json] = {"name": "candidate", "color_code": "#fa0"}

    def get_queryset(self) -> QuerySet[Any]:
        """Return the labels that the caller may use, whichever way the organisation is spelt."""
        query = filters_of(self.request)
        for name in ("organisation_id", "organization_id"):
            refuse_other_organisation(self.principal, query.get(name))
        return super().get_queryset()

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow the list by part of the name."""
        query = filters_of(self.request)
        return queryset.filter(name__icontains=query["search"]) if "search" in query else queryset

    def show(self, row: Label) -> Json:
        """Return a label."""
        return label_json(row)

    def make(self, given: Json) -> Json:
        """Make a label; without a workspace, a key of the organisation makes one for every workspace."""
        home = resolve_home(self.principal, given.get("workspace_id"), given.get("organisation_id"))
        return {"id": str(services.create_label(self.principal, home, given).pk)}

    def change(self, row: Label, given: Json) -> Json:
        """Change a label."""
        services.update_label(self.principal, row, given)
        return {}

    def remove(self, row: Label) -> Json:
        """Delete a label that is not built in."""
        services.delete_label(self.principal, row)
        return {}


@resource("collections", scope="prompts")
class CollectionViewSet(ResourceViewSet):
    """Collections, the folders that prompts are kept in."""

    queryset = Collection.objects.all()
    serializer_class = CollectionSerializer
    filters: ClassVar[dict[str, str]] = {"workspace_id": "Workspace, by UUID or slug", "search": "Part of the name"}
    example: ClassVar[Json] = {"name": "Support answers"}
    example_change: ClassVar[Json] = {"name": "Answers"}

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow the list by part of the name, and count what is in each collection."""
        query = filters_of(self.request)
        if "search" in query:
            queryset = queryset.filter(name__icontains=query["search"])
        return counted(queryset)

    def show_in_list(self, row: Collection) -> Json:
        """Return a collection with what is in it, counted."""
        return {**collection_json(row), "collection_details": details_json(row)}

    def show(self, row: Collection) -> Json:
        """Return a collection with those in it."""
        children = [
            {
                "id": str(child.pk),
                "name": child.name,
                "last_updated_at": collection_json(child)["last_updated_at"],
                "collection_details": details_json(child),
            }
            for child in counted(Collection.objects.filter(parent=row))
        ]
        return {**collection_json(row), "child_collections": children}

    def make(self, given: Json) -> Json:
        """Make a collection."""
        workspace = resolve_workspace(self.principal, given.get("workspace_id"))
        parent = given.get("parent_collection_id")
        row = services.create_collection(self.principal, workspace, given["name"], parent)
        return {"id": str(row.pk), "slug": row.slug}

    def change(self, row: Collection, given: Json) -> Json:
        """Rename a collection, or move it."""
        services.update_collection(self.principal, row, given)
        return {}

    def remove(self, row: Collection) -> Json:
        """Delete an empty collection."""
        services.delete_collection(self.principal, row)
        return {}
