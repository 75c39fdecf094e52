"""What holds for the requests of an organisation or of a workspace unless they say otherwise.

A default that cannot be found is refused when it is set, so that no gateway has to guess what was meant.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final
from uuid import UUID

from django.apps import apps
from django.db import transaction

from control_plane.core import audit
from control_plane.core.errors import Invalid
from control_plane.core.outbox import touch
from control_plane.core.principal import Principal
from control_plane.core.tenancy import by_id_or_slug
from control_plane.orgs.models import Organisation, Workspace

Json = dict[str, Any]
GUARDRAILS: Final = ("input_guardrails", "output_guardrails")


def guardrail_named(name: str, organisation_id: UUID, workspace_id: UUID | None) -> Json | None:
    """Return id and slug of the guardrail that `name` means, by UUID or slug; None when there is none.

    This version has no guardrails, so it knows none: every name is refused, and only the empty list can be set.
    `workspace_id` None: one of the organisation as a whole.
    """
    return None


def _slugs(names: Iterable[str], path: str, organisation_id: UUID, workspace_id: UUID | None) -> list[str]:
    """Return the slugs of the guardrails that are named, each once.  Raises Invalid with every name of none."""
    found = {name: guardrail_named(name, organisation_id, workspace_id) for name in names}
    faults = [f"{path}: there is no guardrail {name!r}" for name, guardrail in found.items() if guardrail is None]
    if faults:
        raise Invalid(" ".join(faults), errors=faults)
    return list(dict.fromkeys(str(guardrail["slug"]) for guardrail in found.values() if guardrail))


def _config_slug(named: str, workspace: Workspace) -> str:
    # Configs are a layer above: their model is looked up by its name.
    rows = apps.get_model("configs", "Config").objects.filter(by_id_or_slug(named), workspace_id=workspace.pk)
    config: Any = rows.first()
    if config is None:
        raise Invalid("defaults.user_api_key_config: no such config in the workspace")
    return str(config.slug)


def checked_defaults(workspace: Workspace, given: Mapping[str, Any] | None) -> Json:
    """Return the defaults of a workspace as they are kept: guardrails and configs by their slugs.

    Raises Invalid for a guardrail or config that there is none of; a workspace that is not saved yet has no configs.
    """
    defaults = {name: value for name, value in (given or {}).items() if value is not None}
    for name in GUARDRAILS:
        if name in defaults:
            path = f"defaults.{name}"
            defaults[name] = _slugs(defaults[name], path, workspace.organisation_id, workspace.pk)
    if "user_api_key_config" in defaults:
        defaults["user_api_key_config"] = _config_slug(defaults["user_api_key_config"], workspace)
    return defaults


def organisation_defaults(organisation: Organisation) -> Json:
    """Return the default guardrails of an organisation as the API shows them, id and slug of each."""
    shown = {}
    for name in GUARDRAILS:
        found = [guardrail_named(slug, organisation.pk, None) for slug in organisation.defaults.get(name, [])]
        shown[name] = [{"id": each["id"], "slug": each["slug"]} for each in found if each]
    return shown


@transaction.atomic
def set_organisation_defaults(actor: Principal, given: Mapping[str, list[str]]) -> Organisation:
    """Set those lists of default guardrails that `given` names.  Raises Invalid for one that is not there."""
    row = Organisation.objects.select_for_update(no_key=True).get(pk=actor.organisation_id)
    before = dict(row.defaults)
    named = {name: _slugs(given[name], name, row.pk, None) for name in GUARDRAILS if name in given}
    row.defaults = {**before, **named}
    row.save(update_fields=["defaults", "last_updated_at"])
    audit.record(actor, "update", row, before={"defaults": before}, after={"defaults": row.defaults})
    touch(row, ())
    return row
