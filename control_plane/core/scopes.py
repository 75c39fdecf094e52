"""All scopes, and which type of API key may hold which.  What people may do is in `roles.py`.

Source: `contract.md` 6.3.  A scope reads `resource.verb`.
"""

from typing import Final

from shared.errors import BadRequest

CRUD: Final = ("create", "delete", "list", "read", "update")
KEY_VERBS: Final = (*CRUD, "rotate")

ORGANISATION_KEY: Final = "organisation-service"
WORKSPACE_SERVICE_KEY: Final = "workspace-service"
WORKSPACE_USER_KEY: Final = "workspace-user"
KEY_TYPES: Final = (ORGANISATION_KEY, WORKSPACE_SERVICE_KEY, WORKSPACE_USER_KEY)


def _scopes(**verbs: tuple[str, ...]) -> frozenset[str]:
    return frozenset(f"{resource}.{verb}" for resource, allowed in verbs.items() for verb in allowed)


_WRITE: Final = ("create", "delete", "read", "update")

ORGANISATION_ONLY: Final = _scopes(
    audit_logs=("list",),
    deployments=CRUD,
    organisation_agent_integrations=_WRITE,
    organisation_exclusions=("list", "update"),
    organisation_guardrails=CRUD,
    organisation_integrations=_WRITE,
    organisation_mcp_integrations=_WRITE,
    organisation_service_api_keys=KEY_VERBS,
    organisation_settings=("read", "update"),
    organisation_users=CRUD,
    plugins=("create", "list", "update"),
    secret_references=CRUD,
    workspaces=("create", "delete"),
)
KEY_ADMINISTRATION: Final = _scopes(workspace_service_api_keys=KEY_VERBS, workspace_user_api_keys=KEY_VERBS)
SHARED_BY_ALL: Final = _scopes(
    agent_servers=CRUD,
    analytics=("view",),
    configs=CRUD,
    guardrails=CRUD,
    logs=("export", "list", "view"),
    mcp_servers=CRUD,
    organisation_agent_integrations=("list",),
    organisation_integrations=("list",),
    organisation_mcp_integrations=("list",),
    policies=CRUD,
    prompts=(*CRUD, "publish"),
    providers=CRUD,
    virtual_keys=(*CRUD, "copy", "duplicate"),
    workspace_agent_integrations=CRUD,
    workspace_integrations=CRUD,
    workspace_mcp_integrations=CRUD,
    workspace_users=CRUD,
    workspaces=("list", "read", "update"),
)
DATA_PLANE: Final = _scopes(
    agents=("invoke",),
    completions=("write",),
    guardrails=("invoke",),
    logs=("write",),
    mcp=("invoke",),
    prompts=("render",),
)

#: Every scope that a key of each type may hold.
OF_KEY_TYPE: Final = {
    ORGANISATION_KEY: ORGANISATION_ONLY | KEY_ADMINISTRATION | SHARED_BY_ALL,
    WORKSPACE_SERVICE_KEY: KEY_ADMINISTRATION | SHARED_BY_ALL | DATA_PLANE,
    WORKSPACE_USER_KEY: SHARED_BY_ALL | DATA_PLANE,
}
ALL_SCOPES: Final = frozenset[str]().union(*OF_KEY_TYPE.values())


def scope_prefix(key_type: str) -> str:
    """Return the resource under which keys of a type are scoped, such as `workspace_user_api_keys`."""
    return f"{key_type.replace('-', '_')}_api_keys"


def refuse_unfit(scopes: frozenset[str], key_type: str) -> None:
    """Raise BadRequest when a key of `key_type` may not hold one of `scopes`, or there is no such scope."""
    unfit = sorted(scopes - OF_KEY_TYPE[key_type])
    if unfit:
        raise BadRequest(f"a key of type {key_type} may not hold: {', '.join(unfit)}", path="scopes")
