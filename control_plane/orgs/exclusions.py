"""In which workspaces do the organisation's default guardrails not hold?"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from django.db import transaction
from django.db.models import Q

from control_plane.core import audit
from control_plane.core.errors import Invalid
from control_plane.core.outbox import touch
from control_plane.core.principal import Principal
from control_plane.core.tenancy import visible_to
from control_plane.orgs.models import Workspace
from shared.ids import parse_uuid

Json = dict[str, Any]
Kind = Literal["input", "output"]
_COLUMNS: Final[Mapping[Kind, str]] = {"input": "excludes_input_guardrails", "output": "excludes_output_guardrails"}


def exclusions_json(actor: Principal, kind: Kind) -> Json:
    """Return every workspace that the actor reaches, and whether it is excluded."""
    rows = visible_to(Workspace.objects.all(), actor).values_list("pk", _COLUMNS[kind])
    return {
        "organisation_id": str(actor.organisation_id),
        "workspaces": [{"workspace_id": str(each), "excluded": excluded} for each, excluded in rows],
    }


def _found(rows: Sequence[Workspace], named: Sequence[Mapping[str, Any]]) -> dict[Workspace, bool]:
    """Return what each named workspace is to be.  Raises Invalid with every name of none, or of one named twice."""
    known: dict[str, Workspace] = {}
    for row in rows:
        known |= {row.slug: row, str(row.pk): row}
    wanted: dict[Workspace, bool] = {}
    faults = []
    for index, each in enumerate(named):
        name = str(each["workspace_id"])
        row_id = parse_uuid(name)
        found = known.get(str(row_id)) if row_id else known.get(name)
        if found is None:
            faults.append(f"workspaces.{index}.workspace_id: no such workspace")
        elif found in wanted:
            faults.append(f"workspaces.{index}.workspace_id: is there twice")
        else:
            wanted[found] = bool(each["excluded"])
    if faults:
        raise Invalid(" ".join(faults), errors=faults)
    return wanted


@transaction.atomic
def set_exclusions(actor: Principal, kind: Kind, named: Sequence[Mapping[str, Any]], *, override: bool) -> list[str]:
    """Exclude workspaces, or no longer; return the ids of those that changed.

    `named` are `{workspace_id (UUID or slug), excluded}`; with `override`, workspaces that it leaves out are excluded
    no longer.  Raises Invalid for a workspace that there is none of.
    """
    column = _COLUMNS[kind]
    names = [str(each["workspace_id"]) for each in named]
    ids = [row_id for row_id in map(parse_uuid, names) if row_id]
    rows = visible_to(Workspace.objects.order_by("pk").select_for_update(no_key=True), actor)
    if not override:
        rows = rows.filter(Q(pk__in=ids) | Q(slug__in=names))
    locked = list(rows)
    wanted = _found(locked, named)
    changed = []
    for row in locked:
        before = getattr(row, column)
        excluded = wanted.get(row, False if override else before)
        if excluded == before:
            continue
        setattr(row, column, excluded)
        row.save(update_fields=[column, "last_updated_at"])
        audit.record(actor, "update", row, before={column: before}, after={column: excluded})
        changed.append(str(row.pk))
    if changed:
        touch(actor.organisation_id, ())
    return changed
