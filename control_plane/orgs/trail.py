"""What people do to their accounts, in the audit trail of each organisation that they belong to."""

from collections.abc import Mapping
from typing import Any

from django.db import models
from django.dispatch import receiver

from control_plane.accounts.events import account_changed
from control_plane.accounts.models import User
from control_plane.core import audit
from control_plane.core.principal import Principal, system_actor
from control_plane.orgs.models import Membership


def person(user: User, organisation_id: Any) -> Principal:
    """Return a person as the actor of what they do to what is theirs; it allows nothing."""
    return Principal("user", str(user.pk), user.email, organisation_id, frozenset(), frozenset(), user_id=user.pk)


@receiver(account_changed, dispatch_uid="orgs.trail")
def _write(
    user: User,
    action: str,
    row: models.Model,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    *,
    by_system: bool,
    **_rest: Any,
) -> None:
    about = {"user_id": str(user.pk)}
    # In one order, because each organisation's chain of events is locked when this commits.
    organisations = Membership.objects.filter(user=user).order_by("organisation_id")
    for organisation_id in organisations.values_list("organisation_id", flat=True):
        actor = system_actor(organisation_id) if by_system else person(user, organisation_id)
        audit.record(
            actor,
            action,
            row,
            before={**about, **before} if before is not None else None,
            after={**about, **after} if after is not None else None,
        )
