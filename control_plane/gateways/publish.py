"""Builds and signs what gateways pull: blobs, then indexes, then manifest, then head.

Everything of one revision is read in one snapshot of the database, so a bundle never holds half of an edit.  Only
sections that were touched are rendered anew, and a bucket that did not change keeps its blob.
"""

import base64
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import Any, Final

import msgspec
import orjson
import structlog
from django.db import connection, transaction
from django.utils import timezone

from control_plane.catalog.export import export as export_catalog
from control_plane.catalog.export import export_providers
from control_plane.catalog.own_prices import export_own_prices
from control_plane.configs.export import export as export_configs
from control_plane.core.models import OutboxEvent
from control_plane.gateways.export import export_secrets, export_shared
from control_plane.gateways.models import Blob, BundleVersion, GatewayGroup
from control_plane.gateways.signing import Signers
from control_plane.keys.export import export as export_keys
from control_plane.orgs.export import export as export_orgs
from control_plane.orgs.export import export_token_keys
from control_plane.orgs.models import Organisation
from control_plane.policies.export import export as export_policies
from control_plane.policies.export import export_budgets
from shared.bundle.codec import encode_section
from shared.bundle.model import (
    HEAD_LIFETIME_S,
    HEAD_TYPE,
    MANIFEST_TYPE,
    MAX_REVOKED,
    BlobRef,
    BundleRejected,
    Head,
    Manifest,
    ManifestRef,
    Section,
)
from shared.bundle.trust import sha256, sign_envelope
from shared.schema.rows import SECTIONS

Exporter = Callable[[Organisation], Iterable[tuple[str, str, msgspec.Struct]]]

#: Which app's export fills which sections.
EXPORTERS: Final[tuple[tuple[frozenset[str], Exporter], ...]] = (
    (frozenset({"orgs", "workspaces"}), export_orgs),
    (frozenset({"token_keys"}), export_token_keys),
    (frozenset({"api_keys"}), export_keys),
    (frozenset({"rate_policies"}), export_policies),
    (frozenset({"usage_policies"}), export_budgets),
    (frozenset({"custom_providers"}), export_providers),
    (frozenset({"virtual_keys"}), export_catalog),
    (frozenset({"integration_prices"}), export_own_prices),
    (frozenset({"configs"}), export_configs),
)
#: Sections that change with the day, or with the release, without anybody touching them.
_OF_THE_DAY: Final = frozenset({"prices", "integration_prices", "gateway"})
REVOKED_FOR_S: Final = 24 * 3600
HEAD_CHANNEL: Final = "gatehouse_head"
KEEP_VERSIONS: Final = 20

log = structlog.get_logger(module=__name__)


def organisations_of(group: GatewayGroup) -> list[Organisation]:
    """Return the active organisations that `group` serves."""
    active = Organisation.objects.filter(status="active")
    return list(active if group.serves_all else active.filter(pk=group.organisation_id))


def _line(row: msgspec.Struct, row_id: str) -> bytes:
    """Return a row's JSON line; its `id` is the section's key, the object's own id goes along as `id` of the row."""
    # A set has no order of its own, and the blob of what did not change must stay the same.
    fields = msgspec.to_builtins(row, order="deterministic")
    return orjson.dumps({**fields, "id": row_id, "uid": fields["id"]}, option=orjson.OPT_SORT_KEYS)


class Publisher:
    """Publishes bundles for every gateway group; one process at a time, kept so by an advisory lock."""

    def __init__(self, signers: Signers, wall: Callable[[], float] = time.time) -> None:
        self._signers = signers
        self._wall = wall
        self._priced_on = ""
        self.root_version = signers.root.version

    # what changed

    def publish_pending(self) -> int:
        """Publish what the outbox holds; return how many groups got a new head."""
        pending = list(OutboxEvent.objects.filter(done_at__isnull=True).order_by("created_at")[:1000])
        if not pending:
            return 0
        touched = {event.organisation_id for event in pending}
        sections = {name for event in pending for name in event.sections} & set(SECTIONS)
        groups = [group for group in self._groups() if group.serves_all or group.organisation_id in touched]
        if any(event.revoked for event in pending):
            # Revocations do not wait for the rendering of what else changed.
            for group in groups:
                if group.seq:
                    self.sign_head(group)
        for group in groups:
            self.render(group, sections)
        OutboxEvent.objects.filter(pk__in=[event.pk for event in pending]).update(done_at=timezone.now())
        return len(groups)

    def _groups(self) -> list[GatewayGroup]:
        return list(GatewayGroup.objects.filter(status="active"))

    def renew_heads(self, older_than_s: float) -> int:
        """Sign the heads again whose proof of freshness is older than this; return how many."""
        stale = timezone.now() - timedelta(seconds=older_than_s)
        due = [group for group in self._groups() if group.seq and group.head_signed_at and group.head_signed_at < stale]
        for group in due:
            self.sign_head(group)
        return len(due)

    def publish_new_groups(self) -> int:
        """Publish a first bundle for groups that have none; return how many."""
        new = [group for group in self._groups() if not group.seq]
        for group in new:
            self.render(group, set(SECTIONS))
        return len(new)

    def publish_prices(self) -> int:
        """Publish prices for groups whose gateways have older ones: once at the start, and once each day (UTC).

        A release brings another price list, and what holds from today on was said long ago.
        """
        today = time.strftime("%Y-%m-%d", time.gmtime(self._wall()))
        if today == self._priced_on:
            return 0
        groups = [group for group in self._groups() if group.seq]
        published = sum(self.render(group, set(_OF_THE_DAY)) is not None for group in groups)
        self._priced_on = today
        return published

    def publish_under_root(self) -> int:
        """Publish anew for groups whose revision the root no longer vouches for; return how many.

        After a new epoch or another bundle key, gateways refuse the old manifest under every new head.
        """
        newest = [(group, BundleVersion.objects.filter(group=group).first()) for group in self._groups()]
        due = [group for group, version in newest if version is not None and not self._is_vouched_for(version)]
        for group in due:
            self.render(group, set())
        return len(due)

    def _is_vouched_for(self, version: BundleVersion) -> bool:
        try:
            self._signers.root.open(bytes(version.manifest), MANIFEST_TYPE)
        except BundleRejected:
            return False
        return version.epoch == self._signers.root.epoch

    # rendering

    def render(self, group: GatewayGroup, sections: set[str]) -> Manifest | None:
        """Publish a new revision for `group` with `sections` rendered anew; None when nothing differs."""
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            previous = BundleVersion.objects.filter(group=group).first()
            old = manifest_of(previous) if previous else None
            wanted = sections if old is not None else set(SECTIONS)
            made, contents, blobs = self._sections(group, wanted, previous)
            unchanged = old is not None and all(old.sections.get(name) == section for name, section in made.items())
            if previous is not None and unchanged and self._is_vouched_for(previous):
                return None
            manifest = Manifest(
                org=str(group.organisation_id), group=str(group.id), epoch=self._signers.root.epoch,
                # The stored revision counts, not only what this process knows of the group.
                seq=max(group.seq + 1, (previous.seq if previous else 0) + 1, int(self._wall() * 1000)),
                sections={**(old.sections if old else {}), **made},
                allow_shrink=True,
            )  # fmt: skip
            self._store(group, manifest, contents, blobs)
            # In the same transaction: a manifest that a crash left without a head would look published.
            self.sign_head(group)
        log.info("bundle_published", group=str(group.id), seq=manifest.seq, sections=sorted(made))
        return manifest

    def _sections(
        self, group: GatewayGroup, wanted: set[str], previous: BundleVersion | None
    ) -> tuple[dict[str, Section], dict[str, Any], dict[str, bytes]]:
        known: dict[str, dict[str, list[Any]]] = dict(previous.contents) if previous else {}
        made: dict[str, Section] = {}
        blobs: dict[str, bytes] = {}
        for name, rows in self._rows(group, wanted).items():
            old = {content: BlobRef(*ref) for content, ref in known.get(name, {}).items()}
            encoded = encode_section(rows, old)
            made[name] = encoded.section
            blobs.update(encoded.blobs)
            known[name] = {content: [ref.d, ref.n, ref.raw] for content, ref in encoded.contents.items()}
        return made, known, blobs

    def _rows(self, group: GatewayGroup, wanted: set[str]) -> dict[str, dict[str, bytes]]:
        rows: dict[str, dict[str, bytes]] = {name: {} for name in SECTIONS if name in wanted}
        organisations = organisations_of(group)
        for covered, exporter in EXPORTERS:
            if covered & wanted:
                for organisation in organisations:
                    for section, row_id, row in exporter(organisation):
                        if section in rows:
                            rows[section][row_id] = _line(row, row_id)
        if "secrets" in rows:
            for secret in export_secrets(group, [organisation.pk for organisation in organisations]):
                rows["secrets"][secret.id] = _line(secret, secret.id)
        for section in {"prices", "gateway"} & wanted:
            rows[section] = {row_id: _line(row, row_id) for row_id, row in export_shared(section)}
        return rows

    def _store(
        self, group: GatewayGroup, manifest: Manifest, contents: dict[str, Any], blobs: dict[str, bytes]
    ) -> None:
        have = set(Blob.objects.filter(digest__in=blobs).values_list("digest", flat=True))
        Blob.objects.bulk_create(
            [Blob(digest=digest, content=content) for digest, content in blobs.items() if digest not in have],
            ignore_conflicts=True,
        )
        payload = msgspec.json.encode(manifest)
        envelope = sign_envelope(payload, MANIFEST_TYPE, [self._signers.bundle])
        BundleVersion.objects.create(
            group=group, epoch=manifest.epoch, seq=manifest.seq, digest=sha256(envelope), manifest=envelope,
            contents=contents,
        )  # fmt: skip
        group.epoch, group.seq = manifest.epoch, manifest.seq
        GatewayGroup.objects.filter(pk=group.pk).update(epoch=group.epoch, seq=group.seq)

    # heads

    def _revoked(self, group: GatewayGroup) -> tuple[str, ...]:
        """Return the newest revocations, newest last; older ones are in the manifest already."""
        since = timezone.now() - timedelta(seconds=REVOKED_FOR_S)
        events = OutboxEvent.objects.filter(created_at__gte=since).exclude(revoked=[])
        if not group.serves_all:
            events = events.filter(organisation_id=group.organisation_id)
        ids: list[str] = []
        for event in events.order_by("-created_at")[:MAX_REVOKED]:
            ids += event.revoked
        return tuple(reversed(list(dict.fromkeys(ids))[:MAX_REVOKED]))

    def sign_head(self, group: GatewayGroup) -> Head:
        """Sign a head for the newest manifest of `group`, store it and wake the edge."""
        with transaction.atomic():
            # Two publishers must not sign in turns with numbers that go back: the row decides, not what is remembered.
            stored = GatewayGroup.objects.select_for_update().get(pk=group.pk)
            version = BundleVersion.objects.filter(group=group).first()
            if version is None:
                raise LookupError("a group without a manifest has no head")
            head = self._head(group, version, head_no=max(stored.head_no + 1, int(self._wall() * 1000)))
            envelope = sign_envelope(msgspec.json.encode(head), HEAD_TYPE, [self._signers.freshness])
            group.head, group.head_no, group.head_signed_at = envelope, head.head_no, timezone.now()
            group.save(update_fields=["head", "head_no", "head_signed_at"])
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_notify(%s, %s)", [HEAD_CHANNEL, str(group.pk)])
        return head

    def _head(self, group: GatewayGroup, version: BundleVersion, *, head_no: int) -> Head:
        now = self._wall()
        return Head(
            org=str(group.organisation_id), group=str(group.id), epoch=version.epoch, seq=version.seq, head_no=head_no,
            manifest=ManifestRef(version.digest, len(bytes(version.manifest))),
            root_version=self._signers.root.version, issued_at=now, expires=now + HEAD_LIFETIME_S,
            revoked=self._revoked(group),
        )  # fmt: skip

    # housekeeping

    def collect(self) -> int:
        """Delete old revisions and the blobs that no kept revision needs; return how many blobs went."""
        keep: set[str] = set()
        for group in GatewayGroup.objects.all():
            versions = list(BundleVersion.objects.filter(group=group))
            for version in versions[:KEEP_VERSIONS]:
                keep |= set(_digests(version))
            BundleVersion.objects.filter(pk__in=[version.pk for version in versions[KEEP_VERSIONS:]]).delete()
        # A blob may be stored a moment before the revision that names it.
        old = timezone.now() - timedelta(hours=1)
        deleted, _ = Blob.objects.filter(created_at__lt=old).exclude(digest__in=keep).delete()
        return deleted


def manifest_of(version: BundleVersion) -> Manifest:
    """Return the manifest in a stored revision."""
    envelope = orjson.loads(bytes(version.manifest))
    return msgspec.json.decode(base64.b64decode(envelope["payload"]), type=Manifest)


def _digests(version: BundleVersion) -> Iterator[str]:
    for section in version.contents.values():
        for digest, _, _ in section.values():
            yield digest
    for entry in manifest_of(version).sections.values():
        yield entry.index.d
