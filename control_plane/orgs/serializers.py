"""Workspaces and their members as the Admin API reads and writes them."""

from typing import Any, ClassVar

from rest_framework import serializers

from control_plane.budgets.usage import limits_json, usage_json
from control_plane.core.fields import MetadataField, RateLimitsField, SlugField, UsageLimitsField, iso
from control_plane.core.roles import ALL_SWITCHES
from control_plane.orgs.access import shown
from control_plane.orgs.limits import BudgetRulesSerializer, budget_rules_json
from control_plane.orgs.models import (
    INVITED_ROLES,
    PAYLOAD_POLICIES,
    ROLE_LEVELS,
    Membership,
    Organisation,
    Workspace,
    WorkspaceMembership,
)

Json = dict[str, Any]


def _guardrails() -> Any:
    return serializers.ListField(child=serializers.CharField(max_length=255), required=False, max_length=100)


class OrganisationSerializer(serializers.Serializer[Any]):
    """A request to change the organisation; what is not named stays."""

    name = serializers.CharField(max_length=255, required=False)
    block_inline = serializers.BooleanField(required=False)
    usage_limits = UsageLimitsField(required=False, allow_null=True)
    rate_limits = RateLimitsField(required=False, allow_null=True)
    reset_usage = serializers.BooleanField(required=False, allow_null=True)
    budget_rules = BudgetRulesSerializer(required=False, allow_null=True)


class AccessSerializer(serializers.Serializer[Any]):
    """Describes the switches of an organisation; `access.checked` reads them."""

    may_unset: ClassVar[bool] = False

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """Return a field for each switch."""
        return {
            name: serializers.BooleanField(required=False, allow_null=self.may_unset) for name in sorted(ALL_SWITCHES)
        }


class OwnAccessSerializer(AccessSerializer):
    """Describes the switches of a workspace: null takes one back."""

    may_unset: ClassVar[bool] = True


class DefaultsSerializer(serializers.Serializer[Any]):
    """What requests of the workspace carry unless they say otherwise."""

    metadata = MetadataField(required=False)
    input_guardrails = _guardrails()
    output_guardrails = _guardrails()
    user_api_key_config = serializers.CharField(max_length=255, required=False, allow_null=True)


class OrganisationDefaultsSerializer(serializers.Serializer[Any]):
    """Guardrails of every request of the organisation, by slug or UUID."""

    input_guardrails = _guardrails()
    output_guardrails = _guardrails()


class ExclusionSerializer(serializers.Serializer[Any]):
    """A workspace, by slug or UUID, and whether the organisation's guardrails leave it alone."""

    workspace_id = serializers.CharField(max_length=255)
    excluded = serializers.BooleanField()


class ExclusionsSerializer(serializers.Serializer[Any]):
    """A request to exclude workspaces, or no longer; `override_existing`: those that it leaves out no longer too."""

    organisation_id = serializers.UUIDField(required=False, allow_null=True)
    workspaces = serializers.ListField(child=ExclusionSerializer(), max_length=1000)
    override_existing = serializers.BooleanField(default=False)


class WorkspaceSerializer(serializers.Serializer[Any]):
    """A request to make or change a workspace."""

    name = serializers.CharField(max_length=255)
    description = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=10_000)
    defaults = DefaultsSerializer(required=False, allow_null=True)
    users = serializers.ListField(child=serializers.UUIDField(), required=False, max_length=1000)
    payload_policy = serializers.ChoiceField(choices=PAYLOAD_POLICIES, required=False)
    usage_limits = UsageLimitsField(required=False, allow_null=True)
    rate_limits = RateLimitsField(required=False, allow_null=True)
    reset_usage = serializers.BooleanField(required=False, allow_null=True)


class WorkspaceUserSerializer(serializers.Serializer[Any]):
    """One user and their role."""

    id = serializers.UUIDField()
    role = serializers.CharField(max_length=255, default="member")


class WorkspaceUsersSerializer(serializers.Serializer[Any]):
    """A request to add users to a workspace."""

    users = WorkspaceUserSerializer(many=True, allow_empty=False)


class WorkspaceRoleSerializer(serializers.Serializer[Any]):
    """A request to give a user of a workspace another role, built in or custom."""

    role = serializers.CharField(max_length=255)


class UserSerializer(serializers.Serializer[Any]):
    """A request to give a person another role in the organisation (built in, but not owner, or custom), or a limit."""

    role = serializers.CharField(max_length=255, required=False)
    usage_limits = UsageLimitsField(required=False, allow_null=True)
    reset_usage = serializers.BooleanField(required=False, allow_null=True)

    def validate(self, attrs: Json) -> Json:
        """Refuse a body that asks for nothing."""
        if not attrs:
            raise serializers.ValidationError({"role": ["This field is required."]})
        return attrs

    def validate_role(self, value: str) -> str:
        """Refuse to make an owner here: a person does that, on a page."""
        if value == "owner":
            raise serializers.ValidationError("must be admin, member or a custom role")
        return value


class RoleSerializer(serializers.Serializer[Any]):
    """A request to make or change a custom role; its level and slug stay."""

    name = serializers.CharField(max_length=255)
    slug = SlugField()
    description = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=10_000)
    level = serializers.ChoiceField(choices=ROLE_LEVELS)
    scopes = serializers.ListField(child=serializers.CharField(max_length=80), max_length=300)
    own_data_only = serializers.BooleanField(required=False)


class InvitedWorkspaceSerializer(serializers.Serializer[Any]):
    """A workspace that the invited person joins, by UUID or slug."""

    id = serializers.CharField(max_length=255)
    role = serializers.CharField(max_length=255)


class KeyDetailsSerializer(serializers.Serializer[Any]):
    """The API key that the invited person gets in each workspace."""

    scopes = serializers.ListField(child=serializers.CharField(max_length=80), allow_empty=False, max_length=300)


class InviteSerializer(serializers.Serializer[Any]):
    """A request to invite somebody."""

    email = serializers.EmailField(max_length=254)
    role = serializers.ChoiceField(choices=INVITED_ROLES)
    workspaces = InvitedWorkspaceSerializer(many=True, required=False)
    workspace_api_key_details = KeyDetailsSerializer(required=False, allow_null=True)


def organisation_json(row: Organisation) -> Json:
    """Return the organisation as the API shows it."""
    told = {"id": str(row.pk), "name": row.name, "slug": row.slug, "status": row.status, "object": "organisation"}
    limits = {"usage_limits": limits_json(row), "rate_limits": row.rate_limits, **usage_json(row)}
    rules = budget_rules_json(row.budget_rules)
    return {
        **told,
        "block_inline": row.block_inline,
        "access": shown(row.access),
        **limits,
        "budget_rules": rules,
    }


def workspace_json(workspace: Workspace) -> Json:
    """Return a workspace as the API shows it."""
    is_default = int(workspace.is_default)
    return {
        "id": str(workspace.pk),
        "slug": workspace.slug,
        "name": workspace.name,
        "description": workspace.description or None,
        "organisation_id": str(workspace.organisation_id),
        "is_default": is_default,
        "payload_policy": workspace.payload_policy,
        "defaults": {"metadata": {}, **workspace.defaults, "is_default": is_default, "object": "workspace"},
        "usage_limits": [limits_json(workspace)] if workspace.usage_limits else [],
        **usage_json(workspace),
        "rate_limits": workspace.rate_limits,
        "created_at": iso(workspace.created_at),
        "last_updated_at": iso(workspace.last_updated_at),
        "object": "workspace",
    }


def member_json(member: WorkspaceMembership, org_role: str) -> Json:
    """Return a user of a workspace as the API shows them."""
    return {
        "object": "workspace-user",
        "id": str(member.user_id),
        "first_name": member.user.first_name,
        "last_name": member.user.last_name,
        "email": member.user.email,
        "org_role": org_role,
        "role": member.role_name,
        "status": "active",
        "workspace_id": str(member.workspace_id),
        "scopes": [],
        "settings": None,
        "created_at": iso(member.created_at),
        "last_updated_at": iso(member.last_updated_at),
    }


def members_json(workspace: Workspace) -> list[Json]:
    """Return all users of a workspace as the API shows them."""
    members = Membership.objects.select_related("custom_role").filter(organisation_id=workspace.organisation_id)
    roles = {member.user_id: member.role_name for member in members}
    return [
        member_json(member, roles.get(member.user_id, "member"))
        for member in workspace.memberships.select_related("user", "custom_role")
    ]
