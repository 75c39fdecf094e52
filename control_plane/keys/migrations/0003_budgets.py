"""Limits of usage that were said before they were counted get their budgets."""

from decimal import Decimal

from django.db import migrations
from django.utils import timezone

from control_plane.core.limits import SUNDAY, midnight, moment_of, next_reset, usage_faults

NANO = 1_000_000_000


def _stored(number, unit):
    if number is None:
        return None
    return int(Decimal(str(number)) * (NANO if unit == "cost" else 1))


def _next_reset(said, period, now):
    if period == (None, None):
        return None
    at = said.get("next_usage_reset_at")
    if at is not None and midnight(moment_of(at)) > now:
        return midnight(moment_of(at))
    return next_reset(now, *period, weekday=SUNDAY)


def _budget(model, row, said, *, workspace_id, kind, owner_id, name):
    if not isinstance(said, dict) or usage_faults(said):
        return None  # from an earlier version that checked less
    unit, now = said.get("type") or "cost", timezone.now()
    period = (said.get("periodic_reset"), said.get("periodic_reset_days"))
    return model(
        organisation_id=row.organisation_id,
        workspace_id=workspace_id,
        kind=kind,
        owner_id=owner_id,
        name=name[:255],
        unit=unit,
        limit=_stored(said["credit_limit"], unit),
        threshold=_stored(said.get("alert_threshold"), unit),
        periodic_reset=period[0],
        periodic_reset_days=period[1],
        next_reset_at=_next_reset(said, period, now),
    )


def _own(apps, model):
    for app, name, kind in (("keys", "ApiKey", "api_key"), ("catalog", "VirtualKey", "virtual_key")):
        for row in apps.get_model(app, name).objects.exclude(usage_limits=None).iterator():
            said, home = row.usage_limits, row.workspace_id
            yield _budget(model, row, said, workspace_id=home, kind=kind, owner_id=row.pk, name=row.name)
    for row in apps.get_model("orgs", "Workspace").objects.exclude(usage_limits=None).iterator():
        said = row.usage_limits
        yield _budget(model, row, said, workspace_id=row.pk, kind="workspace", owner_id=row.pk, name=row.name)


def _in_workspaces(apps, model):
    accesses, workspaces = apps.get_model("catalog", "IntegrationAccess"), apps.get_model("orgs", "Workspace")
    for row in apps.get_model("catalog", "Integration").objects.iterator():
        said = {each.workspace_id: each for each in accesses.objects.filter(integration=row)}
        for workspace in workspaces.objects.filter(organisation_id=row.organisation_id):
            own = said.get(workspace.pk)
            is_open = own.enabled if own else row.global_access
            limit = own.usage_limits if own else row.global_usage_limits
            if limit and (is_open or row.workspace_id == workspace.pk):
                named = {"kind": "integration_workspace", "owner_id": row.pk, "name": f"{row.name} in {workspace.name}"}
                yield _budget(model, row, limit, workspace_id=workspace.pk, **named)


def make_budgets(apps, _editor):
    model = apps.get_model("budgets", "Budget")
    for rows in (_own(apps, model), _in_workspaces(apps, model)):
        fit = (row for row in rows if row is not None)
        model.objects.bulk_create(fit, batch_size=500, ignore_conflicts=True)


class Migration(migrations.Migration):

    dependencies = [
        ('keys', '0002_rotation_and_bounds'),
        ('budgets', '0001_initial'),
        ('catalog', '0006_limits'),
        ('orgs', '0007_limits'),
    ]

    operations = [
        migrations.RunPython(make_budgets, migrations.RunPython.noop),
    ]
