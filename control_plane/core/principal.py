"""Who is asking?  The authenticated caller of the Admin API, of a page, or of a command.

Services take a principal as `actor`: it names who did it in the audit trail, and bounds what they may do.
"""

from dataclasses import dataclass
from typing import Any, Final, Literal
from uuid import UUID

from rest_framework.request import Request

from control_plane.core.scopes import ALL_SCOPES

ActorKind = Literal["api_key", "user", "system"]
SYSTEM_NAME: Final = "Gatehouse"


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller: one organisation, the workspaces it reaches (None: all), and its scopes.

    `key_type` is the type of the API key, None for a signed-in person and for the system.
    """

    kind: ActorKind
    id: str
    name: str
    organisation_id: UUID
    workspace_ids: frozenset[UUID] | None
    scopes: frozenset[str]
    key_type: str | None = None
    user_id: UUID | None = None

    @property
    def is_authenticated(self) -> bool:
        """Return True: DRF asks its users."""
        return True

    @property
    def is_active(self) -> bool:
        """Return True: an inactive caller never becomes a principal."""
        return True

    def allows(self, scope: str) -> bool:
        """Return whether the caller has `scope`."""
        return scope in self.scopes

    def sees_workspace(self, workspace_id: UUID | None) -> bool:
        """Return whether the caller reaches a workspace of its own organisation; None is the organisation itself."""
        return self.workspace_ids is None or workspace_id in self.workspace_ids


def system_actor(organisation: Any, name: str = SYSTEM_NAME) -> Principal:
    """Return the actor of commands and start-up code: everything, in one organisation (a row or its id)."""
    organisation_id: UUID = getattr(organisation, "pk", organisation)
    return Principal("system", "system", name, organisation_id, None, ALL_SCOPES)


def principal_of(request: Request) -> Principal:
    """Return the principal of an authenticated API request."""
    principal = request.auth
    if not isinstance(principal, Principal):
        raise TypeError("the request was not authenticated")
    return principal
