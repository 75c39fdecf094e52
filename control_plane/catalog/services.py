"""Changes of integrations and virtual keys; a credential goes to the vault and is shown masked from then on.

A key may be sent to one host, sealed with it: whoever points an account at another host must give the key again, so
that the right to edit an account is not the right to read its key.
"""

from collections.abc import Mapping
from typing import Any, Final

from django.db import transaction

from control_plane.budgets.services import hold_budgets
from control_plane.catalog.access import give_first_access, may_use
from control_plane.catalog.allowed_models import hosts_of_models
from control_plane.catalog.budgets import drop_budgets, keep_budget, keep_workspace_budgets, make_budget
from control_plane.catalog.hosts import allowed_hosts, checked_custom_host
from control_plane.catalog.mappings import refuse_both, set_mappings
from control_plane.catalog.models import Integration, VirtualKey
from control_plane.catalog.naming import free_slug
from control_plane.catalog.own_prices import SECTION as PRICES
from control_plane.catalog.own_prices import say_multipliers
from control_plane.catalog.serializers import integration_json, virtual_key_json
from control_plane.core import audit
from control_plane.core.errors import Invalid
from control_plane.core.outbox import touch
from control_plane.core.principal import Principal
from control_plane.orgs.models import Workspace
from control_plane.vault.services import NO_KEY, open_secret, replace_secret, store_secret
from shared.redact import Secret
from shared.schema.target_settings import ADDRESS_SETTINGS

Json = Mapping[str, Any]
SECTIONS: Final = ("secrets", "virtual_keys")
_WITH_PRICES: Final = (*SECTIONS, PRICES)
#: What changes the integration behind a virtual key.
_OF_ACCOUNT: Final = ("key", "configurations", "secret_mappings")


def _settings(given: Json) -> tuple[dict[str, Any], dict[str, Secret]]:
    """Return the configurations to store, the custom host among them checked, and apart from them what is secret."""
    said = {name: value for name, value in (given.get("configurations") or {}).items() if value}
    secrets = {name: value for name, value in said.items() if isinstance(value, Secret)}
    settings = {name: value for name, value in said.items() if name not in secrets}
    for name in ("custom_host", *ADDRESS_SETTINGS):
        if name in settings:
            settings[name] = checked_custom_host(settings[name])
    return settings, secrets


@transaction.atomic
def create_integration(
    actor: Principal, given: Json, *, workspace: Workspace | None = None, is_own: bool = False
) -> Integration:
    """Make an integration of `name`, `ai_provider_id`, `key` (Secret), `slug`, `description`, `configurations`.

    Only the first two must be given; `secret_mappings` (see `mappings.py`), `pricing_adjustments`, `usage_limits` and
    `rate_limits` (of all its workspaces together) may be, too.  One of the organisation is for its default workspace
    until others are given access.  Raises Invalid for an unknown provider, a host that may not be used, or a secret
    reference that may not; Conflict for a slug that is taken.
    """
    refuse_both(given)
    settings, secrets = _settings(given)
    hosts = allowed_hosts(given["ai_provider_id"], settings, actor.organisation_id)
    key: Secret | None = given.get("key")
    of_organisation = Integration.objects.filter(organisation_id=actor.organisation_id)
    integration = Integration.objects.create(
        organisation_id=actor.organisation_id,
        workspace=workspace,
        ai_provider_id=given["ai_provider_id"],
        slug=free_slug(of_organisation, given.get("slug"), given["name"]),
        name=given["name"],
        description=given.get("description") or "",
        configurations=settings,
        secret=store_secret(actor.organisation_id, key or NO_KEY, hosts, secrets) if key or secrets else None,
        is_own=is_own,
        pricing_adjustments=given.get("pricing_adjustments"),
        usage_limits=given.get("usage_limits"),
        rate_limits=given.get("rate_limits") or [],
    )
    make_budget(integration)
    if workspace is None:
        give_first_access(integration)
    set_mappings(integration, given.get("secret_mappings") or [])
    if integration.pricing_adjustments is not None:
        say_multipliers(integration, None)
        touch(actor.organisation_id, (PRICES,))
    audit.record(actor, "create", integration, after=integration_json(integration))
    return integration


@transaction.atomic
def update_integration(actor: Principal, integration: Integration, given: Json) -> Integration:
    """Change what `given` names: `name`, `description`, `key`, `pricing_adjustments`, limits, or an object as a whole.

    Such are `configurations` and `secret_mappings`.  `reset_usage`: what was used until now does not count any more.
    Raises Invalid when the host changes and the key is not given again.  Secrets among the configurations replace all
    that there were.
    """
    refuse_both(given)
    for field in ("ai_provider_id", "slug"):
        if given.get(field) not in {None, getattr(integration, field)}:
            raise Invalid(f"{field}: cannot be changed")
    before = integration_json(integration)
    old_hosts = _hosts(integration)
    integration.name = given.get("name", integration.name)
    if "description" in given:
        integration.description = given["description"] or ""
    secrets: dict[str, Secret] = {}
    if "configurations" in given:
        integration.configurations, secrets = _settings(given)
    hosts = _hosts(integration)
    key: Secret | None = given.get("key")
    if key is None and not secrets and hosts != old_hosts and integration.secret is not None:
        raise Invalid("Give the key again when the host changes: a key is bound to the host it was entered for.")
    if key is not None or secrets:
        _store(integration, key, hosts, secrets)
    if "pricing_adjustments" in given:
        said, integration.pricing_adjustments = integration.pricing_adjustments, given["pricing_adjustments"]
        say_multipliers(integration, said)
    if "usage_limits" in given:
        integration.usage_limits = given["usage_limits"]
    if "rate_limits" in given:
        integration.rate_limits = given["rate_limits"] or []
    integration.save()
    if integration.name != before["name"]:
        hold_budgets(integration.organisation_id, [integration.pk])
    keep_budget(actor, integration, given)
    if integration.name != before["name"]:
        keep_workspace_budgets(integration)
    if "secret_mappings" in given:
        set_mappings(integration, given["secret_mappings"] or [])
        integration = Integration.objects.select_related("secret").get(pk=integration.pk)
    audit.record(actor, "update", integration, before=before, after=integration_json(integration))
    touch(integration.organisation_id, _WITH_PRICES if "pricing_adjustments" in given else SECTIONS)
    return integration


def _hosts(integration: Integration) -> tuple[str, ...]:
    provider, settings = integration.ai_provider_id, integration.configurations
    of_models = hosts_of_models(integration)
    return allowed_hosts(provider, settings, integration.organisation_id, of_models=of_models)


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
    """Delete an integration with its credential and every virtual key of it; answers that use them are broken off."""
    revoked, virtual_keys = [], list(integration.virtual_keys.select_related("integration"))
    hold_budgets(integration.organisation_id, [integration.pk, *(row.pk for row in virtual_keys)])
    for virtual_key in virtual_keys:
        audit.record(actor, "delete", virtual_key, before=virtual_key_json(virtual_key))
        revoked.append(f"vk:{virtual_key.pk}")
        drop_budgets(virtual_key)
        virtual_key.delete()
    audit.record(actor, "delete", integration, before=integration_json(integration))
    _drop(integration)
    touch(actor.organisation_id, _WITH_PRICES, revoked=revoked)


def _drop(integration: Integration) -> None:
    secret = integration.secret
    drop_budgets(integration)
    integration.delete()
    if secret is not None:
        secret.delete()


@transaction.atomic
def create_provider(actor: Principal, workspace: Workspace, integration: Integration, given: Json) -> VirtualKey:
    """Make a virtual key of an integration: `name`, and `slug`, `note`, `usage_limits`, `rate_limits`, `expires_at`.

    Raises Conflict for a slug that is taken, Invalid for an integration that the workspace may not use.
    """
    if integration.workspace_id not in {None, workspace.pk}:
        raise Invalid("integration_id: that integration belongs to another workspace")
    if not may_use(integration, workspace):
        raise Invalid(
            f"integration_id: the workspace {workspace.slug} has no access to that integration; it is given by PUT "
            f"/integrations/{integration.slug}/workspaces"
        )
    virtual_key = VirtualKey.objects.create(
        organisation_id=workspace.organisation_id,
        workspace=workspace,
        integration=integration,
        slug=free_slug(VirtualKey.objects.filter(workspace=workspace), given.get("slug"), given["name"]),
        name=given["name"],
        note=given.get("note") or "",
        usage_limits=given.get("usage_limits"),
        rate_limits=given.get("rate_limits") or [],
        expires_at=given.get("expires_at"),
    )
    make_budget(virtual_key)
    audit.record(actor, "create", virtual_key, after=virtual_key_json(virtual_key))
    touch(workspace.organisation_id, SECTIONS)
    return virtual_key


@transaction.atomic
def create_virtual_key(actor: Principal, workspace: Workspace, given: Json) -> VirtualKey:
    """Make a virtual key with an integration of its own.

    `given` has `name` and `provider`, and may have `key` (Secret), `slug`, `note`, `configurations` (with
    `custom_host`), `secret_mappings`, `usage_limits`, `rate_limits`, `expires_at`.  Raises Invalid and Conflict as the
    two parts do.
    """
    account = {
        "name": given["name"],
        "ai_provider_id": given["provider"],
        "key": given.get("key"),
        "slug": None,
        "configurations": given.get("configurations"),
        "secret_mappings": given.get("secret_mappings"),
    }
    integration = create_integration(actor, account, workspace=workspace, is_own=True)
    return create_provider(actor, workspace, integration, given)


@transaction.atomic
def update_virtual_key(actor: Principal, virtual_key: VirtualKey, given: Json) -> VirtualKey:
    """Change what `given` names; `key`, `configurations` and `secret_mappings` change the integration behind it.

    `reset_usage`: what was used until now does not count any more.  Raises Invalid when the integration is to be
    changed and others share it, and for another `slug`, `provider` or `integration_id`.
    """
    before = virtual_key_json(virtual_key)
    _refuse_other_names(virtual_key, given)
    account = {name: given[name] for name in _OF_ACCOUNT if name in given}
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
    keep_budget(actor, virtual_key, given)
    audit.record(actor, "update", virtual_key, before=before, after=virtual_key_json(virtual_key))
    touch(virtual_key.organisation_id, SECTIONS)
    return virtual_key


def _refuse_other_names(virtual_key: VirtualKey, given: Json) -> None:
    """Raise Invalid for another name in requests, provider or integration: that would be another virtual key."""
    integration = virtual_key.integration
    names = {
        "slug": {virtual_key.slug},
        "provider": {integration.ai_provider_id},
        "integration_id": {str(integration.pk), integration.slug},
    }
    for field, same in names.items():
        if given.get(field) is not None and given[field] not in same:
            raise Invalid(f"{field}: cannot be changed")


@transaction.atomic
def delete_virtual_key(actor: Principal, virtual_key: VirtualKey) -> None:
    """Delete a virtual key, and the integration that was made with it unless others use that too.

    Gateways refuse it from the next head on, and break off the answers that use it.
    """
    integration, revoked = virtual_key.integration, f"vk:{virtual_key.pk}"
    hold_budgets(integration.organisation_id, [integration.pk, virtual_key.pk])
    audit.record(actor, "delete", virtual_key, before=virtual_key_json(virtual_key))
    drop_budgets(virtual_key)
    virtual_key.delete()
    if integration.is_own and not integration.virtual_keys.exists():
        audit.record(actor, "delete", integration, before=integration_json(integration))
        _drop(integration)
    touch(actor.organisation_id, SECTIONS, revoked=[revoked])
