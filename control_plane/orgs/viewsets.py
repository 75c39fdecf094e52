"""Workspaces, people and invites in the Admin API."""

from functools import cached_property
from typing import Any, ClassVar
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from control_plane.budgets.usage import with_usage
from control_plane.core.errors import Missing
from control_plane.core.resources import Json, ReadOnlyViewSet, ResourceViewSet, ScopedViewSet, filters_of, resource
from control_plane.core.tenancy import by_id_or_slug, refuse_other_organisation, resolve_workspace, visible_to
from control_plane.orgs import access, exclusions, invites, people, services
from control_plane.orgs.defaults import organisation_defaults, set_organisation_defaults
from control_plane.orgs.limits import USER, WORKSPACE, load_used, set_user_limit
from control_plane.orgs.models import Invite, Membership, Organisation, Workspace, WorkspaceMembership
from control_plane.orgs.roles import named_role
from control_plane.orgs.serializers import (
    AccessSerializer,
    ExclusionsSerializer,
    InviteSerializer,
    OrganisationDefaultsSerializer,
    OrganisationSerializer,
    OwnAccessSerializer,
    UserSerializer,
    WorkspaceRoleSerializer,
    WorkspaceSerializer,
    WorkspaceUsersSerializer,
    member_json,
    members_json,
    organisation_json,
    workspace_json,
)
from shared.ids import parse_uuid


@resource("admin/workspaces", scope="workspaces")
class WorkspaceViewSet(ResourceViewSet):
    """Workspaces of the organisation, or the one of a workspace key."""

    queryset = with_usage(Workspace.objects.all(), WORKSPACE)
    serializer_class = WorkspaceSerializer
    filters: ClassVar[dict[str, str]] = {"name": "Part of the name", "exact_name": "The whole name"}
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
        users = [{"id": str(member.user_id), "role": member.role_name} for member in workspace.memberships.all()]
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
    filters: ClassVar[dict[str, str]] = {"role": "Role in the workspace", "email": "Whole address"}

    @cached_property
    def roles(self) -> dict[UUID, str]:
        """The role of each user in the organisation; a viewset lives for one request."""
        members = Membership.objects.select_related("custom_role")
        rows = members.filter(organisation_id=self.principal.organisation_id)
        return {row.user_id: row.role_name for row in rows}

    def workspace(self) -> Workspace:
        """Return the workspace that the path names; raise Missing when the caller does not reach it."""
        rows = visible_to(Workspace.objects.all(), self.principal)
        workspace = rows.filter(by_id_or_slug(str(self.kwargs["workspace"]))).first()
        if workspace is None:
            raise Missing
        return workspace

    def get_queryset(self) -> QuerySet[Any]:
        """Return the users of the workspace, narrowed by `role` and `email`."""
        rows = WorkspaceMembership.objects.select_related("user", "custom_role").filter(workspace=self.workspace())
        query = filters_of(self.request)
        if "role" in query:
            rows = rows.filter(named_role(query["role"]))
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
        role = given.get("role", row.role_name)
        return self.show(services.add_workspace_user(self.principal, self.workspace(), row.user_id, role))

    def remove(self, row: WorkspaceMembership) -> Json:
        """Take a user out of the workspace."""
        services.remove_workspace_user(self.principal, row)
        return {"success": True}


@resource("admin/users", scope="organisation_users")
class UserViewSet(ReadOnlyViewSet):
    """People of the organisation; they come by invites or single sign-on."""

    queryset = Membership.objects.select_related("user")
    verbs: ClassVar[dict[str, str]] = {"permissions": "read"}
    bodies: ClassVar[dict[str, Any]] = {"update": UserSerializer}
    filters: ClassVar[dict[str, str]] = {"role": "Role in the organisation", "email": "Whole address"}

    def get_queryset(self) -> QuerySet[Any]:
        """Return the people, narrowed by `role` and `email`."""
        people_of = with_usage(Membership.objects.select_related("user", "custom_role"), USER, owner="user_id")
        rows = visible_to(people_of.prefetch_related("user__workspace_memberships__workspace"), self.principal)
        query = filters_of(self.request)
        if "role" in query:
            rows = rows.filter(named_role(query["role"]))
        if "email" in query:
            rows = rows.filter(user__email=query["email"].lower())
        return rows

    def get_object(self) -> Membership:
        """Return the membership of the user that the path names."""
        user_id = parse_uuid(str(self.kwargs["pk"]))
        row = self.get_queryset().filter(user_id=user_id).first() if user_id else None
        if not isinstance(row, Membership):
            raise Missing
        return row

    def show(self, row: Membership) -> Json:
        """Return a person with the workspaces that they joined."""
        return people.user_json(row)

    def update(self, request: Request, *_args: Any, **_kwargs: Any) -> Response:
        """Give a person another role, or a limit of what all their keys may use."""
        row, given = self.get_object(), self.checked(UserSerializer)
        role = given.pop("role", None)
        if role is not None:
            people.change_role(self.principal, row, role)
        if given:
            set_user_limit(self.principal, row, given)
        return Response({})

    @action(detail=True, methods=["get"])
    def permissions(self, request: Request, *_args: Any, **_kwargs: Any) -> Response:
        """Answer what a person may do, in the workspace that `workspace_id` names or at all, and if not, why not."""
        row = self.get_object()
        named = request.query_params.get("workspace_id")
        workspace = resolve_workspace(self.principal, named).pk if named else None
        told = services.permissions_of(row.user, row.organisation_id, workspace)
        return Response({"object": "list", "total": len(told), "data": told})

    def destroy(self, request: Request, *_args: Any, **_kwargs: Any) -> Response:
        """Remove a person; their API keys and sessions end."""
        people.remove_member(self.principal, self.get_object())
        return Response({})


def _with_status(rows: QuerySet[Any], status: str) -> QuerySet[Any]:
    """Return the invites of a status, as `Invite.status` has it."""
    now = timezone.now()
    pending = rows.filter(accepted_at__isnull=True, cancelled_at__isnull=True)
    match status:
        case "accepted":
            return rows.filter(accepted_at__isnull=False)
        case "cancelled":
            return rows.filter(accepted_at__isnull=True, cancelled_at__isnull=False)
        case "expired":
            return pending.filter(expires_at__lte=now)
        case "pending":
            return pending.filter(expires_at__gt=now)
    return rows.none()


@resource("admin/users/invites", scope="organisation_users")
class InviteViewSet(ReadOnlyViewSet):
    """Invites; the link of one is in the answer that makes or resends it, and nowhere else."""

    queryset = Invite.objects.all()
    slug_field: ClassVar[str | None] = None
    verbs: ClassVar[dict[str, str]] = {"resend": "create"}
    bodies: ClassVar[dict[str, Any]] = {"create": InviteSerializer}
    filters: ClassVar[dict[str, str]] = {
        "role": "Role in the organisation",
        "email": "Whole address",
        "status": "pending, accepted, cancelled or expired",
    }

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow the list by `role`, `email` and `status`."""
        query = filters_of(self.request)
        if "role" in query:
            queryset = queryset.filter(role=query["role"])
        if "email" in query:
            queryset = queryset.filter(email=query["email"].lower())
        return _with_status(queryset, query["status"]) if "status" in query else queryset

    def show(self, row: Invite) -> Json:
        """Return an invite without its link."""
        return invites.invite_json(row)

    def create(self, request: Request, *_args: Any, **_kwargs: Any) -> Response:
        """Invite somebody."""
        given = self.checked(InviteSerializer)
        made = invites.create_invite(
            self.principal,
            given["email"],
            given["role"],
            workspaces=given.get("workspaces") or (),
            key_scopes=(given.get("workspace_api_key_details") or {}).get("scopes"),
        )
        return Response({"id": str(made.row.pk), "invite_link": made.link()})

    def destroy(self, request: Request, *_args: Any, **_kwargs: Any) -> Response:
        """Take an invite back."""
        invites.cancel_invite(self.principal, self.get_object())
        return Response({})

    @action(detail=True, methods=["post"])
    def resend(self, request: Request, *_args: Any, **_kwargs: Any) -> Response:
        """Give an invite a new link."""
        return Response({"inviteLink": invites.resend_invite(self.principal, self.get_object()).link()})


@resource("admin/organisation", scope="organisation_settings")
class OrganisationAccessViewSet(ScopedViewSet):
    """The organisation that the key belongs to, and its switches."""

    queryset = Organisation.objects.none()
    is_single = True
    verbs: ClassVar[dict[str, str]] = {
        "list": "read", "replace": "update", "access": "read", "set_access": "update", "defaults": "read",
        "set_defaults": "update",
    }  # fmt: skip
    bodies: ClassVar[dict[str, Any]] = {
        "replace": OrganisationSerializer,
        "set_access": AccessSerializer,
        "set_defaults": OrganisationDefaultsSerializer,
    }
    list_shape: ClassVar[str] = "Single"

    def list(self, _request: Request) -> Response:
        """Answer the organisation: a key belongs to one."""
        return Response(organisation_json(load_used(self._row())))

    def replace(self, _request: Request) -> Response:
        """Change the organisation's name, its saved-only mode, its limits, or what holds for calls under a budget."""
        given = self.checked(OrganisationSerializer)
        return Response(organisation_json(services.update_organisation(self.principal, given)))

    @action(detail=False, methods=["get"])
    def access(self, _request: Request) -> Response:
        """Answer every switch."""
        return Response(access.shown(self._row().access))

    @access.mapping.put
    def set_access(self, _request: Request) -> Response:
        """Set the switches that the body names."""
        given = access.checked(self.body(), may_unset=False)
        return Response(access.shown(access.set_access(self.principal, self._row(), given)))

    @action(detail=False, methods=["get"])
    def defaults(self, _request: Request) -> Response:
        """Answer the guardrails of every request."""
        return Response(organisation_defaults(self._row()))

    @defaults.mapping.put
    def set_defaults(self, _request: Request) -> Response:
        """Set those lists of default guardrails that the body names."""
        given = self.checked(OrganisationDefaultsSerializer)
        return Response(organisation_defaults(set_organisation_defaults(self.principal, given)))

    def _row(self) -> Organisation:
        return Organisation.objects.get(pk=self.principal.organisation_id)


@resource("admin/workspaces/(?P<workspace>[^/]+)", scope="organisation_settings")
class WorkspaceAccessViewSet(ScopedViewSet):
    """A workspace's own switches."""

    queryset = Workspace.objects.all()
    verbs: ClassVar[dict[str, str]] = {"access": "read", "set_access": "update"}
    bodies: ClassVar[dict[str, Any]] = {"set_access": OwnAccessSerializer}

    @action(detail=False, methods=["get"])
    def access(self, _request: Request, **_kwargs: str) -> Response:
        """Answer what is set here, and what holds with the organisation's."""
        row = self._row()
        return Response({"own": row.access, "effective": access.shown({**row.organisation.access, **row.access})})

    @access.mapping.put
    def set_access(self, _request: Request, **_kwargs: str) -> Response:
        """Set the switches that the body names, or take them back with null."""
        given = access.checked(self.body(), may_unset=True)
        row = self._row()
        own = access.set_access(self.principal, row, given)
        return Response({"own": own, "effective": access.shown({**row.organisation.access, **own})})

    def _row(self) -> Workspace:
        rows = visible_to(Workspace.objects.select_related("organisation"), self.principal)
        row = rows.filter(by_id_or_slug(str(self.kwargs["workspace"]))).first()
        if row is None:
            raise Missing
        return row


@resource("workspace-exclusions", scope="organisation_exclusions")
class ExclusionViewSet(ScopedViewSet):
    """Workspaces in which the organisation's default guardrails do not hold."""

    queryset = Workspace.objects.all()
    is_single = True
    verbs: ClassVar[dict[str, str]] = {
        "of_input": "list", "set_of_input": "update", "of_output": "list", "set_of_output": "update",
    }  # fmt: skip
    bodies: ClassVar[dict[str, Any]] = {"set_of_input": ExclusionsSerializer, "set_of_output": ExclusionsSerializer}

    @action(detail=False, methods=["get"], url_path="input-guardrails")
    def of_input(self, _request: Request) -> Response:
        """Answer which workspaces the default input guardrails leave alone."""
        return self._told("input")

    @of_input.mapping.put
    def set_of_input(self, _request: Request) -> Response:
        """Set which workspaces the default input guardrails leave alone."""
        return self._set("input")

    @action(detail=False, methods=["get"], url_path="output-guardrails")
    def of_output(self, _request: Request) -> Response:
        """Answer which workspaces the default output guardrails leave alone."""
        return self._told("output")

    @of_output.mapping.put
    def set_of_output(self, _request: Request) -> Response:
        """Set which workspaces the default output guardrails leave alone."""
        return self._set("output")

    def _told(self, kind: exclusions.Kind) -> Response:
        refuse_other_organisation(self.principal, self.request.query_params.get("organisation_id"))
        return Response(exclusions.exclusions_json(self.principal, kind))

    def _set(self, kind: exclusions.Kind) -> Response:
        given = self.checked(ExclusionsSerializer)
        refuse_other_organisation(self.principal, given.get("organisation_id"))
        exclusions.set_exclusions(self.principal, kind, given["workspaces"], override=given["override_existing"])
        return Response(exclusions.exclusions_json(self.principal, kind))
