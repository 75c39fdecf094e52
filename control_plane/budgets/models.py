"""How can many gateways share a budget without asking at every call, and never spend more than it has?

A gateway takes a `Lease`: a part of the budget that is set aside for it, from which its calls are paid.  What is set
aside and what was spent are together `Budget.committed`, and no grant lets that exceed the limit.  So it does not
matter how late, how often or in which order gateways tell what they spent: telling moves an amount from "set aside"
to "spent", and the sum stays.  What a gateway that dies had set aside stays so, until all its records are here and say
how much of it was really spent (`Charge`), or until somebody writes it off.

A lease is of one run of a gateway (`Holder`) and of one `window` of a budget.  Windows are numbered here, and begin
anew with every reset: no clock of a gateway is asked, so none that is off makes a window twice or leaves a gap.
"""

from decimal import Decimal
from typing import Any, ClassVar, Final

from django.db import models
from django.db.models import F, Q

from control_plane.core.limits import COST, POLICY_BUDGETS
from control_plane.core.tenancy import TenantModel
from shared.money import NANO

ACTIVE: Final = "active"
EXHAUSTED: Final = "exhausted"
STATUSES: Final = ((ACTIVE, "Active"), (EXHAUSTED, "Exhausted"))
#: Whose budget it is; `owner_id` is the id of that row.  Of an integration in one workspace it is the integration's,
#: of a token that stands for a key the workspace's.
KINDS: Final = (
    ("organisation", "Organisation"),
    ("workspace", "Workspace"),
    ("user", "User"),
    ("api_key", "API key"),
    ("token", "Token"),
    ("integration", "Integration"),
    ("integration_workspace", "Integration in a workspace"),
    ("virtual_key", "Provider"),
    ("policy", "Policy"),
)
#: More than any budget allows, and as much as a column holds with room to add: absurd numbers end here.
MOST: Final = 2**62


class Budget(TenantModel):
    """What may be used from one reset to the next, and what was used; nano-dollars when `unit` is cost, else counts.

    `limit` None: what it is of has no limit any more, and is counted no longer.  `value_key` tells the counters of a
    policy apart, such as `metadata._user:alice`, and those of tokens (`counters.py`); it is "" for all else.
    `committed` is what was spent and what leases set aside.  A call was refused until `scarce_until` for want of what
    others had set aside: they are asked for it.
    """

    workspace_field: ClassVar[str | None] = "workspace_id"

    workspace = models.ForeignKey("orgs.Workspace", on_delete=models.CASCADE, null=True)
    kind = models.CharField(max_length=30, choices=KINDS)
    owner_id = models.UUIDField()
    value_key = models.CharField(max_length=512, blank=True)
    name = models.CharField(max_length=255, blank=True)
    unit = models.CharField(max_length=20, choices=[(name, name) for name in POLICY_BUDGETS], default=COST)
    limit = models.BigIntegerField(null=True)
    threshold = models.BigIntegerField(null=True)
    periodic_reset = models.CharField(max_length=20, null=True)
    periodic_reset_days = models.PositiveSmallIntegerField(null=True)
    next_reset_at = models.DateTimeField(null=True)
    last_reset_at = models.DateTimeField(null=True)
    window = models.PositiveIntegerField(default=1)
    spent = models.BigIntegerField(default=0)
    committed = models.BigIntegerField(default=0)
    status = models.CharField(max_length=20, choices=STATUSES, default=ACTIVE)
    is_threshold_alerts_sent = models.BooleanField(default=False)
    is_exhausted_alerts_sent = models.BooleanField(default=False)
    scarce_until = models.DateTimeField(null=True)

    class Meta:
        ordering = ("id",)
        indexes = (
            models.Index(fields=("next_reset_at",), name="budget_due", condition=Q(next_reset_at__isnull=False)),
            models.Index(fields=("kind", "owner_id"), name="budget_by_owner"),
        )
        constraints = (
            # Two rows would let the same caller spend the budget twice.
            models.UniqueConstraint(
                fields=("organisation", "kind", "owner_id", "workspace", "value_key"),
                nulls_distinct=False,
                name="budget_unique",
            ),
            models.CheckConstraint(condition=Q(limit__isnull=True) | Q(limit__gt=0), name="budget_limit_positive"),
            models.CheckConstraint(condition=Q(spent__gte=0, committed__gte=F("spent")), name="budget_adds_up"),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.owner_id} {self.value_key}".strip()

    def counted(self, stored: int) -> Decimal:
        """Return a stored number as callers count it: US dollars of cost, else as it is."""
        return Decimal(stored) / NANO if self.unit == COST else Decimal(stored)


class Holder(models.Model):
    """One run of a gateway, which holds leases.  `seq` is the last report that was taken from it.

    `is_open`: it may still spend.  What an ended one holds stays set aside until all its records are here
    (`is_settled`).
    """

    id = models.UUIDField(primary_key=True)
    group_id = models.UUIDField()
    instance = models.CharField(max_length=64)
    seq = models.BigIntegerField(default=0)
    is_open = models.BooleanField(default=True)
    is_settled = models.BooleanField(default=False)
    started_at = models.DateTimeField(auto_now_add=True)
    last_at = models.DateTimeField()

    class Meta:
        indexes = (
            models.Index(fields=("group_id", "instance"), name="holder_unsettled", condition=Q(is_settled=False)),
            models.Index(fields=("last_at",), name="holder_silent", condition=Q(is_settled=False)),
        )

    def __str__(self) -> str:
        return f"{self.instance} since {self.started_at}"


class Lease(models.Model):
    """What one run of a gateway holds of one window of a budget, all of it since the window began.

    `granted` is how far it may spend, `reported` what it says that it has spent, `recorded` what its records say.
    While `is_open`, it counts as the largest of the three, afterwards as the larger of the last two.
    """

    budget = models.ForeignKey(Budget, on_delete=models.CASCADE, related_name="leases")
    window = models.PositiveIntegerField()
    holder = models.ForeignKey(Holder, on_delete=models.CASCADE, related_name="leases")
    granted = models.BigIntegerField(default=0)
    reported = models.BigIntegerField(default=0)
    recorded = models.BigIntegerField(default=0)
    is_open = models.BooleanField(default=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("budget", "window", "holder"), name="lease_unique"),)

    def __str__(self) -> str:
        return f"{self.holder_id} holds {self.granted} of {self.budget_id}"

    @property
    def spent(self) -> int:
        """What was spent, as far as it is known."""
        return max(self.reported, self.recorded)

    @property
    def committed(self) -> int:
        """What of the budget nobody else can have."""
        return max(self.granted, self.spent) if self.is_open else self.spent


class Charge(models.Model):
    """What the records of one batch took from a lease; waits to be added to it.

    Rows are only ever added while records are stored, so that gateways which ship at once wait for nothing.
    """

    id = models.BigAutoField(primary_key=True)
    organisation_id = models.UUIDField()
    budget_id = models.UUIDField()
    window = models.PositiveIntegerField()
    holder_id = models.UUIDField()
    amount = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.amount} of {self.budget_id}"


EVENTS: Final = (("threshold", "Threshold reached"), ("exhausted", "Exhausted"))


class BudgetEvent(TenantModel):
    """A budget's threshold or limit was reached in a window: once each, however often it is told.

    `spent` and `limit` are as they were then.
    """

    workspace_field: ClassVar[str | None] = "workspace_id"

    workspace = models.ForeignKey("orgs.Workspace", on_delete=models.CASCADE, null=True)
    budget = models.ForeignKey(Budget, on_delete=models.CASCADE, related_name="events")
    window = models.PositiveIntegerField()
    what = models.CharField(max_length=20, choices=EVENTS)
    spent = models.BigIntegerField()
    limit = models.BigIntegerField()
    #: Raising the limit, and reaching it again, is another event of the same window.
    number = models.PositiveIntegerField(default=1)
    is_dispatched = models.BooleanField(default=False)

    class Meta:
        ordering = ("id",)
        indexes = (models.Index(fields=("id",), name="event_waiting", condition=Q(is_dispatched=False)),)
        constraints = (
            models.UniqueConstraint(fields=("budget", "window", "what", "number"), name="budget_event_once"),
        )

    def __str__(self) -> str:
        return f"{self.what} of {self.budget_id}"


Json = dict[str, Any]
