"""May the caller do this?  Every API view is asked for the scopes of its action, and one without them is closed.

Stands apart from `resources.py` because DRF imports its default permission before it can import any view.
"""

from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from control_plane.core.errors import Denied
from control_plane.core.principal import Principal


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
        raise Denied(f"This API key lacks the scope {' or '.join(sorted(needed))}.")
