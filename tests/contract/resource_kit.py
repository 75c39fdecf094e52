"""Rows of every resource of the Admin API, and the bodies that make them."""

import re
from itertools import count

from control_plane.alerts.services import create_destination, try_destination
from control_plane.budgets.models import Budget
from control_plane.catalog.services import create_integration
from control_plane.configs.models import Config
from control_plane.core.models import AuditEvent
from control_plane.core.resources import ResourceViewSet, discover
from control_plane.orgs.domains import claim_domain
from control_plane.orgs.models import Role
from control_plane.orgs.services import add_workspace_user
from control_plane.policies.models import UsageLimitPolicy
from tests.control_plane.factories import Api, make_member
from tests.control_plane.logs.log_kit import store

ALL = discover()
TOP = {path: viewset for path, viewset in ALL.items() if "(" not in path and not viewset.is_single}
WHOLE = {path: viewset for path, viewset in TOP.items() if issubclass(viewset, ResourceViewSet)}

_NUMBERS = count(1)
_PLACE = re.compile(r"\{(\w+)\}")


def create_path(path):
    """Where a row of a resource is made."""
    return getattr(WHOLE[path], "create_path", path)


def example(path, tenant):
    """The resource's own example, with what it refers to made."""
    body = dict(WHOLE[path].example)
    if body.get("integration_id") == "{integration}":
        account = {"name": "account", "ai_provider_id": "openai"}
        body["integration_id"] = create_integration(tenant.actor, account).slug
    if path == "labels":  # a version is asked for by the name of its label: no two are called alike
        body["name"] = f"{body['name']}-{next(_NUMBERS)}"
    return body


def make(path, tenant):
    """Make a row by its example; return its id."""
    answer = Api(tenant.admin_key).post(create_path(path), example(path, tenant))
    assert answer.status_code == 200, answer.content
    return answer.json()["id"]


def _member_of_workspace(tenant):
    user = make_member(tenant)
    role = Role.objects.get(pk=make("admin/roles", tenant))
    add_workspace_user(tenant.actor, tenant.workspace, user.pk, role.slug)
    return str(user.pk)


def _integration(tenant):
    made, api = make("integrations", tenant), Api(tenant.admin_key)
    models = [
        {"slug": "gpt-4o", "enabled": False},
        {"slug": f"mine-{next(_NUMBERS)}", "enabled": True, "is_custom": True},
    ]
    workspace = {"id": tenant.workspace.slug, "enabled": True, "usage_limits": {"credit_limit": 10, "type": "cost"}}
    for path, body in (("models", {"models": models}), ("workspaces", {"workspaces": [workspace]})):
        answer = api.put(f"integrations/{made}/{path}", body)
        assert answer.status_code == 200, answer.content
    return made


def _config(tenant):
    found = Config.objects.filter(organisation=tenant.organisation).first()
    return str(found.pk) if found else make("configs", tenant)


def _version(tenant):
    row_id = _config(tenant)
    body = {"config": {"virtual_key": "team-openai", "retry": {"attempts": 1 + next(_NUMBERS) % 5}}}
    assert Api(tenant.admin_key).put(f"configs/{row_id}", body).status_code == 200
    return row_id


def _invite(tenant):
    body = {"email": f"new{next(_NUMBERS)}@example.com", "role": "member"}
    return Api(tenant.admin_key).post("admin/users/invites", body).json()["id"]


def _policy(tenant):
    found = UsageLimitPolicy.objects.filter(organisation=tenant.organisation).first()
    return str(found.pk) if found else make("policies/usage-limits", tenant)


def _usage(tenant):
    used = {"value_key": f"metadata._user:{next(_NUMBERS)}", "spent": 7, "committed": 7, "limit": 10}
    made = Budget.objects.create(organisation=tenant.organisation, kind="policy", owner_id=_policy(tenant), **used)
    return str(made.pk)


def _delivery(tenant):
    row = create_destination(tenant.actor, None, {"name": "post", "type": "email", "address": "a@example.com"})
    return str(try_destination(tenant.actor, row).pk)


#: How rows are made that no example makes, by the path of their list.
_OTHERS = {
    "admin/organisation/domains": lambda tenant: str(claim_domain(tenant.actor, f"c{next(_NUMBERS)}.example").pk),
    "admin/users": _member_of_workspace,
    "admin/users/invites": _invite,
    "admin/workspaces/{workspace}/users": _member_of_workspace,
    "alert-deliveries": _delivery,
    "budgets": _usage,
    "configs/{id}/versions": _version,
    "integrations": _integration,
    "audit-logs": lambda tenant: str(AuditEvent.objects.filter(organisation_id=tenant.organisation.pk).first().pk),
    "logs": lambda tenant: str(store(tenant, request=b"{}", response=b"{}").id),
    "policies/usage-limits/{policy}/entities": _usage,
}
#: What paths name beside rows, or of rows that must be there for others.
_FIXED = {
    "admin/workspaces/{workspace}": lambda tenant: tenant.workspace.slug,
    "configs/{id}": _config,
    "api-keys/{owner}": lambda tenant: "workspace",
    "api-keys/{owner}/{use}": lambda tenant: "service",
    "integrations/{integration}": _integration,
    "policies/usage-limits/{policy}": _policy,
}


def make_row(path, tenant):
    """Make a row of a list, whose path is spelt as in OpenAPI; return its id."""
    return _OTHERS[path](tenant) if path in _OTHERS else make(path, tenant)


def named_by(path, tenant, known):
    """What a path of the API names, by name: rows that are there; `known` keeps them for the next path."""
    found = {}
    for place in _PLACE.finditer(path):
        upto = path[1 : place.end()]
        if upto not in known:
            made = _FIXED.get(upto)
            known[upto] = made(tenant) if made else make_row(path[1 : place.start() - 1], tenant)
        found[place[1]] = known[upto]
    return found


def path_of(operation, tenant, known):
    """The path of an operation on rows that are there."""
    return operation.path[1:].format_map(named_by(operation.path, tenant, known))
