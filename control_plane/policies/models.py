"""Policies; what is used of a budget is counted by `control_plane/budgets`."""

from decimal import Decimal
from typing import Any, ClassVar

from django.db import models
from django.db.models import F, Q

from control_plane.core.limits import COST
from control_plane.core.tenancy import TenantModel
from shared.money import NANO

LLM = "llm"
MCP_TOOLS = "mcp_tools"
TARGETS = ((LLM, "Calls of models"), (MCP_TOOLS, "Calls of tools"))
ACTIVE = "active"
ARCHIVED = "archived"
STATUSES = ((ACTIVE, "Active"), (ARCHIVED, "Archived"))


class Policy(TenantModel):
    """A limit for requests that match all of `conditions`; each tuple of `group_by` values is counted by itself.

    `workspace` None: it holds in all workspaces, and only callers of the whole organisation see it.
    """

    workspace_field: ClassVar[str | None] = "workspace_id"
    goes_with_workspace: ClassVar[Q | None] = Q(status=ARCHIVED)

    workspace = models.ForeignKey("orgs.Workspace", on_delete=models.PROTECT, null=True)
    name = models.CharField(max_length=255, null=True)
    description = models.TextField(blank=True)
    conditions = models.JSONField()
    group_by = models.JSONField()
    type = models.CharField(max_length=20)
    target = models.CharField(max_length=20, choices=TARGETS, default=LLM)
    status = models.CharField(max_length=20, choices=STATUSES, default=ACTIVE)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.name or str(self.pk)


class UsageLimitPolicy(Policy):
    """A budget; the limit and the threshold are nano-dollars when `type` is cost, else tokens or requests."""

    credit_limit = models.BigIntegerField()
    alert_threshold = models.BigIntegerField(null=True)
    periodic_reset = models.CharField(max_length=20, null=True)
    periodic_reset_days = models.PositiveSmallIntegerField(null=True)

    class Meta:
        ordering = ("id",)
        verbose_name_plural = "usage-limit policies"
        constraints = (
            models.CheckConstraint(condition=Q(credit_limit__gt=0), name="usage_policy_limit_positive"),
            models.CheckConstraint(
                condition=Q(alert_threshold__isnull=True)
                | Q(alert_threshold__gt=0, alert_threshold__lt=F("credit_limit")),
                name="usage_policy_threshold_below_limit",
            ),
            models.CheckConstraint(
                condition=Q(periodic_reset__isnull=True) | Q(periodic_reset_days__isnull=True),
                name="usage_policy_one_period",
            ),
        )

    def counted(self, stored: int) -> Decimal:
        """Return a stored number as callers count it: US dollars of cost, else as it is."""
        return Decimal(stored) / NANO if self.type == COST else Decimal(stored)


class RateLimitPolicy(Policy):
    """A number of requests or tokens in each minute, hour, day or week."""

    unit = models.CharField(max_length=3)
    value = models.BigIntegerField()

    class Meta:
        ordering = ("id",)
        verbose_name_plural = "rate-limit policies"
        constraints = (models.CheckConstraint(condition=Q(value__gt=0), name="rate_policy_value_positive"),)


Either = UsageLimitPolicy | RateLimitPolicy
Json = dict[str, Any]
