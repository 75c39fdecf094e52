"""Rows that belong to no app: the audit trail, the outbox, and answers kept for callers that repeat themselves."""

from typing import Any, ClassVar, NoReturn

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils import timezone

from control_plane.core.sealed import SealedModel
from shared.ids import uuid7


class RowImmutable(RuntimeError):
    """The row may be written once and never changed."""


class WrittenOnceQuerySet(models.QuerySet[Any]):
    """Refuses bulk changes early; the database refuses them too."""

    def update(self, **_values: Any) -> NoReturn:
        """Raise RowImmutable."""
        raise RowImmutable(f"{self.model.__name__} rows cannot be changed")


class WrittenOnce(models.Model):
    """A row that is written once.  A trigger of the table says the same to every other client."""

    objects = WrittenOnceQuerySet.as_manager()

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Insert the row; raise RowImmutable when it was saved before."""
        if not self._state.adding:
            raise RowImmutable(f"{type(self).__name__} rows cannot be changed")
        super().save(*args, **kwargs)


class AuditEvent(WrittenOnce):
    """One change by one actor.  Ids are kept without foreign keys: the trail outlives what it tells of.

    `seq`, `previous_hash` and `hash` are given by the database when the change commits (see `chain.py`).
    """

    workspace_field: ClassVar[str | None] = None

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organisation_id = models.UUIDField()
    workspace_id = models.UUIDField(null=True)
    actor_kind = models.CharField(max_length=20)
    actor_id = models.CharField(max_length=64)
    actor_name = models.CharField(max_length=255)
    action = models.CharField(max_length=40)
    resource_type = models.CharField(max_length=60)
    resource_id = models.CharField(max_length=64)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    request_id = models.CharField(max_length=64, blank=True)
    client_ip = models.GenericIPAddressField(null=True)
    method = models.CharField(max_length=10, blank=True)
    uri = models.CharField(max_length=500, blank=True)
    request = models.JSONField(default=dict)
    at = models.DateTimeField(default=timezone.now)
    digest = models.CharField(max_length=64)
    seq = models.BigIntegerField(null=True, editable=False)
    previous_hash = models.CharField(max_length=64, null=True, editable=False)
    hash = models.CharField(max_length=64, null=True, editable=False)

    class Meta:
        ordering = ("-id",)
        indexes = (models.Index(fields=("organisation_id", "-at"), name="audit_by_organisation"),)
        constraints = (models.UniqueConstraint(fields=("organisation_id", "seq"), name="audit_numbered_once"),)

    def __str__(self) -> str:
        return f"{self.action} {self.resource_type} {self.resource_id}"

    def delete(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Raise RowImmutable: the trail is append-only."""
        raise RowImmutable("audit events cannot be deleted")


class AuditHead(models.Model):
    """The end of one organisation's chain of audit events; written by the trigger of their table alone."""

    organisation_id = models.UUIDField(primary_key=True)
    seq = models.BigIntegerField()
    hash = models.CharField(max_length=64)

    def __str__(self) -> str:
        return f"{self.organisation_id}: {self.seq}"


class OutboxEvent(models.Model):
    """A change that must reach the gateways; `done_at` is set once it is published."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organisation = models.ForeignKey("orgs.Organisation", on_delete=models.CASCADE)
    sections = ArrayField(models.CharField(max_length=40), default=list)
    revoked = ArrayField(models.CharField(max_length=80), default=list)
    created_at = models.DateTimeField(auto_now_add=True)
    done_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("created_at",)
        indexes = (
            # The publisher looks every second, and nearly every row is done.
            models.Index(fields=("created_at",), name="outbox_pending", condition=models.Q(done_at__isnull=True)),
            models.Index(fields=("organisation", "-created_at"), name="outbox_by_organisation"),
        )

    def __str__(self) -> str:
        return f"{self.organisation_id}: {', '.join(self.sections)}"


class IdempotentAnswer(SealedModel):
    """What was answered to a call that a caller may repeat; encrypted, because an answer may hold a new API key."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organisation_id = models.UUIDField()
    key_digest = models.CharField(max_length=64, unique=True)
    fingerprint = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField()
    expires_at = models.DateTimeField()

    class Meta:
        indexes = (
            models.Index(fields=("organisation_id",), name="answer_by_organisation"),
            models.Index(fields=("expires_at",), name="answer_by_expiry"),
        )

    def __str__(self) -> str:
        return f"{self.status} until {self.expires_at}"
