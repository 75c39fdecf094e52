"""How does the audit trail of an organisation learn what its people did to their accounts?

This package knows no organisation, and every row of the trail belongs to one: `orgs/trail.py` listens, and writes one
row for each organisation of the person.
"""

from collections.abc import Mapping
from typing import Any, Final

from django.db import models
from django.dispatch import Signal

from control_plane.accounts.models import User

#: Sent with `user`, `action`, `row`, `before`, `after` and `by_system`, inside the transaction of the change.
account_changed: Final = Signal()


def tell(
    user: User,
    action: str,
    row: models.Model,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    by_system: bool = False,
) -> None:
    """Say that `user` did `action` to `row`, which is theirs; `by_system`: it was done to them."""
    account_changed.send(
        sender=User, user=user, action=action, row=row, before=before, after=after, by_system=by_system
    )
