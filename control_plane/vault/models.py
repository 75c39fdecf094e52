"""Provider credentials, encrypted, and references to secrets that are kept elsewhere."""

from typing import ClassVar

from django.db import models

from control_plane.core.tenancy import TenantModel


class VaultSecret(TenantModel):
    """One credential; `version` counts its values, `masked` is what people may see of it.

    `key_id` names the Fernet key that encrypted it.
    """

    workspace_field: ClassVar[str | None] = None

    ciphertext = models.TextField()
    masked = models.CharField(max_length=80)
    version = models.PositiveIntegerField(default=1)
    key_id = models.CharField(max_length=16, db_index=True)

    def __str__(self) -> str:
        return f"secret {self.pk}"


class SecretReference(TenantModel):
    """Where a secret is kept outside: in which secret manager, how to sign in there, and under which name.

    `auth_config` has what is not secret of the sign-in; the rest is in `secret`, bound to the manager's hosts.  With
    `allow_all_workspaces` False, only `allowed_workspaces` may use it.
    """

    name = models.CharField(max_length=255)
    slug = models.CharField(max_length=255)
    description = models.TextField(blank=True)
    manager_type = models.CharField(max_length=20)
    auth_config = models.JSONField(default=dict)
    secret = models.OneToOneField(VaultSecret, on_delete=models.PROTECT, null=True)
    secret_path = models.CharField(max_length=1024)
    secret_key = models.CharField(max_length=255, blank=True)
    allow_all_workspaces = models.BooleanField(default=True)
    allowed_workspaces = models.ManyToManyField("orgs.Workspace", related_name="+")
    tags = models.JSONField(null=True)
    created_by = models.CharField(max_length=255)

    class Meta:
        ordering = ("id",)
        constraints = (models.UniqueConstraint(fields=("organisation", "slug"), name="secret_reference_slug_unique"),)

    def __str__(self) -> str:
        return self.slug
