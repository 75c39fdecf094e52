"""Where do people want to be told of budgets, and what became of each message?"""

from typing import ClassVar, Final

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from control_plane.budgets.models import EVENTS
from control_plane.core.sealed import SealedModel
from control_plane.core.tenancy import TenantModel

EMAIL: Final = "email"
WEBHOOK: Final = "webhook"
SLACK: Final = "slack"
CHANNELS: Final = ((WEBHOOK, "Webhook"), (SLACK, "Slack"), (EMAIL, "E-mail"))
EVENT_NAMES: Final = tuple(name for name, _ in EVENTS)

PENDING: Final = "pending"
SENT: Final = "sent"
FAILED: Final = "failed"
STATUSES: Final = ((PENDING, "To be sent"), (SENT, "Sent"), (FAILED, "Given up"))
MAX_ADDRESS_CHARS: Final = 2048


class Destination(SealedModel, TenantModel):
    """Where an organisation wants to be told of its budgets, or of those of one workspace.

    `address` is how people see it: an e-mail address, or the host of a URL.  The whole URL,
    and the secret that signs what is sent there (`is_signed`), are sealed.
    """

    workspace_field: ClassVar[str | None] = "workspace_id"
    goes_with_workspace: ClassVar[Q | None] = Q(pk__isnull=False)

    workspace = models.ForeignKey("orgs.Workspace", on_delete=models.PROTECT, null=True)
    name = models.CharField(max_length=255)
    type = models.CharField(max_length=20, choices=CHANNELS)
    address = models.CharField(max_length=MAX_ADDRESS_CHARS)
    is_signed = models.BooleanField(default=False)
    events = ArrayField(models.CharField(max_length=20, choices=EVENTS))
    is_enabled = models.BooleanField(default=True)

    class Meta:
        ordering = ("id",)
        verbose_name = "alert destination"
        indexes = (models.Index(fields=("organisation", "id"), name="destination_by_organisation"),)

    def __str__(self) -> str:
        return self.name


class Delivery(TenantModel):
    """One message to one place: sent once, or given up after some attempts.

    `target` tells places apart: an e-mail address, or the id of the destination.  While `pending`, it is due at
    `next_attempt_at`; whoever sends it moves that on first, so that nobody else does.  `event` None: a test, or its
    budget is gone.
    """

    workspace_field: ClassVar[str | None] = "workspace_id"

    workspace = models.ForeignKey("orgs.Workspace", on_delete=models.CASCADE, null=True)
    event = models.ForeignKey("budgets.BudgetEvent", on_delete=models.SET_NULL, null=True, related_name="deliveries")
    destination = models.ForeignKey(Destination, on_delete=models.CASCADE, null=True, related_name="deliveries")
    channel = models.CharField(max_length=20, choices=CHANNELS)
    address = models.CharField(max_length=MAX_ADDRESS_CHARS)
    target = models.CharField(max_length=320)
    message = models.JSONField()
    status = models.CharField(max_length=20, choices=STATUSES, default=PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True)
    sent_at = models.DateTimeField(null=True)
    fault = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ("-id",)
        verbose_name_plural = "deliveries"
        indexes = (
            models.Index(fields=("next_attempt_at",), name="delivery_due", condition=Q(status=PENDING)),
            models.Index(fields=("organisation", "-id"), name="delivery_newest"),
            models.Index(fields=("destination", "-id"), name="delivery_newest_there"),
        )
        constraints = (
            # Two rows would tell the same people of the same crossing twice.
            models.UniqueConstraint(fields=("event", "channel", "target"), name="delivery_once"),
        )

    def __str__(self) -> str:
        return f"{self.channel} to {self.address}: {self.status}"
