"""Changes of integrations and virtual keys; a credential goes to the vault and is shown masked from then on.

A key may be sent to one host, sealed with it: whoever points an account at another host must give the key again, so
that the right to edit an account is not the right to read its key.
"""

from collections.abc import Mapping
from typing import Any, Final

from django.db import transaction

from control_plane.catalog.hosts import allowed_hosts, checked_custom_host
from control_plane.catalog.models import Integration, VirtualKey
from control_plane.catalog.serializers import integration_json, virtual_key_json
from control_plane.core import audit
from control_plane.core.errors import Conflict, Invalid
from control_plane.core.fields import slug_of
from control_plane.core.outbox import touch
from control_plane.core.principal import Principal
from control_plane.orgs.models import Workspace
from control_plane.vault.services import open_secret, replace_secret, store_secret
from shared.ids import make_slug
from shared.redact import Secret
from shared.schema.target_settings import ADDRESS_SETTINGS

Json = Mapping[str, Any]
SECTIONS: Final = ("secrets", "virtual_keys")
#: An account whose secrets are all among its settings has no key of its own.
NO_KEY: Final = Secret("")


def _settings(given: Json) -> tuple[dict[str, Any], dict[str, Secret]]:
    """Return the configurations to store, the custom host among them checked, and apart from them what is secret."""
    said = {name: value for name, value in (given.get("configurations") or {}).items() if value}
    secrets = {name: value for name, value in said.items() if isinstance(value, Secret)}
    settings = {name: value for name, value in said.items() if name not in secrets}
    for name in ("custom_host", *ADDRESS_SETTINGS):
        if name in settings:
            settings[name] = checked_custom_host(settings[name])
    return settings, secrets


def _free_slug(rows: Any, wanted: str | None, name: str) -> str:
    """Return the wanted slug, or one made of the name.  Raises Conflict when the wanted one is taken."""
    slug = wanted or slug_of(name, "provider")
    if not rows.filter(slug=slug).exists():
        return slug
    if wanted:
        raise Conflict(f"The slug {wanted!r} is taken.")
    return make_slug(slug, 6)


@transaction.atomic
def create_integration(
    actor: Principal, given: Json, *, workspace: Workspace | None = None, is_own: bool = False
) -> Integration:
    """Make an integration of `name`, `ai_provider_id`, `key` (Secret), `slug`, `description`, `configurations`.

    Only the first two must be given.  Raises Invalid for an unknown provider or a host that may not be used,
    Conflict for a slug that is taken.
    """
    settings, secrets = _settings(given)
    hosts = allowed_hosts(given["ai_provider_id"], settings, actor.organisation_id)
    key: Secret | None = given.get("key")
    of_organisation = Integration.objects.filter(organisation_id=actor.organisation_id)
    integration = Integration.objects.create(
        organisation_id=actor.organisation_id,
        workspace=workspace,
        ai_provider_id=given["ai_provider_id"],
        slug=_free_slug(of_organisation, given.get("slug"), given["name"]),
        name=given["name"],
        description=given.get("description") or "",
        configurations=settings,
        secret=store_secret(actor.organisation_id, key or NO_KEY, hosts, secrets) if key or secrets else None,
        is_own=is_own,
    )
    audit.record(actor, "create", integration, after=integration_json(integration))
    return integration


@transaction.atomic
def update_integration(actor: Principal, integration: Integration, given: Json) -> Integration:
    """Change what `given` names: `name`, `description`, `key`, `configurations` (as a whole).

    Raises Invalid when the host changes and the key is not given again.  Secrets among the configurations replace all
    that there were.
    """
    before = integration_json(integration)
    provider, organisation_id = integration.ai_provider_id, integration.organisation_id
    old_hosts = allowed_hosts(provider, integration.configurations, organisation_id)
    integration.name = given.get("name", integration.name)
    if "description" in given:
        integration.description = given["description"] or ""
    secrets: dict[str, Secret] = {}
    if "configurations" in given:
        integration.configurations, secrets = _settings(given)
    hosts = allowed_hosts(provider, integration.configurations, organisation_id)
    key: Secret | None = given.get("key")
    if key is None and not secrets and hosts != old_hosts and integration.secret is not None:
        raise Invalid("Give the key again when the host changes: a key is bound to the host it was entered for.")
    if key is not None or secrets:
        _store(integration, key, hosts, secrets)
    integration.save()
    audit.record(actor, "update", integration, before=before, after=integration_json(integration))
    touch(integration.organisation_id, SECTIONS)
    return integration


def _store(integration: Integration, key: Secret | None, hosts: tuple[str, ...], secrets: Mapping[str, Secret]) -> None:
    """Keep what was given; what was not given is kept from before when it was bound to the same hosts."""
    if integration.secret is None:
        integration.secret = store_secret(integration.organisation_id, key or NO_KEY, hosts, secrets)
        return
    before = open_secret(integration.secret)
    same = before.hosts == hosts
    if key is None:
        key = before.key if same else NO_KEY
    integration.secret = replace_secret(integration.secret, key, hosts, secrets or (before.settings if same else {}))


@transaction.atomic
def delete_integration(actor: Principal, integration: Integration) -> None:
    """Delete an integration with its credential and every virtual key of it."""
    for virtual_key in integration.virtual_keys.select_related("integration"):
        audit.record(actor, "delete", virtual_key, before=virtual_key_json(virtual_key))
        virtual_key.delete()
    audit.record(actor, "delete", integration, before=integration_json(integration))
    _drop(integration)
    touch(actor.organisation_id, SECTIONS)


def _drop(integration: Integration) -> None:
    secret = integration.secret
    integration.delete()
    if secret is not None:
        secret.delete()


@transaction.atomic
def create_provider(actor: Principal, workspace: Workspace, integration: Integration, given: Json) -> VirtualKey:
    """Make a virtual key of an integration: `name`, and `slug`, `note`, `usage_limits`, `rate_limits`, `expires_at`.

    Raises Conflict for a slug that is taken, Invalid for an integration of another workspace.
    """
    if integration.workspace_id not in {None, workspace.pk}:
        raise Invalid("integration_id: that integration belongs to another workspace")
    virtual_key = VirtualKey.objects.create(
        organisation_id=workspace.organisation_id,
        workspace=workspace,
        integration=integration,
        slug=_free_slug(VirtualKey.objects.filter(workspace=workspace), given.get("slug"), given["name"]),
        name=given["name"],
        note=given.get("note") or "",
        usage_limits=given.get("usage_limits"),
        rate_limits=given.get("rate_limits") or [],
        expires_at=given.get("expires_at"),
    )
    audit.record(actor, "create", virtual_key, after=virtual_key_json(virtual_key))
    touch(workspace.organisation_id, SECTIONS)
    return virtual_key


@transaction.atomic
def create_virtual_key(actor: Principal, workspace: Workspace, given: Json) -> VirtualKey:
    """Make a virtual key with an integration of its own.

    `given` has `name` and `provider`, and may have `key` (Secret), `slug`, `note`, `configurations` (with
    `custom_host`), `usage_limits`, `rate_limits`, `expires_at`.  Raises Invalid and Conflict as the two parts do.
    """
    account = {
        "name": given["name"],
        "ai_provider_id": given["provider"],
        "key": given.get("key"),
        "slug": None,
        "configurations": given.get("configurations"),
    }
    integration = create_integration(actor, account, workspace=workspace, is_own=True)
    return create_provider(actor, workspace, integration, given)


@transaction.atomic
def update_virtual_key(actor: Principal, virtual_key: VirtualKey, given: Json) -> VirtualKey:
    """Change what `given` names; `key` and `configurations` change the integration behind it.

    Raises Invalid when these are given for a virtual key that shares its integration with others.
    """
    before = virtual_key_json(virtual_key)
    account = {name: given[name] for name in ("key", "configurations") if name in given}
    if account:
        if not virtual_key.integration.is_own:
            raise Invalid("The key and the settings of this provider are those of its integration: change them there.")
        virtual_key.integration = update_integration(actor, virtual_key.integration, account)
    for field in ("name", "usage_limits", "expires_at"):
        if field in given:
            setattr(virtual_key, field, given[field])
    if "note" in given:
        virtual_key.note = given["note"] or ""
    if "rate_limits" in given:
        virtual_key.rate_limits = given["rate_limits"] or []
    virtual_key.save()
    audit.record(actor, "update", virtual_key, before=before, after=virtual_key_json(virtual_key))
    touch(virtual_key.organisation_id, SECTIONS)
    return virtual_key


@transaction.atomic
def delete_virtual_key(actor: Principal, virtual_key: VirtualKey) -> None:
    """Delete a virtual key, and the integration that was made with it unless others use that too."""
    integration = virtual_key.integration
    audit.record(actor, "delete", virtual_key, before=virtual_key_json(virtual_key))
    virtual_key.delete()
    if integration.is_own and not integration.virtual_keys.exists():
        audit.record(actor, "delete", integration, before=integration_json(integration))
        _drop(integration)
    touch(actor.organisation_id, SECTIONS)
