"""Workspaces and their users in the Admin API."""

from functools import cached_property
from typing import Any, ClassVar
from uuid import UUID

from django.db.models import QuerySet
from rest_framework.serializers import BaseSerializer

from control_plane.core.errors import Missing
from control_plane.core.resources import Json, ResourceViewSet, filters_of, resource
from control_plane.core.tenancy import by_id_or_slug, visible_to
from control_plane.orgs import services
from control_plane.orgs.models import Membership, Workspace, WorkspaceMembership
from control_plane.orgs.serializers import (
    WorkspaceRoleSerializer,
    WorkspaceSerializer,
    WorkspaceUsersSerializer,
    member_json,
    members_json,
    workspace_json,
)
from shared.ids import parse_uuid


@resource("admin/workspaces", scope="workspaces")
class WorkspaceViewSet(ResourceViewSet):
    """Workspaces of the organisation, or the one of a workspace key."""

    queryset = Workspace.objects.all()
    serializer_class = WorkspaceSerializer
    example: ClassVar[Json] = {"name": "Search team", "description": "Answers", "defaults": {"metadata": {"team": "s"}}}
    example_change: ClassVar[Json] = {"name": "Search", "defaults": {"metadata": {"team": "search"}}}

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow the list by `name` (part of it) or `exact_name`."""
        query = filters_of(self.request)
        if "name" in query:
            queryset = queryset.filter(name__icontains=query["name"])
        if "exact_name" in query:
            queryset = queryset.filter(name=query["exact_name"])
        return queryset

    def show_in_list(self, row: Workspace) -> Json:
        """Return a workspace without its users."""
        return workspace_json(row)

    def show(self, row: Workspace) -> Json:
        """Return a workspace with its users."""
        return {**workspace_json(row), "users": members_json(row)}

    def make(self, given: Json) -> Json:
        """Make a workspace."""
        workspace = services.create_workspace(self.principal, **given)
        users = [{"id": str(member.user_id), "role": member.role} for member in workspace.memberships.all()]
        return {**workspace_json(workspace), "users": users}

    def change(self, row: Workspace, given: Json) -> Json:
        """Change a workspace; its users have a resource of their own."""
        return workspace_json(services.update_workspace(self.principal, row, given))

    def remove(self, row: Workspace) -> Json:
        """Delete an empty workspace."""
        services.delete_workspace(self.principal, row)
        return {}


@resource("admin/workspaces/(?P<workspace>[^/]+)/users", scope="workspace_users")
class WorkspaceUserViewSet(ResourceViewSet):
    """Users of one workspace."""

    queryset = WorkspaceMembership.objects.select_related("user", "workspace")
    serializer_class = WorkspaceUsersSerializer

    @cached_property
    def roles(self) -> dict[UUID, str]:
        """The role of each user in the organisation; a viewset lives for one request."""
        members = Membership.objects.filter(organisation_id=self.principal.organisation_id)
        return dict(members.values_list("user_id", "role"))

    def workspace(self) -> Workspace:
        """Return the workspace that the path names; raise Missing when the caller does not reach it."""
        rows = visible_to(Workspace.objects.all(), self.principal)
        workspace = rows.filter(by_id_or_slug(str(self.kwargs["workspace"]))).first()
        if workspace is None:
            raise Missing
        return workspace

    def get_queryset(self) -> QuerySet[Any]:
        """Return the users of the workspace, narrowed by `role` and `email`."""
        rows = WorkspaceMembership.objects.select_related("user").filter(workspace=self.workspace())
        query = filters_of(self.request)
        if "role" in query:
            rows = rows.filter(role=query["role"])
        if "email" in query:
            rows = rows.filter(user__email=query["email"].lower())
        return rows

    def get_object(self) -> WorkspaceMembership:
        """Return the membership of the user that the path names."""
        user_id = parse_uuid(str(self.kwargs["pk"]))
        member = self.get_queryset().filter(user_id=user_id).first() if user_id else None
        if not isinstance(member, WorkspaceMembership):
            raise Missing
        return member

    def show(self, row: WorkspaceMembership) -> Json:
        """Return a user with both roles."""
        return member_json(row, self.roles.get(row.user_id, "member"))

    def make(self, given: Json) -> Json:
        """Add users."""
        workspace = self.workspace()
        for user in given["users"]:
            services.add_workspace_user(self.principal, workspace, user["id"], user["role"])
        return {"success": True}

    def get_serializer_class(self) -> type[BaseSerializer[Any]]:
        """Return what reads the body: many users are added, and one is changed."""
        return WorkspaceRoleSerializer if self.action == "update" else WorkspaceUsersSerializer

    def change(self, row: WorkspaceMembership, given: Json) -> Json:
        """Give a user another role."""
        role = given.get("role", row.role)
        return self.show(services.add_workspace_user(self.principal, self.workspace(), row.user_id, role))

    def remove(self, row: WorkspaceMembership) -> Json:
        """Take a user out of the workspace."""
        services.remove_workspace_user(self.principal, row)
        return {"success": True}
