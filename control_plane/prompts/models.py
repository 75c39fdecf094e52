"""Labels of prompts' versions, and the collections that prompts are kept in."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q

from control_plane.core.tenancy import TenantModel, WorkspaceModel

STATUSES = (("active", "Active"), ("archived", "Archived"))


class Label(TenantModel):
    """A name that a version of a prompt is called by.  `workspace` None: it is universal, for every workspace.

    `is_builtin` marks those that an organisation begins with.
    """

    workspace_field: ClassVar[str | None] = "workspace_id"
    is_shared: ClassVar[bool] = True

    workspace = models.ForeignKey("orgs.Workspace", on_delete=models.PROTECT, null=True)
    name = models.CharField(max_length=100)
    description = models.TextField(blank=True)
    color_code = models.CharField(max_length=7, blank=True)
    is_builtin = models.BooleanField(default=False)
    status = models.CharField(max_length=20, choices=STATUSES, default="active")

    class Meta:
        ordering = ("id",)
        verbose_name_plural = "labels"
        constraints = (
            # A version is asked for by its label's name, so a name must mean one label.
            models.UniqueConstraint(fields=("workspace", "name"), name="label_of_workspace_unique"),
            models.UniqueConstraint(
                fields=("organisation", "name"), condition=Q(workspace__isnull=True), name="label_universal_unique"
            ),
        )

    def __str__(self) -> str:
        return self.name


class Collection(WorkspaceModel):
    """A folder of prompts in another one (`parent` None: at the top); a workspace begins with its default one."""

    goes_with_workspace: ClassVar[Q | None] = Q(is_default=True)

    parent = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="children")
    slug = models.CharField(max_length=255)
    name = models.CharField(max_length=255)
    is_default = models.BooleanField(default=False)
    status = models.CharField(max_length=20, choices=STATUSES, default="active")

    class Meta:
        ordering = ("id",)
        verbose_name_plural = "collections"
        constraints = (
            models.UniqueConstraint(fields=("workspace", "slug"), name="collection_slug_unique"),
            # Prompts that name no collection go into this one, so there can be only one.
            models.UniqueConstraint(
                fields=("workspace",), condition=Q(is_default=True), name="collection_default_unique"
            ),
            # Longer cycles are refused by the service, which sees the whole tree.
            models.CheckConstraint(
                condition=Q(parent__isnull=True) | ~Q(parent=F("id")), name="collection_not_in_itself"
            ),
            models.CheckConstraint(
                condition=Q(is_default=False) | Q(parent__isnull=True), name="collection_default_at_top"
            ),
        )

    def __str__(self) -> str:
        return self.name
