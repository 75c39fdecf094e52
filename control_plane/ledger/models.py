"""How do totals stay equal to the sum of the records, while many gateways ship at once?

A trigger of the records' table adds a `Delta` for every hour and key that a statement touched, in that statement's own
transaction: records and deltas are there together or not at all, and as deltas are only ever added, gateways that
ship at once wait for nothing.  Folding moves deltas into `RollUp` rows, in one transaction as well.  So at any moment,
`Total` (roll-ups and deltas, seen at once) is what was ever stored; folding makes it fast, never right.

Upserting roll-ups while records are stored was weighed: gateways that ship for the same keys would queue up for the
same rows, or deadlock.  So was summing an hour anew whenever it was touched: a late record of an hour whose partition
was dropped would wipe out that hour's total, and a busy hour would be read again each minute.  Here a dropped
partition changes nothing, and each record is read once, when it is in memory anyway.

Sums are numerics: the largest numbers that a record may hold would overflow a bigint, and the batch would be refused
for ever.
"""

from typing import Any, ClassVar, Final

from django.db import models

from control_plane.core.models import WrittenOnce
from control_plane.core.tenancy import TenantModel
from shared.ids import uuid7

#: What totals are kept by, beside organisation and hour.
DIMENSIONS: Final = (
    "workspace_id", "api_key_id", "user_ref", "integration", "virtual_key", "provider", "model",
)  # fmt: skip
#: What is counted; tokens, money and times are sums of the records' columns of the same name.
MEASURES: Final = (
    "requests", "errors", "unpriced", "estimated", "tok_in", "tok_out", "tok_in_cache_read", "tok_in_cache_write",
    "tok_out_reasoning", "cost_nano", "saved_nano", "lat_ms", "upstream_ms", "gw_us",
)  # fmt: skip


def _whole() -> "models.DecimalField[Any, Any]":
    """Return a column for a whole number of any size that sums of bigints reach."""
    return models.DecimalField(max_digits=38, decimal_places=0, default=0)


class Counted(models.Model):
    """Counts of one UTC hour and one combination of dimensions; ids are kept without foreign keys, as in records.

    `model` is the one that answered, else the one that was asked for; `integration` and `virtual_key` are as the
    gateway named them.  `cost_nano` sums what has a price, `unpriced` counts what has none, `estimated` those whose
    tokens the provider did not say, `errors` what was neither 2xx nor a session.
    """

    workspace_field: ClassVar[str | None] = "workspace_id"

    organisation_id = models.UUIDField()
    hour = models.DateTimeField()
    workspace_id = models.UUIDField()
    api_key_id = models.UUIDField(null=True)
    user_ref = models.TextField(null=True)
    integration = models.TextField(null=True)
    virtual_key = models.TextField(null=True)
    provider = models.TextField(null=True)
    model = models.TextField(null=True)
    requests = _whole()
    errors = _whole()
    unpriced = _whole()
    estimated = _whole()
    tok_in = _whole()
    tok_out = _whole()
    tok_in_cache_read = _whole()
    tok_in_cache_write = _whole()
    tok_out_reasoning = _whole()
    cost_nano = _whole()
    saved_nano = _whole()
    lat_ms = _whole()
    upstream_ms = _whole()
    gw_us = _whole()

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.hour}: {self.requests} requests, {self.cost_nano} nano-dollars"


class Delta(Counted):
    """What one statement added to, or took from, a roll-up; waits to be folded."""

    id = models.BigAutoField(primary_key=True)

    class Meta:
        indexes = (models.Index(fields=("organisation_id", "hour"), name="delta_by_hour"),)


class RollUp(Counted):
    """The deltas that were folded.  `digest` is SHA-256 of the dimensions, which are too long for an index."""

    pk = models.CompositePrimaryKey("organisation_id", "hour", "digest")
    digest = models.BinaryField(max_length=32)


class Total(Counted):
    """A view: roll-ups and deltas together.  Sum it; a key may have several rows."""

    pk = models.CompositePrimaryKey("organisation_id", "hour", "workspace_id")

    class Meta:
        managed = False
        db_table = "ledger_total"


class Recost(TenantModel):
    """A run that computes the cost of records anew, and how far it came.

    Which records, and by which prices, is as in `RecostRange`.  All up to (`at_ts`, `at_id`) are done; `finished_at`:
    all are.  `records` were looked at, `changed` have another cost or status, for `unknown` no price is known now, and
    they keep what they had.
    """

    start = models.DateTimeField()
    end = models.DateTimeField()
    provider = models.TextField(blank=True)
    model = models.TextField(blank=True)
    price_id = models.TextField(blank=True)
    own_of_now = models.BooleanField(default=False)
    actor_kind = models.CharField(max_length=20)
    actor_id = models.CharField(max_length=64)
    actor_name = models.CharField(max_length=255)
    at_ts = models.DateTimeField(null=True)
    at_id = models.UUIDField(null=True)
    finished_at = models.DateTimeField(null=True)
    records = _whole()
    changed = _whole()
    unknown = _whole()
    before_nano = _whole()
    after_nano = _whole()
    before_unpriced = _whole()
    after_unpriced = _whole()

    class Meta:
        indexes = (
            models.Index(fields=("created_at",), name="recost_open", condition=models.Q(finished_at__isnull=True)),
        )

    def __str__(self) -> str:
        return f"re-cost {self.id} of {self.start} to {self.end}"


class Correction(WrittenOnce):
    """What a record cost before and after a re-cost, by whom and when; append-only, and kept when the record is gone.

    The record itself is changed as well: whoever reads, filters, exports or sums records finds one cost, and what it
    was before is here.  Two places to look at would disagree sooner or later.
    """

    workspace_field: ClassVar[str | None] = "workspace_id"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    recost = models.ForeignKey(Recost, on_delete=models.PROTECT, related_name="corrections")
    organisation_id = models.UUIDField()
    workspace_id = models.UUIDField()
    record_ts = models.DateTimeField()
    record_id = models.UUIDField()
    before_nano = models.BigIntegerField(null=True)
    after_nano = models.BigIntegerField(null=True)
    before_price_id = models.TextField(null=True)
    after_price_id = models.TextField(null=True)
    before_status = models.TextField()
    after_status = models.TextField()
    actor_kind = models.CharField(max_length=20)
    actor_id = models.CharField(max_length=64)
    actor_name = models.CharField(max_length=255)
    at = models.DateTimeField()

    class Meta:
        indexes = (models.Index(fields=("record_id",), name="correction_by_record"),)
        constraints = (
            models.UniqueConstraint(fields=("recost", "record_ts", "record_id"), name="corrected_once_by_a_recost"),
        )

    def __str__(self) -> str:
        return f"{self.record_id}: {self.before_nano} to {self.after_nano}"
