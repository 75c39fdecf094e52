"""Which organisations changed?  Rows that the publisher of bundles works off, written with the change itself.

The row is the truth and NOTIFY only a wake-up: what is missed is found by the publisher's sweep.
"""

from collections.abc import Iterable
from typing import Any, Final

from django.db import connection, transaction

from control_plane.core.models import OutboxEvent

CHANNEL: Final = "gatehouse_outbox"


def touch(organisation: Any, sections: Iterable[str], revoked: Iterable[str] = ()) -> OutboxEvent:
    """Note that `sections` of an organisation (a row or its id) must be published anew.

    `revoked` names what gateways must refuse at once, such as `k:<uuid>` for an API key.  Call it inside the
    change's transaction: it takes effect, and wakes the publisher, when that commits.
    """
    with transaction.atomic():
        event = OutboxEvent.objects.create(
            organisation_id=getattr(organisation, "pk", organisation),
            sections=sorted(set(sections)),
            revoked=list(revoked),
        )
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, %s)", [CHANNEL, str(event.organisation_id)])
    return event
