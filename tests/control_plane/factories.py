"""Rows and callers for tests of the control plane: plain functions, made by the services that the product uses."""

from dataclasses import dataclass
from itertools import count

from django.test import Client

from control_plane.accounts.services import find_or_create_user
from control_plane.catalog.services import create_virtual_key
from control_plane.configs.services import create_config
from control_plane.core.principal import system_actor
from control_plane.core.scopes import WORKSPACE_SERVICE_KEY
from control_plane.keys.services import create_api_key, create_organisation_with_key
from control_plane.orgs.services import add_member, create_workspace
from shared.redact import Secret

_NUMBERS = count(1)


@dataclass
class Tenant:
    """An organisation with its default workspace, its admin key as text, and an actor who may do everything."""

    organisation: object
    workspace: object
    admin_key: str
    actor: object


def make_tenant(name="Acme", *, block_inline=False):
    """A new organisation."""
    made = create_organisation_with_key(f"{name} {next(_NUMBERS)}", block_inline=block_inline)
    return Tenant(made.organisation, made.workspace, made.admin_key.shown_once(), system_actor(made.organisation))


def make_workspace(tenant, name="Team"):
    """Another workspace of the tenant."""
    return create_workspace(tenant.actor, name)


def make_key(tenant, scopes=None, *, key_type=WORKSPACE_SERVICE_KEY, workspace=None, **given):
    """A new API key; `.row` and `.shown_once()`."""
    home = None if key_type.startswith("organisation") else workspace or tenant.workspace
    given = {"name": "key", "scopes": scopes, **given}
    return create_api_key(tenant.actor, key_type, given, workspace=home)


def make_virtual_key(tenant, name="Team OpenAI", *, key="sk-factory-0123456789", workspace=None, **given):
    """A new virtual key."""
    given = {"name": name, "provider": "openai", "key": Secret(key), **given}
    return create_virtual_key(tenant.actor, workspace or tenant.workspace, given)


def make_config(tenant, name="primary", body=None, *, workspace=None, **given):
    """A new config."""
    body = body or {"provider": "openai", "retry": {"attempts": 1}}
    return create_config(tenant.actor, workspace or tenant.workspace, name, body, **given)


def make_member(tenant, role="member", email=None):
    """A new user of the organisation."""
    user = find_or_create_user(email or f"person{next(_NUMBERS)}@example.com")
    add_member(tenant.actor, user, role)
    return user


class Api:
    """A caller of the Admin API with one key (text; None: without)."""

    def __init__(self, key=None, **headers):
        self.client = Client(headers={**({"x-portkey-api-key": key} if key else {}), **headers})

    def get(self, path, **query):
        """GET /v1/<path>."""
        return self.client.get(f"/v1/{path}", query)

    def post(self, path, body=None):
        """POST a JSON body."""
        return self.client.post(f"/v1/{path}", body if body is not None else {}, content_type="application/json")

    def put(self, path, body=None):
        """PUT a JSON body."""
        return self.client.put(f"/v1/{path}", body if body is not None else {}, content_type="application/json")

    def delete(self, path, body=None, query=""):
        """DELETE, with a body when one is given."""
        return self.client.delete(f"/v1/{path}{query}", body or "", content_type="application/json")
