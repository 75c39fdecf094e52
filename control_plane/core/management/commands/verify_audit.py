"""`verify_audit`: prove that the audit trail says what it said when it was written."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Q, Subquery

from control_plane.core.chain import Verdict, walk
from control_plane.core.models import AuditEvent, AuditHead


def _verify(organisation_id: UUID) -> Verdict:
    """Walk up to the head as it is now: what commits meanwhile is left to the next run."""
    head = AuditHead.objects.filter(pk=organisation_id).first()
    events = AuditEvent.objects.filter(organisation_id=organisation_id)
    linked = events.exclude(seq=None).order_by("seq")
    if head is None:
        return walk(linked.iterator(chunk_size=1000), None)
    verdict = walk(linked.filter(seq__lte=head.seq).iterator(chunk_size=1000), head)
    # One statement sees events and head as of the same moment.
    known = AuditHead.objects.filter(pk=organisation_id).values("seq")
    if verdict.fault is None and events.filter(Q(seq=None) | Q(seq__gt=Subquery(known))).exists():
        return Verdict(verdict.events, verdict.last_hash, "there is an event that was never linked")
    return verdict


def _organisations(slug: str | None) -> Iterator[tuple[UUID, str]]:
    """Yield the organisations to verify; without a slug also those that only the trail remembers."""
    named = dict(apps.get_model("orgs", "Organisation").objects.values_list("pk", "slug"))
    if slug is not None:
        found = [(row_id, name) for row_id, name in named.items() if name == slug]
        if not found:
            raise CommandError(f"there is no organisation {slug}")
        yield from found
        return
    remembered = set(AuditHead.objects.values_list("pk", flat=True))
    remembered |= set(AuditEvent.objects.order_by().values_list("organisation_id", flat=True).distinct())
    for row_id in sorted(remembered):
        yield row_id, named.get(row_id, str(row_id))


class Command(BaseCommand):
    """Walk each organisation's chain; exit with 1 at the first that does not hold."""

    help = "Verify the audit trail. Keep the hashes it prints elsewhere: a later run must still find them."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the organisation."""
        parser.add_argument("--organisation", metavar="SLUG", help="only this organisation")

    def handle(self, *args: Any, **options: Any) -> None:
        """Say what holds, and fail with every organisation's first broken event."""
        broken = []
        for organisation_id, name in _organisations(options["organisation"]):
            verdict = _verify(organisation_id)
            if verdict.fault is None:
                self.stdout.write(f"{name}: {verdict.events} events hold, the last has hash {verdict.last_hash}")
            else:
                broken.append(f"{name}: {verdict.fault}")
        if broken:
            raise CommandError("; ".join(broken), returncode=1)
