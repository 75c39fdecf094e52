"""Custom providers, integrations with their models and workspaces, and virtual keys."""

from datetime import datetime
from typing import ClassVar

from django.db import models
from django.utils import timezone

from control_plane.budgets.usage import is_exhausted
from control_plane.core.tenancy import TenantModel, WorkspaceModel
from control_plane.vault.models import SecretReference, VaultSecret


class CustomProvider(TenantModel):
    """A provider that the organisation added: where its host is, and what of OpenAI's API it speaks.

    `auth` None: it takes no credential; the other objects are as in `CustomProviderRow`.
    """

    slug = models.CharField(max_length=80)
    name = models.CharField(max_length=255)
    base_url = models.CharField(max_length=2048)
    auth = models.JSONField(null=True)
    headers = models.JSONField(default=dict)
    endpoints = models.JSONField(default=dict)
    parameters = models.JSONField(default=dict)
    streams_usage = models.BooleanField(default=True)
    price_source = models.CharField(max_length=80, blank=True)

    class Meta:
        ordering = ("id",)
        constraints = (models.UniqueConstraint(fields=("organisation", "slug"), name="custom_provider_slug_unique"),)

    def __str__(self) -> str:
        return self.slug


class Integration(TenantModel):
    """An account with a provider.  `workspace` None: it belongs to the organisation as a whole.

    `is_own` marks one that was made together with a virtual key and goes with it.  `global_access`: workspaces that
    nothing else is said of may use it; `global_usage_limits` and `global_rate_limits` are for each of these, while
    `usage_limits` and `rate_limits` are for all of them together.
    """

    workspace_field: ClassVar[str | None] = "workspace_id"

    workspace = models.ForeignKey("orgs.Workspace", on_delete=models.PROTECT, null=True)
    ai_provider_id = models.CharField(max_length=80)
    slug = models.CharField(max_length=255)
    name = models.CharField(max_length=255)
    description = models.TextField(blank=True)
    configurations = models.JSONField(default=dict)
    secret = models.OneToOneField(VaultSecret, on_delete=models.PROTECT, null=True)
    status = models.CharField(max_length=20, default="active")
    allow_all_models = models.BooleanField(default=True)
    is_own = models.BooleanField(default=False)
    pricing_adjustments = models.JSONField(null=True)
    usage_limits = models.JSONField(null=True)
    rate_limits = models.JSONField(default=list)
    global_access = models.BooleanField(default=False)
    global_usage_limits = models.JSONField(null=True)
    global_rate_limits = models.JSONField(default=list)

    class Meta:
        ordering = ("id",)
        constraints = (models.UniqueConstraint(fields=("organisation", "slug"), name="integration_slug_unique"),)

    def __str__(self) -> str:
        return self.slug

    @property
    def masked_key(self) -> str | None:
        """What people may see of the key; None when there is none."""
        return self.secret.masked if self.secret else None

    @property
    def custom_host(self) -> str | None:
        """The base URL that replaces the provider's own."""
        host = self.configurations.get("custom_host")
        return str(host) if host else None


class IntegrationModel(TenantModel):
    """What was said of one model of an integration; the others are as `allow_all_models` says.

    `configurations` may hold `custom_host` and `custom_headers`, `pricing_config` is as the API has it.
    """

    integration = models.ForeignKey(Integration, on_delete=models.CASCADE, related_name="models")
    slug = models.CharField(max_length=255)
    enabled = models.BooleanField(default=True)
    is_custom = models.BooleanField(default=False)
    is_finetune = models.BooleanField(default=False)
    base_model_slug = models.CharField(max_length=255, blank=True)
    configurations = models.JSONField(default=dict)
    pricing_config = models.JSONField(null=True)

    class Meta:
        ordering = ("slug",)
        constraints = (models.UniqueConstraint(fields=("integration", "slug"), name="integration_model_unique"),)

    def __str__(self) -> str:
        return self.slug


class SaidPrice(TenantModel):
    """What was said of the price of one model of an integration, or ("") of all of them; never changed afterwards.

    `prices` are in the API's words: those of one model, or multipliers; None: the list price again.
    """

    integration = models.ForeignKey(Integration, on_delete=models.CASCADE, related_name="said_prices")
    model = models.CharField(max_length=255, blank=True)
    valid_from = models.DateTimeField()
    prices = models.JSONField(null=True)

    class Meta:
        ordering = ("created_at", "id")
        indexes = (models.Index(fields=("integration", "model"), name="said_price_by_model"),)

    def __str__(self) -> str:
        return f"{self.model or 'all models'} from {self.valid_from:%Y-%m-%d}"


class IntegrationAccess(TenantModel):
    """Whether one workspace may use an integration of the organisation, and how much of it."""

    workspace_field: ClassVar[str | None] = "workspace_id"

    integration = models.ForeignKey(Integration, on_delete=models.CASCADE, related_name="accesses")
    workspace = models.ForeignKey("orgs.Workspace", on_delete=models.CASCADE)
    enabled = models.BooleanField()
    usage_limits = models.JSONField(null=True)
    rate_limits = models.JSONField(default=list)

    class Meta:
        ordering = ("id",)
        constraints = (models.UniqueConstraint(fields=("integration", "workspace"), name="integration_access_unique"),)

    def __str__(self) -> str:
        return f"{self.integration_id} in {self.workspace_id}"


class SecretMapping(TenantModel):
    """A field of an integration whose value is in a secret manager, and is not kept here.

    `target_field` is `key` or `configurations.<setting>`; `value_format` "" is like `string`.
    """

    integration = models.ForeignKey(Integration, on_delete=models.CASCADE, related_name="mappings")
    reference = models.ForeignKey(SecretReference, on_delete=models.PROTECT, related_name="mappings")
    target_field = models.CharField(max_length=120)
    secret_key = models.CharField(max_length=255, blank=True)
    value_format = models.CharField(max_length=10, blank=True)

    class Meta:
        ordering = ("target_field",)
        constraints = (
            models.UniqueConstraint(fields=("integration", "target_field"), name="secret_mapping_target_unique"),
        )

    def __str__(self) -> str:
        return self.target_field


class VirtualKey(WorkspaceModel):
    """An integration under a name that requests of one workspace use; the contract calls it a provider too."""

    slug = models.CharField(max_length=255)
    integration = models.ForeignKey(Integration, on_delete=models.PROTECT, related_name="virtual_keys")
    name = models.CharField(max_length=255)
    note = models.TextField(blank=True)
    usage_limits = models.JSONField(null=True)
    rate_limits = models.JSONField(default=list)
    expires_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("id",)
        verbose_name_plural = "virtual keys"
        constraints = (
            # Requests name a virtual key by slug, so two of one workspace would make routing ambiguous.
            models.UniqueConstraint(fields=("workspace", "slug"), name="virtual_key_slug_unique"),
        )

    def __str__(self) -> str:
        return self.slug

    @property
    def has_access(self) -> bool:
        """Whether the workspace may use the integration, as `access.with_access` found; a row just made may."""
        return bool(getattr(self, "is_open", True))

    def status_at(self, moment: datetime) -> str:
        """Return `active`, or why it cannot be used at a moment.

        `disabled`: its integration may not be used here; `expired`; `exhausted`, as `with_usage` has found.
        """
        if not self.has_access or self.integration.status != "active":
            return "disabled"
        if self.expires_at is not None and self.expires_at <= moment:
            return "expired"
        return "exhausted" if is_exhausted(self) else "active"

    @property
    def status(self) -> str:
        """The status now."""
        return self.status_at(timezone.now())
