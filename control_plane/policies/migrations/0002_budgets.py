"""Policies of usage are counted as budgets; those that were there get theirs."""

from django.db import migrations


def make_budgets(apps, _editor):
    budget = apps.get_model("budgets", "Budget")
    budget.objects.bulk_create(
        (
            budget(
                organisation_id=row.organisation_id,
                workspace_id=row.workspace_id,
                kind="policy",
                owner_id=row.pk,
                name=(row.name or str(row.pk))[:255],
                unit=row.type,
                limit=row.credit_limit if row.status == "active" else None,
                threshold=row.alert_threshold if row.status == "active" else None,
                periodic_reset=row.periodic_reset,
                periodic_reset_days=row.periodic_reset_days,
                next_reset_at=row.next_usage_reset_at,
                last_reset_at=row.last_reset_at,
            )
            for row in apps.get_model("policies", "UsageLimitPolicy").objects.iterator()
        ),
        batch_size=500,
        ignore_conflicts=True,
    )


class Migration(migrations.Migration):

    dependencies = [
        ('budgets', '0001_initial'),
        ('policies', '0001_initial'),
    ]

    operations = [
        migrations.RunPython(make_budgets, migrations.RunPython.noop),
        migrations.RemoveField(
            model_name='usagelimitpolicy',
            name='last_reset_at',
        ),
        migrations.RemoveField(
            model_name='usagelimitpolicy',
            name='next_usage_reset_at',
        ),
        migrations.DeleteModel(
            name='PolicyUsage',
        ),
    ]
