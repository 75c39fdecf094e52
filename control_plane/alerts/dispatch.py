"""Who is to be told that a budget's threshold or limit was reached?  Each once, and the audit trail once.

An event, its deliveries and its audit row are one transaction, in which the event is locked: however many do this at
once, and wherever one of them is cut short, nobody is told twice or forgotten.
"""

from collections.abc import Iterator
from typing import Final
from uuid import UUID

import structlog
from django.db import DatabaseError, transaction
from django.db.models import Q
from django.utils import timezone

from control_plane.accounts.models import normal_email
from control_plane.alerts.messages import budget_json, message_of
from control_plane.alerts.models import EMAIL, Delivery, Destination
from control_plane.budgets.models import Budget, BudgetEvent
from control_plane.core import audit
from control_plane.core.principal import system_actor
from control_plane.keys.models import ApiKey
from control_plane.orgs.models import Membership, WorkspaceMembership

BATCH: Final = 1000
#: So many people are told by e-mail at most.
MOST_PEOPLE: Final = 100
_ACTIONS: Final = {"threshold": "reach_threshold", "exhausted": "exhaust"}

log = structlog.get_logger(module=__name__)


def dispatch(most: int = BATCH) -> int:
    """Work off up to `most` events, the oldest first; return how many.  May be run by several at once."""
    waiting = BudgetEvent.objects.filter(is_dispatched=False).order_by("pk")
    done = 0
    for event_id in list(waiting.values_list("pk", flat=True)[:most]):
        try:
            done += _dispatch(event_id)
        except DatabaseError as fault:
            # One that cannot be stored must not keep the others waiting.
            log.exception("alert_not_dispatched", budget_event=str(event_id), reason=type(fault).__name__)
    return done


@transaction.atomic
def _dispatch(event_id: UUID) -> int:
    events = BudgetEvent.objects.select_related("budget").filter(pk=event_id, is_dispatched=False)
    event = events.select_for_update(of=("self",), skip_locked=True).first()
    if event is None:
        return 0
    deliveries = list(_deliveries(event))
    Delivery.objects.bulk_create(deliveries, ignore_conflicts=True)
    # "value_key" would look like a credential to the trail.
    facts = {"counter" if name == "value_key" else name: value for name, value in budget_json(event).items()}
    after = {"event": event.what, **facts, "told": len(deliveries)}
    audit.record(system_actor(event.organisation_id), _ACTIONS[event.what], event.budget, after=after)
    event.is_dispatched = True
    event.save(update_fields=["is_dispatched", "last_updated_at"])
    return 1


def _deliveries(event: BudgetEvent) -> Iterator[Delivery]:
    """Yield a delivery for each place that is to be told, none twice."""
    message, now = message_of(event), timezone.now()

    def delivery(channel: str, address: str, target: str, destination: Destination | None = None) -> Delivery:
        return Delivery(
            organisation_id=event.organisation_id,
            workspace_id=event.workspace_id,
            event=event,
            destination=destination,
            channel=channel,
            address=address,
            target=target,
            message=message,
            next_attempt_at=now,
        )

    told: set[str] = set()
    for row in _destinations(event):
        target = normal_email(row.address) if row.type == EMAIL else str(row.pk)
        if target not in told:
            told.add(target)
            yield delivery(row.type, row.address, target, row)
    for address in _people(event.budget):
        target = normal_email(address)
        if target not in told:
            told.add(target)
            yield delivery(EMAIL, address, target)


def _destinations(event: BudgetEvent) -> list[Destination]:
    rows = Destination.objects.filter(
        Q(workspace_id=None) | Q(workspace_id=event.workspace_id),
        organisation_id=event.organisation_id,
        is_enabled=True,
        events__contains=[event.what],
    )
    return list(rows.order_by("pk"))


def _people(budget: Budget) -> list[str]:
    """Return the addresses of those whose business a budget is, without their having asked: none of policies."""
    if budget.kind == "policy":
        return []
    if budget.kind == "api_key":
        keys = ApiKey.objects.filter(pk=budget.owner_id, organisation_id=budget.organisation_id)
        named = keys.values_list("alert_emails", flat=True).first()
        if named:
            return list(named)[:MOST_PEOPLE]
    members = Membership.objects.filter(
        organisation_id=budget.organisation_id, role__in=("owner", "admin"), user__is_active=True
    )
    found = list(members.order_by("pk").values_list("user__email", flat=True)[:MOST_PEOPLE])
    if budget.workspace_id is not None:
        admins = WorkspaceMembership.objects.filter(
            workspace_id=budget.workspace_id,
            role="admin",
            user__is_active=True,
            user__memberships__organisation_id=budget.organisation_id,
        )
        found += admins.order_by("pk").values_list("user__email", flat=True)[:MOST_PEOPLE]
    return found[:MOST_PEOPLE]
