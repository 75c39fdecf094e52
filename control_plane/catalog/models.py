"""Custom providers, integrations and virtual keys."""

from datetime import datetime
from typing import ClassVar

from django.db import models
from django.utils import timezone

from control_plane.core.tenancy import TenantModel, WorkspaceModel
from control_plane.vault.models import VaultSecret


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

    `is_own` marks one that was made together with a virtual key and goes with it.
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

    def status_at(self, moment: datetime) -> str:
        """Return `active` or `expired` as of a moment."""
        return "expired" if self.expires_at is not None and self.expires_at <= moment else "active"

    @property
    def status(self) -> str:
        """The status now."""
        return self.status_at(timezone.now())
