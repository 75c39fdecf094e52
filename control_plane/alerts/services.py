"""Changes of alert destinations, and a message that shows whether one works."""

from collections.abc import Mapping
from typing import Any, Final

from django.db import transaction

from control_plane.alerts.delivery import send_now
from control_plane.alerts.messages import trial_message
from control_plane.alerts.models import EMAIL, EVENT_NAMES, SLACK, Delivery, Destination
from control_plane.alerts.serializers import delivery_json, destination_json
from control_plane.alerts.targets import Target, keep, target_of
from control_plane.core import audit
from control_plane.core.errors import Conflict, Invalid, Missing
from control_plane.core.outbox import touch
from control_plane.core.outgoing import checked_url
from control_plane.core.principal import Principal
from control_plane.orgs.models import Organisation, Workspace
from shared.redact import Secret

Json = Mapping[str, Any]
#: Every event writes a row for each.
MOST_DESTINATIONS: Final = 100
_NONE: Final = Secret("")


def _take_address(row: Destination, given: Json) -> None:
    """Say where an e-mail or a webhook goes.  Raises Invalid for what does not fit the type, or may not be called."""
    wanted, unfit = ("address", ("url", "secret")) if row.type == EMAIL else ("url", ("address",))
    if row.type == SLACK:
        unfit = (*unfit, "secret")
    for field in unfit:
        if given.get(field):
            raise Invalid(f"{field}: a destination of type {row.type} has none")
    if wanted in given and not given[wanted]:
        raise Invalid(f"{wanted}: must not be empty")
    if not (row.address or given.get(wanted)):
        raise Invalid(f"{wanted}: is required for a destination of type {row.type}")
    if row.type == EMAIL:
        row.address = given.get("address") or row.address
        return
    held = target_of(row) if row.ciphertext else Target(_NONE, _NONE)
    url = given.get("url")
    # Who sends back what was shown means no change.
    new_url = Secret(_callable_url(url)) if url and url != row.address else held.url
    keep(row, Target(new_url, given.get("secret") or held.secret))


def _callable_url(url: str) -> str:
    try:
        return checked_url(url)
    except ValueError as fault:
        raise Invalid(f"url: {fault}") from None


def _take(row: Destination, given: Json) -> None:
    _take_address(row, given)
    row.name = given.get("name", row.name)
    row.is_enabled = given.get("enabled", row.is_enabled)
    if "events" in given:
        row.events = [name for name in EVENT_NAMES if name in given["events"]]


@transaction.atomic
def create_destination(actor: Principal, workspace: Workspace | None, given: Json) -> Destination:
    """Add a destination of `name`, `type` and `url` or, for e-mail, `address`; for one workspace, or (None) for all.

    It may have `secret` (webhooks), `events` (by default all) and `enabled`.  Raises Invalid with what is wrong,
    Conflict when there are too many.
    """
    # Locked, so that two at once do not both find room for the last one.
    organisation = Organisation.objects.select_for_update(no_key=True).get(pk=actor.organisation_id)
    if Destination.objects.filter(organisation=organisation).count() >= MOST_DESTINATIONS:
        raise Conflict(f"There are {MOST_DESTINATIONS} alert destinations already: delete one first.")
    row = Destination(organisation=organisation, workspace=workspace, type=given["type"], events=list(EVENT_NAMES))
    _take(row, given)
    row.save()
    audit.record(actor, "create", row, after=destination_json(row))
    touch(actor.organisation_id, ())
    return row


def _locked(row: Destination) -> Destination:
    found = Destination.objects.select_for_update().filter(pk=row.pk).first()
    if found is None:
        raise Missing
    return found


@transaction.atomic
def update_destination(actor: Principal, row: Destination, given: Json) -> Destination:
    """Change what `given` names; fields as in `create_destination`, except that `type` and workspace stay."""
    row = _locked(row)
    before = destination_json(row)
    if given.get("type") not in {None, row.type}:
        raise Invalid("type: cannot be changed")
    _take(row, given)
    row.save()
    audit.record(actor, "update", row, before=before, after=destination_json(row))
    touch(actor.organisation_id, ())
    return row


@transaction.atomic
def delete_destination(actor: Principal, row: Destination) -> None:
    """Delete a destination, with the list of what was sent there."""
    audit.record(actor, "delete", row, before=destination_json(row))
    row.delete()
    touch(actor.organisation_id, ())


@transaction.atomic
def try_destination(actor: Principal, row: Destination) -> Delivery:
    """Send a message that is a test, whether the destination is enabled or not, and return what came of it."""
    sent = Delivery(
        organisation_id=row.organisation_id,
        workspace_id=row.workspace_id,
        destination=row,
        channel=row.type,
        address=row.address,
        target=str(row.pk),
        message=trial_message(row),
    )
    send_now(sent)
    audit.record(actor, "test", row, after=delivery_json(sent))
    return sent
