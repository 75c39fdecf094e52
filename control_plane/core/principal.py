"""Who is asking?  The authenticated caller of the Admin API, of a page, or of a command.

Services take a principal as `actor`: it names who did it in the audit trail, and bounds what they may do.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal
from uuid import UUID

from rest_framework.request import Request

from control_plane.core.roles import ALLOWED, BY_ADMINS, MEMBER, Standing, Verdict, verdict
from control_plane.core.scopes import ALL_SCOPES, OF_KEY_TYPE

ActorKind = Literal["api_key", "user", "system"]
SYSTEM_NAME: Final = "Gatehouse"


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller: one organisation, the workspaces it reaches (None: all), and its scopes.

    `key_type` is the type of the API key, None for a signed-in person and for the system.  `by_workspace` holds the
    scopes of a person whose roles differ between workspaces, and `scopes` then all of them together; empty: `scopes`
    hold wherever the caller reaches.  In `own_data_in` a person sees the data of their own keys only.  `standings` are
    why.
    """

    kind: ActorKind
    id: str
    name: str
    organisation_id: UUID
    workspace_ids: frozenset[UUID] | None
    scopes: frozenset[str]
    key_type: str | None = None
    user_id: UUID | None = None
    by_workspace: Mapping[UUID, frozenset[str]] = field(default_factory=dict)
    own_data_in: frozenset[UUID] = frozenset()
    standings: Mapping[UUID | None, Standing] = field(default_factory=dict)

    @property
    def is_authenticated(self) -> bool:
        """Return True: DRF asks its users."""
        return True

    @property
    def is_active(self) -> bool:
        """Return True: an inactive caller never becomes a principal."""
        return True

    def allows(self, scope: str, workspace_id: UUID | None = None) -> bool:
        """Return whether the caller has `scope`: in this workspace, or, without one, anywhere."""
        return scope in self.scopes_in(workspace_id)

    def scopes_in(self, workspace_id: UUID | None) -> frozenset[str]:
        """Return the scopes that the caller has in a workspace; None: in the organisation as a whole."""
        if workspace_id is not None and self.by_workspace:
            return self.by_workspace.get(workspace_id, frozenset())
        return self.scopes

    def may_give(self, workspace_id: UUID | None) -> frozenset[str]:
        """Return the scopes that the caller may give to a key or a role in a workspace; None: in the organisation.

        Nobody gives what they could hold and do not: a key with few scopes cannot mint one with more.  What the
        caller's kind can never hold, such as inference for admin keys, is given freely.
        """
        holdable = OF_KEY_TYPE[self.key_type] if self.key_type else ALL_SCOPES
        return ALL_SCOPES - (holdable - self.scopes_in(workspace_id))

    def narrowed(self, scopes: Collection[str]) -> "Principal":
        """Return the caller as it is for something that needs one of `scopes`: within the workspaces that allow it."""
        return replace(self, workspace_ids=self.workspaces_with(scopes)) if self.by_workspace else self

    def workspaces_with(self, scopes: Collection[str]) -> frozenset[UUID] | None:
        """Return the workspaces in which the caller has one of `scopes`; None: all of the organisation."""
        if not self.by_workspace:
            return self.workspace_ids
        return frozenset(each for each, held in self.by_workspace.items() if not held.isdisjoint(scopes))

    def why_not(self, scope: str, workspace_id: UUID | None = None) -> Verdict:
        """Return whether the caller may do what `scope` names, and if not, by which rule and who can change it."""
        if self.allows(scope, workspace_id):
            return ALLOWED
        standing = self.standings.get(workspace_id) or self.standings.get(None)
        if standing is None and workspace_id is None:
            standing = next(iter(self.standings.values()), None)
        if standing is None and self.kind == "user":
            # They stand nowhere there.
            standing = Standing(MEMBER)
        if standing is None:
            return Verdict(allowed=False, rule=f"the API key lacks the scope {scope}", changed_by=BY_ADMINS)
        return verdict(scope, standing)

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
