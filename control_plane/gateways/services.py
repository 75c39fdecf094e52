"""Changes and views of gateways: enrolment, status reports, and what pages show of them."""

import base64
import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
from django.db import DataError, transaction
from django.db.models import Q
from django.utils import timezone

from control_plane.core.outbox import touch
from control_plane.core.principal import Principal
from control_plane.gateways.models import EnrolmentToken, GatewayGroup, GatewayInstance
from control_plane.gateways.seal import seal_for_group
from control_plane.gateways.signing import first_root_digest
from control_plane.orgs.models import Organisation
from shared import wire
from shared.crypto.sealing import sealing_kid
from shared.errors import BadRequest, Unauthenticated
from shared.redact import Secret
from shared.schema.rows import SECTIONS

TOKEN_LIFETIME: Final = timedelta(hours=1)
LIVE_FOR: Final = timedelta(minutes=3)
KEY_BYTES: Final = 32
GROUP_NAME_LENGTH: Final = 120


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token that was just made; its text exists nowhere else."""

    text: Secret

    def shown_once(self) -> str:
        """Return the plain text, for the one answer that shows it to its owner."""
        return self.text.reveal()


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def create_enrolment(
    organisation: Organisation, group_name: str, *, serves_all: bool = False, lifetime: timedelta = TOKEN_LIFETIME
) -> "NewToken":
    """Return a new one-time token that lets one gateway group enrol; only its hash is stored."""
    token = f"ghe-{secrets.token_urlsafe(32)}"
    EnrolmentToken.objects.create(
        token_hash=_hash(token),
        organisation=organisation,
        group_name=group_name,
        serves_all=serves_all,
        expires_at=timezone.now() + lifetime,
    )
    return NewToken(Secret(token))


def _raw_key(text: str, name: str) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        raw = b""
    if len(raw) != KEY_BYTES:
        raise BadRequest(f"{name} must be {KEY_BYTES} bytes in base64.", path=name)
    return raw


def enrol(ask: wire.EnrolRequest) -> wire.EnrolAnswer:
    """Redeem a one-time token for a gateway group; the same token with the same keys is answered alike again.

    Raises Unauthenticated for a token that is unknown, too old, or used by somebody else's keys, BadRequest for keys
    or a name that cannot be, SigningKeysMissing before there is a root of trust; the token stays good then.
    """
    identity, sealing = _raw_key(ask.identity_pub, "identity_pub"), _raw_key(ask.sealing_pub, "sealing_pub")
    if len(ask.group_name) > GROUP_NAME_LENGTH or "\0" in ask.group_name:
        raise BadRequest("group_name is too long or holds a NUL character.", path="group_name")
    root = first_root_digest()
    with transaction.atomic():
        token = EnrolmentToken.objects.select_for_update().filter(token_hash=_hash(ask.token)).first()
        if token is None:
            raise Unauthenticated("The enrolment token is not valid.")
        if token.used_at is not None:
            group = token.group
            if group is None or (bytes(token.used_identity_pub or b""), bytes(group.sealing_pub)) != (
                identity,
                sealing,
            ):
                raise Unauthenticated("The enrolment token has been used.")
            return _enrolled(group, root)
        if token.expires_at <= timezone.now():
            raise Unauthenticated("The enrolment token has expired.")
        group = GatewayGroup.objects.create(
            organisation_id=token.organisation_id,
            name=token.group_name or ask.group_name or "gateways",
            serves_all=token.serves_all,
            identity_pub=identity,
            sealing_pub=sealing,
            sealing_kid=sealing_kid(sealing),
            capabilities=list(ask.capabilities),
        )
        token.used_at, token.used_identity_pub, token.group = timezone.now(), identity, group
        token.save(update_fields=["used_at", "used_identity_pub", "group"])
        seal_for_group(group)
        touch(token.organisation, SECTIONS)
    return _enrolled(group, root)


def _enrolled(group: GatewayGroup, root_sha256: str) -> wire.EnrolAnswer:
    return wire.EnrolAnswer(str(group.organisation_id), str(group.id), root_sha256)


def take_status(group_id: UUID, report: wire.StatusReport) -> wire.StatusAnswer:
    """Store a gateway's report about itself, and tell it how many of its group are heard of, itself included.

    Raises BadRequest for text that the database cannot hold.
    """
    now = timezone.now()
    try:
        with transaction.atomic():
            GatewayInstance.objects.update_or_create(
                group_id=group_id,
                instance=report.instance[:64],
                defaults={"last_seen_at": now, "report": msgspec.to_builtins(report)},
            )
    except DataError:
        raise BadRequest("The status report holds characters that cannot be stored.") from None
    heard_of = GatewayInstance.objects.filter(group_id=group_id, last_seen_at__gte=now - LIVE_FOR)
    return wire.StatusAnswer(heard_of.exclude(report__state=wire.STOPPED).count())


@dataclass(frozen=True, slots=True)
class InstanceView:
    """One gateway as the pages show it; `is_live` when it was heard of in the last minutes."""

    instance: str
    state: str
    version: str
    address: str
    workers: int
    active_seq: int
    persisted_seq: int
    head_age_s: float | None
    spool_bytes: int
    dropped: int
    quarantined: Sequence[str]
    error: str
    last_seen_at: datetime
    is_live: bool
    is_current: bool


@dataclass(frozen=True, slots=True)
class GroupView:
    """A gateway group with its instances."""

    id: str
    name: str
    serves_all: bool
    published_seq: int
    published_at: datetime | None
    instances: Sequence[InstanceView]


def _instance_view(row: GatewayInstance, published_seq: int) -> InstanceView:
    report: dict[str, Any] = row.report
    fault = report.get("last_error") or {}
    active = int((report.get("active") or {}).get("seq", 0))
    return InstanceView(
        instance=row.instance,
        state=str(report.get("state", "")) + (" (stale)" if report.get("stale") else ""),
        version=str(report.get("version", "")),
        address=str(report.get("address", "")),
        workers=int(report.get("workers", 0)),
        active_seq=active,
        persisted_seq=int((report.get("persisted") or {}).get("seq", 0)),
        head_age_s=report.get("head_age_s"),
        spool_bytes=int(report.get("spool_bytes", 0)),
        dropped=sum((report.get("dropped") or {}).values()),
        quarantined=report.get("quarantined") or (),
        error=" ".join(part for part in (fault.get("code", ""), fault.get("detail", "")) if part),
        last_seen_at=row.last_seen_at,
        is_live=row.last_seen_at >= timezone.now() - LIVE_FOR and report.get("state") != wire.STOPPED,
        is_current=active >= published_seq > 0,
    )


def gateway_overview(principal: Principal) -> list[GroupView]:
    """Return the gateway groups that serve the principal's organisation, with what their instances report."""
    groups = GatewayGroup.objects.filter(
        Q(serves_all=True) | Q(organisation_id=principal.organisation_id), status="active"
    ).prefetch_related("instances")
    return [
        GroupView(
            id=str(group.id),
            name=group.name,
            serves_all=group.serves_all,
            published_seq=group.seq,
            published_at=group.head_signed_at,
            instances=[
                _instance_view(row, group.seq)
                for row in sorted(group.instances.all(), key=lambda row: row.last_seen_at, reverse=True)
            ],
        )
        for group in groups
    ]
