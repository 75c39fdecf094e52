"""Limits of organisations and of people."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('orgs', '0006_roles'),
    ]

    operations = [
        migrations.AddField(
            model_name='membership',
            name='usage_limits',
            field=models.JSONField(null=True),
        ),
        migrations.AddField(
            model_name='organisation',
            name='budget_rules',
            field=models.JSONField(default=dict),
        ),
        migrations.AddField(
            model_name='organisation',
            name='rate_limits',
            field=models.JSONField(default=list),
        ),
        migrations.AddField(
            model_name='organisation',
            name='usage_limits',
            field=models.JSONField(null=True),
        ),
    ]
