"""Limits of integrations as a whole; resets of usage are budgets' own."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('catalog', '0005_said_prices'),
    ]

    operations = [
        migrations.RemoveField(
            model_name='integrationaccess',
            name='usage_reset_at',
        ),
        migrations.RemoveField(
            model_name='virtualkey',
            name='usage_reset_at',
        ),
        migrations.AddField(
            model_name='integration',
            name='rate_limits',
            field=models.JSONField(default=list),
        ),
        migrations.AddField(
            model_name='integration',
            name='usage_limits',
            field=models.JSONField(null=True),
        ),
    ]
