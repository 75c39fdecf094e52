"""What `make up` starts with: an organisation that works from the first minute, without any provider's key.

Everything is made by the services that the API and pages use; running it again finds what is there.
"""

from typing import Any, Final

from django.db import transaction

from control_plane.accounts.models import User
from control_plane.accounts.services import create_setup_link, find_or_create_user, setup_url
from control_plane.catalog.models import VirtualKey
from control_plane.catalog.services import create_virtual_key
from control_plane.core.principal import Principal, system_actor
from control_plane.core.scopes import ORGANISATION_KEY
from control_plane.gateways.models import EnrolmentToken, GatewayGroup
from control_plane.gateways.services import create_enrolment
from control_plane.gateways.signing import first_root_digest
from control_plane.keys.services import create_api_key, create_organisation_with_key, create_workspace_key
from control_plane.orgs.models import Membership, Organisation, Workspace
from control_plane.orgs.services import add_member
from shared.redact import Secret

ORGANISATION: Final = "Demo"
OWNER: Final = "owner@demo.localhost"
GROUP: Final = "local"
SLUG: Final = "demo"
MODEL: Final = "@demo/demo-chat"
DEMO_PROVIDER_KEY: Final = "demo-key"


def _owner(actor: Principal) -> User:
    owner = find_or_create_user(OWNER)
    if not Membership.objects.filter(organisation_id=actor.organisation_id, user=owner).exists():
        add_member(actor, owner, "owner")
    return owner


def _virtual_key(actor: Principal, workspace: Workspace, url: str) -> None:
    if not VirtualKey.objects.filter(workspace=workspace, slug=SLUG).exists():
        given = {
            "name": "Demo provider",
            "slug": SLUG,
            "provider": "openai",
            "key": Secret(DEMO_PROVIDER_KEY),
            "configurations": {"custom_host": url},
        }
        create_virtual_key(actor, workspace, given)


def _enrolment(organisation: Organisation) -> str | None:
    if GatewayGroup.objects.filter(organisation=organisation, name=GROUP).exists():
        return None
    EnrolmentToken.objects.filter(organisation=organisation, group_name=GROUP, used_at__isnull=True).delete()
    return create_enrolment(organisation, GROUP, serves_all=True).shown_once()


def _new_keys(actor: Principal, workspace: Workspace) -> dict[str, str]:
    admin = create_api_key(actor, ORGANISATION_KEY, {"name": "Admin key"}, mode="auto")
    return {
        "admin_api_key": admin.shown_once(),
        "api_key": create_workspace_key(actor, workspace, "Demo key").shown_once(),
    }


@transaction.atomic
def bootstrap(demo_provider_url: str, *, new_keys: bool) -> dict[str, Any]:
    """Make the demo organisation with owner, keys and provider, or find them; keys are returned only when made."""
    keys: dict[str, str | None] = {"admin_api_key": None, "api_key": None}
    organisation = Organisation.objects.filter(name=ORGANISATION).first()
    if organisation is None:
        made = create_organisation_with_key(ORGANISATION, block_inline=False)
        organisation = made.organisation
        keys["admin_api_key"] = made.admin_key.shown_once()
        workspace = made.workspace
        keys["api_key"] = create_workspace_key(system_actor(organisation), workspace, "Demo key").shown_once()
    else:
        workspace = Workspace.objects.get(organisation=organisation, is_default=True)
        if new_keys:
            keys.update(_new_keys(system_actor(organisation), workspace))
    actor = system_actor(organisation)
    owner = _owner(actor)
    _virtual_key(actor, workspace, demo_provider_url)
    return {
        "organisation_id": str(organisation.pk),
        "workspace_id": str(workspace.pk),
        "workspace_slug": workspace.slug,
        "owner_email": owner.email,
        "setup_url": None if owner.has_usable_password() else setup_url(create_setup_link(owner)),
        **keys,
        "enrolment_token": _enrolment(organisation),
        "root_sha256": first_root_digest(),
        "model": MODEL,
    }
