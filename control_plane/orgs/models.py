"""Organisations, workspaces, and who belongs to them in which role."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from control_plane.core.tenancy import TenantModel
from shared.ids import make_slug, uuid7

ORGANISATION_ROLES = (("owner", "Owner"), ("admin", "Admin"), ("member", "Member"))
WORKSPACE_ROLES = (("admin", "Admin"), ("manager", "Manager"), ("member", "Member"))
PAYLOAD_POLICIES = (("full", "Full"), ("metrics", "Metrics only"), ("gateway", "Kept at the gateway"))


def workspace_slug() -> str:
    """Return a new slug for a workspace."""
    return make_slug("ws")


class Organisation(models.Model):
    """A tenant.  `block_inline` is saved-only mode: requests may name saved configs and providers only."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=255)
    slug = models.SlugField(max_length=255, unique=True)
    block_inline = models.BooleanField(default=True)
    status = models.CharField(max_length=20, default="active")
    created_at = models.DateTimeField(auto_now_add=True)
    last_updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class Workspace(TenantModel):
    """A team's share of an organisation; `payload_policy` says what becomes of request and answer bodies."""

    workspace_field: ClassVar[str | None] = "id"

    slug = models.SlugField(max_length=255, default=workspace_slug)
    name = models.CharField(max_length=255)
    description = models.TextField(blank=True)
    is_default = models.BooleanField(default=False)
    payload_policy = models.CharField(max_length=20, choices=PAYLOAD_POLICIES, default="full")
    defaults = models.JSONField(default=dict)
    usage_limits = models.JSONField(null=True)
    rate_limits = models.JSONField(default=list)

    class Meta:
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(fields=("organisation", "slug"), name="workspace_slug_unique"),
            # Requests that name no workspace mean this one, so there can be only one.
            models.UniqueConstraint(
                fields=("organisation",), condition=Q(is_default=True), name="workspace_default_unique"
            ),
        )

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """A user's role in an organisation."""

    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=20, choices=ORGANISATION_ROLES)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("id",)
        constraints = (models.UniqueConstraint(fields=("organisation", "user"), name="membership_unique"),)

    def __str__(self) -> str:
        return f"{self.user_id} in {self.organisation_id}: {self.role}"


class WorkspaceMembership(models.Model):
    """A user's role in a workspace of an organisation that they belong to."""

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="workspace_memberships")
    role = models.CharField(max_length=20, choices=WORKSPACE_ROLES, default="member")
    created_at = models.DateTimeField(auto_now_add=True)
    last_updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("id",)
        constraints = (models.UniqueConstraint(fields=("workspace", "user"), name="workspace_membership_unique"),)

    def __str__(self) -> str:
        return f"{self.user_id} in {self.workspace_id}: {self.role}"
