"""Configs and their versions."""

from typing import Any, ClassVar

from django.db import models
from django.db.models import Q

from control_plane.core.models import WrittenOnce
from control_plane.core.tenancy import WorkspaceModel
from shared.ids import make_slug, uuid7


def config_slug() -> str:
    """Return a new slug for a config."""
    return make_slug("pc")


class Config(WorkspaceModel):
    """A named config; `active` is the version that requests get."""

    slug = models.CharField(max_length=255, default=config_slug)
    name = models.CharField(max_length=255)
    is_default = models.BooleanField(default=False)
    status = models.CharField(max_length=20, choices=(("active", "Active"), ("archived", "Archived")), default="active")
    active = models.ForeignKey("ConfigVersion", on_delete=models.SET_NULL, null=True, related_name="+")
    owner_id = models.CharField(max_length=64, blank=True)
    updated_by = models.CharField(max_length=64, blank=True)

    class Meta:
        ordering = ("id",)
        verbose_name_plural = "configs"
        constraints = (
            # Requests name a config by slug, so two of one workspace would make routing ambiguous.
            models.UniqueConstraint(fields=("workspace", "slug"), name="config_slug_unique"),
            models.UniqueConstraint(fields=("workspace",), condition=Q(is_default=True), name="config_default_unique"),
        )

    def __str__(self) -> str:
        return self.slug

    @property
    def body(self) -> dict[str, Any]:
        """The active version's body."""
        return self.active.body if self.active else {}


class ConfigVersion(WrittenOnce):
    """One version of a config's body, written once: a log record that names it can always be explained."""

    workspace_field: ClassVar[str | None] = None

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    config = models.ForeignKey(Config, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    body = models.JSONField()
    created_by = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("-number",)
        constraints = (models.UniqueConstraint(fields=("config", "number"), name="config_version_unique"),)

    def __str__(self) -> str:
        return f"{self.config_id} version {self.number}"
