"""Which budgets do integrations and virtual keys have?  Own ones, and of an integration one in each workspace.

What is said of all workspaces at once is a budget for each of them, also for those that are made later.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final
from uuid import UUID

from django.dispatch import receiver

from control_plane.budgets.models import Budget
from control_plane.budgets.services import Key, Wanted, clear_budgets, reset, set_budgets
from control_plane.budgets.usage import set_used
from control_plane.catalog.models import Integration, IntegrationAccess, VirtualKey
from control_plane.core.principal import Principal
from control_plane.orgs.models import Workspace
from control_plane.orgs.services import workspace_made

Json = Mapping[str, Any]
VIRTUAL_KEY: Final = "virtual_key"
INTEGRATION: Final = "integration"
IN_WORKSPACE: Final = "integration_workspace"
_CONCERNED: Final = frozenset({"name", "usage_limits", "reset_usage"})


def _wanted(row: VirtualKey | Integration) -> Wanted:
    if isinstance(row, VirtualKey):
        return Wanted(VIRTUAL_KEY, row.pk, row.workspace_id, row.name, row.usage_limits)
    return Wanted(INTEGRATION, row.pk, None, row.name, row.usage_limits)


def keep_budget(actor: Principal, row: VirtualKey | Integration, given: Json) -> None:
    """Bring a row's own budget in line with what was just said of it: `usage_limits`, `name`, `reset_usage`."""
    if given.keys().isdisjoint(_CONCERNED):
        return
    wanted = _wanted(row)
    budget = set_budgets(row.organisation_id, [wanted]).get(wanted.key)
    if budget is not None and given.get("reset_usage"):
        budget = reset(actor, budget)
    set_used(row, budget)


def make_budget(row: VirtualKey | Integration) -> None:
    """Give a new row its budget, if it has a limit."""
    if row.usage_limits is not None:
        wanted = _wanted(row)
        set_used(row, set_budgets(row.organisation_id, [wanted])[wanted.key])


def drop_budgets(row: VirtualKey | Integration) -> None:
    """Take the limits of a row that is deleted."""
    kinds = (VIRTUAL_KEY,) if isinstance(row, VirtualKey) else (INTEGRATION, IN_WORKSPACE)
    for kind in kinds:
        clear_budgets(kind, row.pk, organisation_id=row.organisation_id)


def _of_workspace(integration: Integration, workspace: Workspace, said: IntegrationAccess | None) -> Wanted:
    is_open = said.enabled if said is not None else integration.global_access
    limit = said.usage_limits if said is not None else integration.global_usage_limits
    has_access = is_open or integration.workspace_id is not None
    name = f"{integration.name} in {workspace.name}"
    return Wanted(IN_WORKSPACE, integration.pk, workspace.pk, name, limit if has_access else None)


def keep_workspace_budgets(integration: Integration) -> dict[Key, Budget]:
    """Bring the budgets of an integration in all its workspaces in line with what is said of each, and of all."""
    rows = Workspace.objects.filter(organisation_id=integration.organisation_id)
    if integration.workspace_id is not None:
        rows = rows.filter(pk=integration.workspace_id)
    said = {each.workspace_id: each for each in integration.accesses.all()}
    wanted = [_of_workspace(integration, row, said.get(row.pk)) for row in rows.order_by("pk")]
    return set_budgets(integration.organisation_id, wanted)


def budgets_in(integration: Integration) -> dict[UUID | None, Budget]:
    """Return the budgets of an integration by workspace."""
    rows = Budget.objects.filter(
        organisation_id=integration.organisation_id, kind=IN_WORKSPACE, owner_id=integration.pk, value_key=""
    )
    return {row.workspace_id: row for row in rows}


def reset_workspaces(actor: Principal, integration: Integration, workspaces: Iterable[Workspace]) -> None:
    """Set back what workspaces have used of an integration."""
    found = budgets_in(integration)
    for workspace in workspaces:
        if workspace.pk in found:
            reset(actor, found[workspace.pk])


@receiver(workspace_made, dispatch_uid="catalog.workspace_made")
def give_budgets(workspace: Workspace, **_rest: Any) -> None:
    """Give a new workspace its budgets of the integrations that are open to all."""
    rows = Integration.objects.filter(
        organisation_id=workspace.organisation_id, workspace=None, global_access=True, global_usage_limits__isnull=False
    )
    wanted = [_of_workspace(row, workspace, None) for row in rows]
    if wanted:
        set_budgets(workspace.organisation_id, wanted)
