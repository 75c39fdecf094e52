"""API keys; only hashes of their secrets are stored."""

from datetime import datetime, timedelta
from typing import ClassVar, Final

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone

from control_plane.budgets.usage import is_exhausted
from control_plane.core.scopes import KEY_TYPES, ORGANISATION_KEY
from control_plane.core.sealed import SealedModel
from control_plane.core.tenancy import TenantModel

#: How exactly the last use of a key is known.
USED_GRAIN: Final = timedelta(minutes=1)


class ApiKey(SealedModel, TenantModel):
    """A key that callers present; its id is part of its text.

    During a rotation the old secret is valid too, until `previous_expires_at`.  `rotate_at` is when the key gets a new
    secret by itself; that one waits in the row, sealed, until somebody collects it.
    """

    workspace_field: ClassVar[str | None] = "workspace_id"

    workspace = models.ForeignKey("orgs.Workspace", on_delete=models.PROTECT, null=True)
    type = models.CharField(max_length=40, choices=[(name, name) for name in KEY_TYPES])
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True)
    name = models.CharField(max_length=255)
    description = models.TextField(blank=True)
    secret_hash = models.CharField(max_length=64)
    masked = models.CharField(max_length=40)
    previous_hash = models.CharField(max_length=64, blank=True)
    previous_expires_at = models.DateTimeField(null=True)
    scopes = ArrayField(models.CharField(max_length=80), default=list)
    defaults = models.JSONField(default=dict)
    usage_limits = models.JSONField(null=True)
    rate_limits = models.JSONField(default=list)
    alert_emails = ArrayField(models.EmailField(), default=list)
    rotation_policy = models.JSONField(null=True)
    rotate_at = models.DateTimeField(null=True)
    allowed_ips = ArrayField(models.CharField(max_length=64), null=True)
    allowed_models = ArrayField(models.CharField(max_length=512), null=True)
    creation_mode = models.CharField(max_length=10, default="api")
    expires_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("id",)
        verbose_name_plural = "API keys"
        indexes = (
            models.Index(fields=("rotate_at",), name="api_key_rotate_at", condition=Q(rotate_at__isnull=False)),
            models.Index(fields=("organisation", "-id"), name="api_key_newest"),
            models.Index(fields=("workspace", "-id"), name="api_key_newest_of_workspace"),
        )
        constraints = (
            # A key without a workspace reaches the whole organisation: only the one type may lack it.
            models.CheckConstraint(
                condition=Q(type=ORGANISATION_KEY, workspace__isnull=True)
                | (~Q(type=ORGANISATION_KEY) & Q(workspace__isnull=False)),
                name="api_key_workspace_fits_type",
            ),
        )

    def __str__(self) -> str:
        return self.masked

    @property
    def status(self) -> str:
        """Return `expired`, `exhausted` (as `with_usage` has found) or `active`, as of now."""
        if self.expires_at is not None and self.expires_at <= timezone.now():
            return "expired"
        return "exhausted" if is_exhausted(self) else "active"

    def hashes_at(self, moment: datetime) -> tuple[str, ...]:
        """Return the hashes of the secrets that are valid at a moment: one, or two during a rotation."""
        if self.previous_hash and self.previous_expires_at is not None and self.previous_expires_at > moment:
            return (self.secret_hash, self.previous_hash)
        return (self.secret_hash,)
