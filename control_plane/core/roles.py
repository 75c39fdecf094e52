"""What may a role do, and why not?  Scopes of people by their roles, narrowed by what owners and admins switch off.

Everybody who asks (the API, a page, a button) asks here, so that a button is there exactly when its call would succeed.
A person has a role in the organisation, and members have one in each workspace that they joined.  A workspace's own
switches win over the organisation's.  Source: `contract.md` 9.1, 9.2.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from control_plane.core.scopes import ALL_SCOPES, DATA_PLANE, KEY_ADMINISTRATION, SHARED_BY_ALL

OWNER, ADMIN, MEMBER, MANAGER = "owner", "admin", "member", "manager"
ORGANISATION_ROLES: Final = (OWNER, ADMIN, MEMBER)
WORKSPACE_ROLES: Final = (ADMIN, MANAGER, MEMBER)
_LOOKING: Final = frozenset({"list", "read", "view"})
#: Whose hands the switches are in.
BY_ADMINS: Final = "an owner or admin of the organisation"
BY_WORKSPACE_ADMINS: Final = "an admin of the workspace, or an owner or admin of the organisation"

#: What a workspace's own people may be allowed there: nothing that reaches beyond it.
IN_WORKSPACE: Final = frozenset(
    scope for scope in SHARED_BY_ALL | KEY_ADMINISTRATION if not scope.startswith("organisation_")
)
#: What a member of a workspace may do: look, and nothing else.
_VIEWS: Final = frozenset(scope for scope in IN_WORKSPACE if scope.rpartition(".")[2] in _LOOKING)


def _of(*resources: str, looking: bool) -> frozenset[str]:
    return frozenset(
        scope
        for scope in IN_WORKSPACE
        if scope.partition(".")[0] in resources and (scope.rpartition(".")[2] in _LOOKING) is looking
    )


_PROVIDERS: Final = ("providers", "virtual_keys")
_KEYS: Final = ("workspace_service_api_keys", "workspace_user_api_keys")
_LOG_BODIES: Final = frozenset({"logs.view", "logs.export"})
_LOG_METADATA: Final = frozenset({"logs.list"})


@dataclass(frozen=True, slots=True)
class Switch:
    """What owners and admins can take from a role (or, where it is off at first, give it).

    `role` is a role in a workspace; ADMIN means the organisation's admins and owners.
    """

    role: str
    scopes: frozenset[str]
    is_on: bool = True


#: The switches by the names that the API and the pages use.
SWITCHES: Final[Mapping[str, Switch]] = {
    "managersViewAnalytics": Switch(MANAGER, frozenset({"analytics.view"})),
    "membersViewAnalytics": Switch(MEMBER, frozenset({"analytics.view"})),
    "managersViewLogs": Switch(MANAGER, _LOG_BODIES),
    "managersViewLogsMetadata": Switch(MANAGER, _LOG_METADATA),
    "membersViewLogs": Switch(MEMBER, frozenset({"logs.view"})),
    "membersViewLogsMetadata": Switch(MEMBER, _LOG_METADATA),
    "orgAdminViewLogs": Switch(ADMIN, _LOG_BODIES),
    "orgAdminViewLogsMetadata": Switch(ADMIN, _LOG_METADATA),
    "managersViewPrompts": Switch(MANAGER, _of("prompts", looking=True)),
    "managersWritePrompts": Switch(MANAGER, _of("prompts", looking=False)),
    "membersViewPrompts": Switch(MEMBER, _of("prompts", looking=True)),
    "membersWritePrompts": Switch(MEMBER, _of("prompts", looking=False), is_on=False),
    "managersViewGuardrails": Switch(MANAGER, _of("guardrails", looking=True)),
    "managersWriteGuardrails": Switch(MANAGER, _of("guardrails", looking=False)),
    "membersViewGuardrails": Switch(MEMBER, _of("guardrails", looking=True)),
    "managersViewProviders": Switch(MANAGER, _of(*_PROVIDERS, looking=True)),
    "managersManageProviders": Switch(MANAGER, _of(*_PROVIDERS, looking=False)),
    "membersViewProviders": Switch(MEMBER, _of(*_PROVIDERS, looking=True)),
    "managersViewApiKeys": Switch(MANAGER, _of(*_KEYS, looking=True)),
    "managersManageApiKeys": Switch(MANAGER, _of(*_KEYS, looking=False)),
    "membersViewApiKeys": Switch(MEMBER, _of(*_KEYS, looking=True), is_on=False),
    "membersManageApiKeys": Switch(MEMBER, _of(*_KEYS, looking=False), is_on=False),
    "managersWriteWsIntegrations": Switch(MANAGER, _of("workspace_integrations", looking=False)),
    "managersWriteWsMcpIntegrations": Switch(MANAGER, _of("workspace_mcp_integrations", looking=False)),
    "managersWriteMcpServers": Switch(MANAGER, _of("mcp_servers", looking=False)),
}
#: Switches that say whose data a role sees, not which operations it has: off, only that of the person's own keys.
OWN_DATA_SWITCHES: Final[Mapping[str, str]] = {"managersViewAllData": MANAGER, "membersViewAllData": MEMBER}
ALL_SWITCHES: Final = frozenset(SWITCHES) | frozenset(OWN_DATA_SWITCHES)

#: Whoever makes keys may give them the right to make calls, so they have it, though a call needs a key.
_MANAGES: Final = IN_WORKSPACE | DATA_PLANE
_BASE: Final[Mapping[str, frozenset[str]]] = {ADMIN: _MANAGES, MANAGER: _MANAGES, MEMBER: _VIEWS}
_WITHOUT: Final = "is not part of the role"


@dataclass(frozen=True, slots=True)
class CustomRole:
    """A role that an organisation made: all that its people may do, whatever is switched."""

    name: str
    scopes: frozenset[str]
    own_data_only: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a person stands: the role in the organisation, the one in a workspace, and which switches were set.

    `workspace_role` None: none of that workspace, or it is about the organisation itself.  `switches` holds only what
    somebody has set; a workspace's own are laid over the organisation's.  A `custom` role stands in the place of both.
    """

    organisation_role: str
    workspace_role: str | None = None
    switches: Mapping[str, bool] = field(default_factory=dict)
    custom: CustomRole | None = None

    def role(self) -> str | None:
        """Return the role whose rules apply."""
        return ADMIN if self.organisation_role in {OWNER, ADMIN} else self.workspace_role


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether something is allowed; if not, which rule says so and who can change that."""

    allowed: bool
    rule: str = ""
    changed_by: str = ""


ALLOWED: Final = Verdict(allowed=True)


def is_on(name: str, switches: Mapping[str, bool]) -> bool:
    """Return whether a switch is on: as somebody set it, else as it is at first."""
    given = switches.get(name)
    if given is not None:
        return given
    switch = SWITCHES.get(name)
    return switch.is_on if switch is not None else True


def verdict(scope: str, standing: Standing) -> Verdict:
    """Return whether a person of this standing may do what `scope` names, and why not."""
    if standing.custom is not None:
        if scope in standing.custom.scopes:
            return ALLOWED
        return Verdict(allowed=False, rule=f"{scope} {_WITHOUT} {standing.custom.name}", changed_by=BY_ADMINS)
    role = standing.role()
    if role is None:
        return Verdict(allowed=False, rule="no role in this workspace", changed_by=BY_WORKSPACE_ADMINS)
    for name, switch in SWITCHES.items():
        if switch.role == role and scope in switch.scopes:
            if is_on(name, standing.switches):
                return ALLOWED
            return Verdict(allowed=False, rule=f"the setting {name} is off", changed_by=BY_ADMINS)
    whole = standing.organisation_role in {OWNER, ADMIN}
    if scope in (ALL_SCOPES if whole else _BASE[role]):
        return ALLOWED
    by = BY_ADMINS if scope not in IN_WORKSPACE else BY_WORKSPACE_ADMINS
    return Verdict(allowed=False, rule=f"{scope} {_WITHOUT} {role}", changed_by=by)


def scopes_of(standing: Standing) -> frozenset[str]:
    """Return everything that a person of this standing may do."""
    return frozenset(scope for scope in ALL_SCOPES if verdict(scope, standing).allowed)


def sees_own_data_only(standing: Standing) -> bool:
    """Return whether a person sees the data of their own keys only."""
    if standing.custom is not None:
        return standing.custom.own_data_only
    role = standing.role()
    return any(role == of and not is_on(name, standing.switches) for name, of in OWN_DATA_SWITCHES.items())
