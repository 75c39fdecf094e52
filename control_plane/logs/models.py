"""Rows of records.  The three large tables are partitioned by day of `ts`: what is too old is dropped, not deleted.

Their SQL is in the first migration, because Django cannot declare partitions; indexes are there too.  Rows hold the
`stream_id` and `seq` under which a gateway sent them: together with `ts` they are unique, the second guard behind
`IngestStream.next_seq` against storing a record twice.
"""

from typing import Any, ClassVar

from django.db import models


class IngestStream(models.Model):
    """One gateway process's sequence of frames; `next_seq` is the first that is not stored."""

    id = models.UUIDField(primary_key=True)
    group_id = models.UUIDField(db_index=True)
    kind = models.TextField(default="")
    next_seq = models.BigIntegerField(default=1)
    records = models.BigIntegerField(default=0)
    dropped = models.BigIntegerField(default=0)
    last_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"stream {self.id} at {self.next_seq}"


class LogFloor(models.Model):
    """Of days before `day` (UTC), records may be gone; one row, none before anything was ever dropped."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    day = models.DateField()

    def __str__(self) -> str:
        return f"records are whole since {self.day}"


class LogRow(models.Model):
    """One request.  Units are in the names, as in `shared/schema/log_record.py`; ids are kept without foreign keys."""

    workspace_field: ClassVar[str | None] = "workspace_id"

    pk = models.CompositePrimaryKey("ts", "id")
    ts = models.DateTimeField()
    id = models.UUIDField()
    stream_id = models.UUIDField()
    seq = models.BigIntegerField()
    organisation_id = models.UUIDField()
    workspace_id = models.UUIDField()
    api_key_id = models.UUIDField(null=True)
    user_ref = models.TextField(null=True)
    gateway = models.TextField()
    bundle = models.TextField()
    endpoint = models.TextField()
    provider = models.TextField(null=True)
    virtual_key = models.TextField(null=True)
    model_requested = models.TextField(null=True)
    model_served = models.TextField(null=True)
    stream = models.BooleanField()
    status = models.IntegerField()
    error_class = models.TextField(null=True)
    error_type = models.TextField(null=True)
    tok_in = models.BigIntegerField()
    tok_in_cache_read = models.BigIntegerField()
    tok_in_cache_write = models.BigIntegerField()
    tok_out = models.BigIntegerField()
    tok_out_reasoning = models.BigIntegerField()
    usage_source = models.TextField()
    cost_nano = models.BigIntegerField(null=True)
    saved_nano = models.BigIntegerField(db_default=0)
    price_id = models.TextField(null=True)
    price_status = models.TextField()
    lat_ms = models.BigIntegerField()
    ttft_ms = models.BigIntegerField(null=True)
    upstream_ms = models.BigIntegerField()
    gw_us = models.BigIntegerField()
    config = models.TextField(null=True)
    config_version = models.TextField(null=True)
    target_path = models.TextField(null=True)
    retry_n = models.BigIntegerField()
    fallback_n = models.BigIntegerField()
    cache_status = models.TextField()
    trace_id = models.TextField()
    span_id = models.TextField()
    parent_span_id = models.TextField(null=True)
    in_preview = models.TextField(null=True)
    out_preview = models.TextField(null=True)
    body_state = models.TextField()
    body_bytes = models.BigIntegerField()
    metadata = models.JSONField(default=dict)
    detail = models.JSONField(default=dict)
    decision = models.JSONField(null=True)

    class Meta:
        db_table = "logs_record"

    def __str__(self) -> str:
        return str(self.id)

    @property
    def model(self) -> str | None:
        """The model that answered, else the one that was asked for."""
        return self.model_served or self.model_requested

    @property
    def is_success(self) -> bool:
        """Whether the caller got an answer, or a realtime session (101)."""
        return 200 <= self.status < 300 or self.status == 101

    def detailed(self, name: str) -> Any:
        """Return a value that has no column of its own, None when there is none."""
        return self.detail.get(name)


class LogAttempt(models.Model):
    """One upstream call of a record, which is found by the record's own place: `ts`, `stream_id`, `seq`."""

    pk = models.CompositePrimaryKey("ts", "stream_id", "seq", "n")
    ts = models.DateTimeField()
    stream_id = models.UUIDField()
    seq = models.BigIntegerField()
    n = models.IntegerField()
    log_id = models.UUIDField()
    provider = models.TextField()
    target_path = models.TextField()
    status = models.IntegerField()
    error = models.TextField(null=True)
    start_us = models.BigIntegerField()
    dur_ms = models.BigIntegerField()
    model = models.TextField(null=True)

    class Meta:
        db_table = "logs_attempt"

    def __str__(self) -> str:
        return f"attempt {self.n} of {self.log_id}"


class LogBody(models.Model):
    """What was asked and answered, each as zstd of JSON; it may come before its record, or without one."""

    pk = models.CompositePrimaryKey("ts", "stream_id", "seq")
    ts = models.DateTimeField()
    stream_id = models.UUIDField()
    seq = models.BigIntegerField()
    log_id = models.UUIDField()
    organisation_id = models.UUIDField()
    workspace_id = models.UUIDField()
    request = models.BinaryField(null=True)
    response = models.BinaryField(null=True)

    class Meta:
        db_table = "logs_body"

    def __str__(self) -> str:
        return f"body of {self.log_id}"
