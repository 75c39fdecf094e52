"""Switches of access: what owners and admins take from roles, for the organisation or, winning over it, a workspace."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from control_plane.core import audit
from control_plane.core.errors import Invalid
from control_plane.core.principal import Principal
from control_plane.core.roles import ALL_SWITCHES, is_on
from control_plane.orgs.models import Organisation, Workspace


def shown(switches: Mapping[str, bool]) -> dict[str, bool]:
    """Return every switch as it stands, by name."""
    return {name: is_on(name, switches) for name in sorted(ALL_SWITCHES)}


def checked(given: Mapping[str, Any], *, may_unset: bool) -> dict[str, bool | None]:
    """Return the switches of a request; None takes a workspace's own back.  Raises Invalid with every fault."""
    faults = [f"{name}: there is no such switch" for name in sorted(given) if name not in ALL_SWITCHES]
    for name, value in given.items():
        if name in ALL_SWITCHES and not isinstance(value, bool) and not (may_unset and value is None):
            faults.append(f"{name}: must be true or false" + (", or null for the organisation's" if may_unset else ""))
    if faults:
        raise Invalid(" ".join(faults))
    return dict(given)


@transaction.atomic
def set_access(actor: Principal, row: Organisation | Workspace, given: Mapping[str, bool | None]) -> dict[str, bool]:
    """Set the switches that `given` names (None: take a workspace's own back); return all that are set on the row."""
    locked = type(row).objects.select_for_update().get(pk=row.pk)
    before = dict(locked.access)
    after = {name: value for name, value in {**before, **given}.items() if value is not None}
    locked.access = after
    locked.save(update_fields=["access", "last_updated_at"])
    audit.record(actor, "update", locked, before={"access": before}, after={"access": after})
    return after
