"""Which workspaces may use an integration of the organisation?  What is said of each, else what holds for all.

An integration of one workspace is for that one alone.  Who loses access keeps its virtual keys, disabled: gateways get
none of them until access is given again.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final
from uuid import UUID

from django.db import transaction
from django.db.models import BooleanField, Case, F, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.functions import Coalesce

from control_plane.budgets.models import Budget
from control_plane.budgets.usage import set_used, usage_json
from control_plane.catalog.budgets import budgets_in, keep_workspace_budgets, reset_workspaces
from control_plane.catalog.models import Integration, IntegrationAccess, VirtualKey
from control_plane.catalog.naming import free_slug
from control_plane.catalog.serializers import virtual_key_json
from control_plane.core import audit
from control_plane.core.errors import Invalid
from control_plane.core.outbox import touch
from control_plane.core.principal import Principal
from control_plane.core.tenancy import resolve_workspace
from control_plane.orgs.models import Workspace

Json = Mapping[str, Any]
SECTIONS: Final = ("virtual_keys",)


def with_access(rows: QuerySet[VirtualKey]) -> QuerySet[VirtualKey]:
    """Return virtual keys that know whether their workspaces have access, read in the same query."""
    own = IntegrationAccess.objects.filter(integration=OuterRef("integration"), workspace=OuterRef("workspace"))
    found = Coalesce(Subquery(own.values("enabled")[:1]), F("integration__global_access"))
    return rows.annotate(
        is_open=Case(
            When(integration__workspace__isnull=False, then=Value(True)),
            default=found,
            output_field=BooleanField(),
        )
    )


def may_use(integration: Integration, workspace: Workspace) -> bool:
    """Return whether a workspace may use an integration."""
    if integration.organisation_id != workspace.organisation_id:
        return False
    if integration.workspace_id is not None:
        return integration.workspace_id == workspace.pk
    own = IntegrationAccess.objects.filter(integration=integration, workspace=workspace).first()
    return integration.global_access if own is None else own.enabled


def open_to(workspace: Workspace) -> QuerySet[Integration]:
    """Return the integrations that a workspace may use: its own, and the organisation's that it has access to."""
    said = IntegrationAccess.objects.filter(workspace=workspace)
    of_all = Q(global_access=True) & ~Q(pk__in=said.filter(enabled=False).values("integration"))
    given = Q(pk__in=said.filter(enabled=True).values("integration"))
    of_organisation = Integration.objects.filter(organisation_id=workspace.organisation_id)
    return of_organisation.filter(Q(workspace=workspace) | Q(workspace=None) & (of_all | given))


def count_workspaces(integration: Integration) -> int:
    """Return how many workspaces may use an integration."""
    if integration.workspace_id is not None:
        return 1
    said = integration.accesses
    if not integration.global_access:
        return said.filter(enabled=True).count()
    everybody = Workspace.objects.filter(organisation_id=integration.organisation_id).count()
    return everybody - said.filter(enabled=False).count()


def _open_workspaces(integration: Integration) -> set[UUID]:
    rows = Workspace.objects.filter(organisation_id=integration.organisation_id)
    said = dict(integration.accesses.values_list("workspace_id", "enabled"))
    return {each for each in rows.values_list("pk", flat=True) if said.get(each, integration.global_access)}


def give_first_access(integration: Integration) -> None:
    """Let the organisation's default workspace use a new integration; the others are given access one by one."""
    home = Workspace.objects.filter(organisation_id=integration.organisation_id, is_default=True).first()
    if home is not None:
        IntegrationAccess.objects.create(
            organisation_id=integration.organisation_id, integration=integration, workspace=home, enabled=True
        )


def global_access_json(integration: Integration) -> dict[str, Any]:
    """Return what holds for workspaces that nothing is said of, as the API shows it."""
    usage = integration.global_usage_limits
    return {
        "enabled": integration.global_access and integration.workspace_id is None,
        "usage_limits": [usage] if usage else None,
        "rate_limits": integration.global_rate_limits or None,
    }


def accesses_json(integration: Integration) -> dict[str, Any]:
    """Return every workspace and whether it may use the integration, as the API shows it; limits are single objects."""
    rows = Workspace.objects.filter(organisation_id=integration.organisation_id).order_by("pk")
    if integration.workspace_id is not None:
        rows = rows.filter(pk=integration.workspace_id)
    said = {row.workspace_id: row for row in integration.accesses.all()}
    budgets = budgets_in(integration)
    listed = [
        _access_json(integration, workspace, said.get(workspace.pk), budgets.get(workspace.pk)) for workspace in rows
    ]
    return {
        "object": "list",
        "total": len(listed),
        "workspaces": listed,
        "data": listed,
        "global_workspace_access": global_access_json(integration),
    }


def _access_json(
    integration: Integration, workspace: Workspace, row: IntegrationAccess | None, budget: Budget | None
) -> dict[str, Any]:
    set_used(workspace, budget)
    usage = row.usage_limits if row is not None else integration.global_usage_limits
    rates = row.rate_limits if row is not None else integration.global_rate_limits
    is_open = row.enabled if row is not None else integration.global_access
    return {
        "id": str(workspace.pk),
        "slug": workspace.slug,
        "name": workspace.name,
        "enabled": is_open or integration.workspace_id is not None,
        "is_global": row is None,
        "usage_limits": usage,
        **usage_json(workspace),
        "rate_limits": rates[0] if rates else None,
    }


@transaction.atomic
def set_access(actor: Principal, integration: Integration, given: Json) -> None:
    """Say which workspaces may use an integration of the organisation, and how much.

    `given` may have `workspaces` (each with `id`, `enabled`, and maybe `usage_limits`, `rate_limits`, `reset_usage`,
    `create_default_provider`, `default_provider_slug`), `global_workspace_access`, and
    `override_existing_workspace_access`: what was said of workspaces that are not named is forgotten then.
    Workspaces that gain access get a virtual key unless `create_default_provider` is False.  Raises Invalid for a
    workspace that is not there, Conflict for a slug that is taken.
    """
    integration = Integration.objects.select_for_update().get(pk=integration.pk)
    before, opened = accesses_json(integration), _open_workspaces(integration)
    entries = {resolve_workspace(actor, entry["id"]): entry for entry in given.get("workspaces") or ()}
    if len(entries) < len(given.get("workspaces") or ()):
        raise Invalid("workspaces: one of them is there twice")
    _check_own(integration, entries, given)
    if given.get("override_existing_workspace_access"):
        integration.accesses.exclude(workspace__in=entries).delete()
    _take_global(integration, given.get("global_workspace_access"))
    for workspace, entry in entries.items():
        _take(integration, workspace, entry)
    integration.save()
    keep_workspace_budgets(integration)
    reset_workspaces(actor, integration, [row for row, entry in entries.items() if entry.get("reset_usage")])
    after = accesses_json(integration)
    audit.record(actor, "update", integration, before={"workspaces": before}, after={"workspaces": after})
    gained = _open_workspaces(integration) - opened
    _add_providers(actor, integration, gained, given, {row.pk: entry for row, entry in entries.items()})
    touch(integration.organisation_id, SECTIONS)


def _check_own(integration: Integration, entries: Mapping[Workspace, Json], given: Json) -> None:
    if integration.workspace_id is None:
        return
    others = [row for row, entry in entries.items() if row.pk != integration.workspace_id or not entry["enabled"]]
    if others or given.get("global_workspace_access"):
        raise Invalid("workspaces: the integration belongs to one workspace, and is for that one alone")


def _take_global(integration: Integration, said: Json | None) -> None:
    if said is None:
        return
    integration.global_access = said["enabled"]
    if "usage_limits" in said:
        integration.global_usage_limits = said["usage_limits"]
    if "rate_limits" in said:
        integration.global_rate_limits = said["rate_limits"] or []


def _take(integration: Integration, workspace: Workspace, entry: Json) -> None:
    named = {"integration": integration, "workspace": workspace}
    row = IntegrationAccess.objects.filter(**named).first()
    if row is None:
        row = IntegrationAccess(organisation_id=integration.organisation_id, **named)
        # What held for it as for all others stays, unless something else is said.
        row.usage_limits, row.rate_limits = integration.global_usage_limits, integration.global_rate_limits
    row.enabled = entry["enabled"]
    if "usage_limits" in entry:
        row.usage_limits = entry["usage_limits"]
    if "rate_limits" in entry:
        row.rate_limits = entry["rate_limits"] or []
    row.save()


def _add_providers(
    actor: Principal, integration: Integration, gained: Iterable[UUID], given: Json, entries: Mapping[UUID, Json]
) -> None:
    having = set(integration.virtual_keys.values_list("workspace_id", flat=True))
    for workspace in Workspace.objects.filter(pk__in=set(gained) - having).order_by("pk"):
        said = {**given, **entries.get(workspace.pk, {})}
        if said.get("create_default_provider", True):
            wanted = said.get("default_provider_slug")
            slug = free_slug(VirtualKey.objects.filter(workspace=workspace), wanted, integration.name)
            row = VirtualKey.objects.create(
                organisation_id=workspace.organisation_id,
                workspace=workspace,
                integration=integration,
                slug=slug,
                name=integration.name,
            )
            audit.record(actor, "create", row, after=virtual_key_json(row))
