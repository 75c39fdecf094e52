"""Which models of an integration may be used, where is each, and what does it cost?

What is not said of a model is as `allow_all_models` says.  A base URL of one model is a further place that the
integration's key is sent to: like any other, it needs the key again.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from django.db import transaction

from control_plane.catalog.hosts import allowed_hosts, checked_address
from control_plane.catalog.models import CustomProvider, Integration, IntegrationModel
from control_plane.catalog.own_prices import SECTION as PRICES
from control_plane.catalog.own_prices import say_price
from control_plane.catalog.prices import known_models
from control_plane.core import audit
from control_plane.core.errors import Invalid
from control_plane.core.fields import iso
from control_plane.core.outbox import touch
from control_plane.core.principal import Principal
from control_plane.vault.services import open_secret, replace_secret
from shared.redact import Secret
from shared.schema.rows import ModelSettingsRow

Json = Mapping[str, Any]
SECTIONS: Final = ("secrets", "virtual_keys")
MOST_MODELS: Final = 2000
_SHOWN: Final = 5


def model_json(row: IntegrationModel) -> dict[str, Any]:
    """Return a model that something was said of, as the API shows it."""
    return {
        "slug": row.slug,
        "name": row.slug,
        "enabled": row.enabled,
        "is_custom": row.is_custom,
        "is_finetune": row.is_finetune,
        "base_model_slug": row.base_model_slug or None,
        "configurations": row.configurations,
        "pricing_config": row.pricing_config,
        "created_at": iso(row.created_at),
        "last_updated_at": iso(row.last_updated_at),
    }


def _known_to(integration: Integration) -> tuple[str, ...]:
    rows = CustomProvider.objects.filter(
        organisation_id=integration.organisation_id, slug=integration.ai_provider_id
    ).values_list("price_source", flat=True)
    return known_models(integration.ai_provider_id, rows.first() or "")


def models_json(integration: Integration) -> dict[str, Any]:
    """Return the models that are known of the integration's provider, and what was said of them and of others."""
    said = {row.slug: model_json(row) for row in integration.models.all()}
    unsaid: dict[str, Any] = {
        "enabled": integration.allow_all_models, "is_custom": False, "is_finetune": False, "base_model_slug": None,
        "configurations": {}, "pricing_config": None,
    }  # fmt: skip
    known = {slug: {"slug": slug, "name": slug, **unsaid} for slug in _known_to(integration)}
    listed = sorted({**known, **said}.values(), key=lambda model: str(model["slug"]))
    return {
        "object": "list",
        "total": len(listed),
        "models": listed,
        "allow_all_models": integration.allow_all_models,
    }


def _told(integration: Integration) -> dict[str, Any]:
    """Return what was said of models, for the trail."""
    said = [model_json(row) for row in integration.models.all()]
    return {"allow_all_models": integration.allow_all_models, "models": said}


def _take(row: IntegrationModel, entry: Json, *, is_known: bool) -> None:
    """Write what `entry` names; the rest stays."""
    row.enabled = entry["enabled"]
    if entry.get("is_custom") is not None:
        row.is_custom = entry["is_custom"]
    elif row.pk is None or row._state.adding:  # noqa: SLF001 -- Django's documented way to tell a new row
        row.is_custom = not is_known
    if entry.get("is_finetune") is not None:
        row.is_finetune = entry["is_finetune"]
    if "base_model_slug" in entry:
        row.base_model_slug = entry["base_model_slug"] or ""
    if "pricing_config" in entry:
        say_price(row.integration, row.slug, row.pricing_config, entry["pricing_config"])
        row.pricing_config = entry["pricing_config"]
    if "configurations" in entry:
        said = {name: value for name, value in (entry["configurations"] or {}).items() if value}
        if "custom_host" in said:
            said["custom_host"] = checked_address(said["custom_host"], f"models.{row.slug}.configurations.custom_host")
        row.configurations = said


def hosts_of_models(integration: Integration) -> list[str]:
    """Return the base URLs that single models of an integration have."""
    rows = integration.models.all() if integration.pk else ()
    return [row.configurations["custom_host"] for row in rows if row.configurations.get("custom_host")]


def _bind(integration: Integration, key: Secret | None) -> None:
    """Bind the credential to the hosts that it may be sent to now.  Raises Invalid for a new one without the key."""
    if integration.secret is None:
        if key is not None:
            raise Invalid("key: the integration has none to be bound anew; give it to the integration")
        return
    hosts = allowed_hosts(
        integration.ai_provider_id,
        integration.configurations,
        integration.organisation_id,
        of_models=hosts_of_models(integration),
    )
    opened = open_secret(integration.secret)
    added = [host for host in hosts if host not in opened.hosts]
    if key is None and added:
        raise Invalid(
            f"key: give the integration's key again: it is bound to the hosts it was entered for, and {added[0]} is "
            "none of these."
        )
    if added and opened.settings:
        # The key was given for the new host, and these were not.
        raise Invalid("configurations.custom_host: an integration with further secrets has one host for all its models")
    if key is not None or hosts != opened.hosts:
        integration.secret = replace_secret(integration.secret, key or opened.key, hosts, opened.settings)


@transaction.atomic
def set_models(actor: Principal, integration: Integration, given: Json) -> None:
    """Say of models what `given` names: `models`, each with `slug` and `enabled`, and `allow_all_models`.

    A model may have `is_custom`, `is_finetune`, `base_model_slug`, `configurations` (`custom_host`, `custom_headers`)
    and `pricing_config`; what is not named of it stays.  `key` (Secret) is the integration's key, given again because
    of a new host.  Raises Invalid for a host that may not be used, or that is new while the key is not given.
    """
    integration = Integration.objects.select_for_update().get(pk=integration.pk)
    before = _told(integration)
    known = set(_known_to(integration))
    rows = {row.slug: row for row in integration.models.all()}
    for entry in given.get("models") or ():
        slug = entry["slug"]
        row = rows.setdefault(
            slug, IntegrationModel(organisation_id=integration.organisation_id, integration=integration, slug=slug)
        )
        _take(row, entry, is_known=slug in known)
        row.save()
    if len(rows) > MOST_MODELS:
        raise Invalid(f"models: at most {MOST_MODELS} models of an integration can be told apart")
    integration.allow_all_models = given.get("allow_all_models", integration.allow_all_models)
    _bind(integration, given.get("key"))
    _finish(actor, integration, before)


def _finish(actor: Principal, integration: Integration, before: dict[str, Any]) -> None:
    integration.save()
    after = _told(integration)
    audit.record(actor, "update", integration, before=before, after=after)
    touch(integration.organisation_id, SECTIONS if _priced(before) == _priced(after) else (*SECTIONS, PRICES))


def _priced(told: dict[str, Any]) -> dict[str, Any]:
    return {model["slug"]: model["pricing_config"] for model in told["models"] if model["pricing_config"] is not None}


@transaction.atomic
def drop_models(actor: Principal, integration: Integration, slugs: Iterable[str]) -> None:
    """Forget what was said of models; custom ones are gone then.  Raises Invalid for one that nothing was said of."""
    integration = Integration.objects.select_for_update().get(pk=integration.pk)
    before, wanted = _told(integration), set(slugs)
    rows = integration.models.filter(slug__in=wanted)
    unknown = sorted(wanted - {row.slug for row in rows})
    if unknown:
        raise Invalid(f"slugs: nothing was said of these models: {', '.join(unknown[:_SHOWN])}")
    for row in rows:
        say_price(integration, row.slug, row.pricing_config, None)
    rows.delete()
    _bind(integration, None)
    _finish(actor, integration, before)


def models_for_gateways(integration: Integration) -> dict[str, Any]:
    """Return the fields of a virtual key's row that tell gateways of models; reads `models`, prefetched or not."""
    said = list(integration.models.all())
    fields: dict[str, Any] = {}
    if not integration.allow_all_models:
        fields["models"] = frozenset(row.slug for row in said if row.enabled)
    else:
        fields["denied_models"] = frozenset(row.slug for row in said if not row.enabled)
    own = {row.slug: row.configurations for row in said if row.enabled and row.configurations}
    fields["model_settings"] = {
        slug: ModelSettingsRow(said.get("custom_host"), said.get("custom_headers") or {}) for slug, said in own.items()
    }
    return fields
