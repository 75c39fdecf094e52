"""May the caller do this?  Every API view is asked for the scopes of its action, and one without them is closed.

Stands apart from `resources.py` because DRF imports its default permission before it can import any view.
"""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from control_plane.core.errors import Denied
from control_plane.core.principal import Principal


def refusal(principal: Principal, scopes: Collection[str], workspace_id: UUID | None = None) -> Denied:
    """Return what tells a caller that it lacks all of `scopes`, and, to a person, by which rule and who can help."""
    if principal.kind != "user":
        return Denied(f"This API key lacks the scope {' or '.join(sorted(scopes))}.")
    told = principal.why_not(min(scopes), workspace_id)
    return Denied(f"Your role does not allow this: {told.rule}. Ask {told.changed_by}.")


class HasScope(BasePermission):
    """The caller has one of the scopes that the action needs."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """Return whether the call may go on; a method that the route lacks is left to be answered as such."""
        scopes_of = getattr(view, "scopes_of", None)
        if not isinstance(request.auth, Principal) or scopes_of is None:
            return False
        if view.action is None:
            return True
        needed = scopes_of(view.action)
        if any(request.auth.allows(scope) for scope in needed):
            return True
        raise refusal(request.auth, needed)
