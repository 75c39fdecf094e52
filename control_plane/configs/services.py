"""Changes of configs: a new body is a new version, and the slug names the newest from then on."""

from typing import Any

from django.db import transaction

from control_plane.configs.models import Config, ConfigVersion
from control_plane.configs.serializers import check_body, config_json
from control_plane.core import audit
from control_plane.core.outbox import touch
from control_plane.core.principal import Principal
from control_plane.orgs.models import Workspace


def _add_version(actor: Principal, config: Config, body: object) -> ConfigVersion:
    checked = check_body(body)
    newest = config.versions.first()
    version = ConfigVersion.objects.create(
        config=config, number=newest.number + 1 if newest else 1, body=checked, created_by=actor.id
    )
    config.active = version
    return version


def _claim_default(config: Config) -> None:
    """Take the mark of the default config from whichever config of the workspace has it."""
    Config.objects.filter(workspace_id=config.workspace_id, is_default=True).exclude(pk=config.pk).update(
        is_default=False
    )


@transaction.atomic
def create_config(
    actor: Principal,
    workspace: Workspace,
    name: str,
    body: object,
    *,
    is_default: bool = False,
    status: str = "active",
    slug: str | None = None,
) -> Config:
    """Save a config with its first version.  Raises InvalidConfig or Invalid with every fault of `body`."""
    config = Config(
        organisation_id=workspace.organisation_id,
        workspace=workspace,
        name=name,
        is_default=is_default,
        status=status,
        owner_id=actor.id,
        updated_by=actor.id,
    )
    if slug:
        config.slug = slug
    if is_default:
        _claim_default(config)
    config.save()
    _add_version(actor, config, body)
    config.save()
    audit.record(actor, "create", config, after=config_json(config))
    touch(config.organisation_id, ["configs"])
    return config


@transaction.atomic
def update_config(actor: Principal, config: Config, given: dict[str, Any]) -> Config:
    """Change what `given` names: `name`, `status`, `is_default`, `config` (a body, which makes a new version).

    Raises InvalidConfig or Invalid with every fault of the body.
    """
    # Two edits at once become two versions, one after the other.
    config = Config.objects.select_for_update().get(pk=config.pk)
    before = config_json(config)
    for field in ("name", "status", "is_default"):
        if field in given:
            setattr(config, field, given[field])
    if config.is_default:
        _claim_default(config)
    if "config" in given:
        _add_version(actor, config, given["config"])
    config.updated_by = actor.id
    config.save()
    audit.record(actor, "update", config, before=before, after=config_json(config))
    touch(config.organisation_id, ["configs"])
    return config


@transaction.atomic
def delete_config(actor: Principal, config: Config) -> None:
    """Delete a config with its versions; the audit trail keeps the last body."""
    audit.record(actor, "delete", config, before=config_json(config))
    organisation_id = config.organisation_id
    config.delete()
    touch(organisation_id, ["configs"])
