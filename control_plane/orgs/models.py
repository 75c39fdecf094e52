"""Organisations, workspaces, and who belongs to them in which role."""

from typing import ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone

from control_plane.core.sealed import SealedModel
from control_plane.core.tenancy import TenantModel
from shared.ids import make_slug, uuid7

ORGANISATION_ROLES = (("owner", "Owner"), ("admin", "Admin"), ("member", "Member"))
WORKSPACE_ROLES = (("admin", "Admin"), ("manager", "Manager"), ("member", "Member"))
INVITED_ROLES = ORGANISATION_ROLES[1:]
ROLE_LEVELS = (("organisation", "Organisation"), ("workspace", "Workspace"))
TOKEN_AUTH_METHODS = (
    ("client_secret_basic", "Secret in the Authorization header"),
    ("client_secret_post", "Secret in the form"),
    ("private_key_jwt", "Signed assertion"),
)
PAYLOAD_POLICIES = (("full", "Full"), ("metrics", "Metrics only"), ("gateway", "Kept at the gateway"))


def workspace_slug() -> str:
    """Return a new slug for a workspace."""
    return make_slug("ws")


class Organisation(models.Model):
    """A tenant.  `block_inline` is saved-only mode: requests may name saved configs and providers only.

    `access` holds the switches of `core/roles.py` that somebody has set, `defaults` the guardrails of every request,
    `budget_rules` what is said of calls under a budget (`limits.py`).
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=255)
    slug = models.SlugField(max_length=255, unique=True)
    block_inline = models.BooleanField(default=True)
    access = models.JSONField(default=dict)
    defaults = models.JSONField(default=dict)
    usage_limits = models.JSONField(null=True)
    rate_limits = models.JSONField(default=list)
    budget_rules = models.JSONField(default=dict)
    status = models.CharField(max_length=20, default="active")
    created_at = models.DateTimeField(auto_now_add=True)
    last_updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class Workspace(TenantModel):
    """A team's share of an organisation; `payload_policy` says what becomes of request and answer bodies.

    `access` holds switches that win over the organisation's.  Where it is excluded, the organisation's default
    guardrails do not hold.
    """

    workspace_field: ClassVar[str | None] = "id"

    slug = models.SlugField(max_length=255, default=workspace_slug)
    name = models.CharField(max_length=255)
    description = models.TextField(blank=True)
    is_default = models.BooleanField(default=False)
    payload_policy = models.CharField(max_length=20, choices=PAYLOAD_POLICIES, default="full")
    access = models.JSONField(default=dict)
    defaults = models.JSONField(default=dict)
    usage_limits = models.JSONField(null=True)
    rate_limits = models.JSONField(default=list)
    excludes_input_guardrails = models.BooleanField(default=False)
    excludes_output_guardrails = models.BooleanField(default=False)

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


class Role(TenantModel):
    """A role that an organisation made; `level` says whether it is one of the organisation or of workspaces.

    `own_data_only`: its people see the data of their own keys only.
    """

    slug = models.SlugField(max_length=255)
    name = models.CharField(max_length=255)
    description = models.TextField(blank=True)
    level = models.CharField(max_length=20, choices=ROLE_LEVELS)
    scopes = ArrayField(models.CharField(max_length=80), default=list)
    own_data_only = models.BooleanField(default=False)

    class Meta:
        ordering = ("name",)
        constraints = (models.UniqueConstraint(fields=("organisation", "slug"), name="role_slug_unique"),)

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """A user's role in an organisation, and how much of it they may use; a custom role goes with the word `member`."""

    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=20, choices=ORGANISATION_ROLES)
    custom_role = models.ForeignKey(Role, on_delete=models.PROTECT, null=True, related_name="+")
    usage_limits = models.JSONField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("id",)
        constraints = (models.UniqueConstraint(fields=("organisation", "user"), name="membership_unique"),)

    def __str__(self) -> str:
        return f"{self.user_id} in {self.organisation_id}: {self.role}"

    @property
    def role_name(self) -> str:
        """What people and the API call the role."""
        return self.custom_role.slug if self.custom_role else self.role


class WorkspaceMembership(models.Model):
    """A user's role in a workspace of an organisation that they belong to; a custom one goes with the word `member`."""

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="workspace_memberships")
    role = models.CharField(max_length=20, choices=WORKSPACE_ROLES, default="member")
    custom_role = models.ForeignKey(Role, on_delete=models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    last_updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("id",)
        constraints = (models.UniqueConstraint(fields=("workspace", "user"), name="workspace_membership_unique"),)

    def __str__(self) -> str:
        return f"{self.user_id} in {self.workspace_id}: {self.role}"

    @property
    def role_name(self) -> str:
        """What people and the API call the role."""
        return self.custom_role.slug if self.custom_role else self.role


class DepartedMember(models.Model):
    """Somebody whom this organisation removed: single sign-on does not bring them back, an invite does."""

    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("organisation", "user"), name="departed_member_unique"),)

    def __str__(self) -> str:
        return f"{self.user_id} left {self.organisation_id}"


class Invite(TenantModel):
    """An invitation to join; only the hash of its link's token is stored.

    `workspaces` is a list of `{id, role}`, `key_scopes` the scopes of the API key that is made in each of them.
    """

    email = models.EmailField()
    role = models.CharField(max_length=20, choices=INVITED_ROLES)
    workspaces = models.JSONField(default=list)
    key_scopes = ArrayField(models.CharField(max_length=80), null=True)
    token_hash = models.CharField(max_length=64, unique=True)
    invited_by = models.CharField(max_length=64)
    invited_by_name = models.CharField(max_length=255)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True)
    cancelled_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(
                fields=("organisation", "email"),
                condition=Q(accepted_at__isnull=True, cancelled_at__isnull=True),
                name="invite_open_unique",
            ),
        )

    def __str__(self) -> str:
        return f"invite of {self.email}"

    @property
    def status(self) -> str:
        """Return `accepted`, `cancelled`, `expired` or `pending`, as of now."""
        if self.accepted_at is not None:
            return "accepted"
        if self.cancelled_at is not None:
            return "cancelled"
        return "expired" if self.expires_at <= timezone.now() else "pending"


class SignInRules(TenantModel):
    """What an organisation demands of its people's sign-ins; without a row, nothing."""

    require_second_factor = models.BooleanField(default=False)
    sso_only = models.BooleanField(default=False)
    disable_auto_provision_user = models.BooleanField(default=False)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("organisation",), name="sign_in_rules_unique"),)

    def __str__(self) -> str:
        return f"sign-in rules of {self.organisation_id}"


class IdentityProvider(SealedModel, TenantModel):
    """The OpenID provider of an organisation; the secret is its client secret, or the PEM key that signs assertions."""

    issuer = models.URLField(max_length=500)
    client_id = models.CharField(max_length=255)
    token_endpoint_auth_method = models.CharField(
        max_length=40, choices=TOKEN_AUTH_METHODS, default="client_secret_basic"
    )
    is_enabled = models.BooleanField(default=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("organisation",), name="identity_provider_unique"),)

    def __str__(self) -> str:
        return self.issuer


class Domain(TenantModel):
    """A domain of e-mail addresses that an organisation claims, and owns once `verified_at` is set."""

    name = models.CharField(max_length=253)
    token = models.CharField(max_length=64)
    verified_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("name",)
        constraints = (
            models.UniqueConstraint(fields=("organisation", "name"), name="domain_claim_unique"),
            # Whose provider vouches for an address must have one answer.
            models.UniqueConstraint(
                fields=("name",), condition=Q(verified_at__isnull=False), name="domain_owner_unique"
            ),
        )

    def __str__(self) -> str:
        return self.name


class ExternalIdentity(models.Model):
    """Who a person is at an identity provider: `subject` stays the same when their address changes there."""

    provider = models.ForeignKey(IdentityProvider, on_delete=models.CASCADE, related_name="identities")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="external_identities")
    issuer = models.CharField(max_length=500)
    subject = models.CharField(max_length=255)
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("provider", "issuer", "subject"), name="external_subject_unique"),
            models.UniqueConstraint(fields=("provider", "issuer", "user"), name="external_user_unique"),
        )

    def __str__(self) -> str:
        return f"{self.user_id} at {self.issuer}"


class TokenKeys(TenantModel):
    """The public keys that sign tokens (JWT) in the place of API keys; `keys` is a list of `{kid, n, e}`.

    `uri`: where they are published and read again; `fault`: why that did not work the last time.
    """

    uri = models.CharField(max_length=2048, blank=True)
    keys = models.JSONField(default=list)
    fetched_at = models.DateTimeField(null=True)
    fault = models.TextField(blank=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("organisation",), name="token_keys_unique"),)

    def __str__(self) -> str:
        return f"token keys of {self.organisation_id}"
