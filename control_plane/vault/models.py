"""Provider credentials, encrypted."""

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
