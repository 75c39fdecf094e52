"""Policies, and what is used of them."""

import django.db.models.deletion
import shared.ids
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('orgs', '0004_defaults'),
    ]

    operations = [
        migrations.CreateModel(
            name='UsageLimitPolicy',
            fields=[
                ('id', models.UUIDField(default=shared.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('last_updated_at', models.DateTimeField(auto_now=True)),
                ('name', models.CharField(max_length=255, null=True)),
                ('description', models.TextField(blank=True)),
                ('conditions', models.JSONField()),
                ('group_by', models.JSONField()),
                ('type', models.CharField(max_length=20)),
                ('target', models.CharField(choices=[('llm', 'Calls of models'), ('mcp_tools', 'Calls of tools')], default='llm', max_length=20)),
                ('status', models.CharField(choices=[('active', 'Active'), ('archived', 'Archived')], default='active', max_length=20)),
                ('credit_limit', models.BigIntegerField()),
                ('alert_threshold', models.BigIntegerField(null=True)),
                ('periodic_reset', models.CharField(max_length=20, null=True)),
                ('periodic_reset_days', models.PositiveSmallIntegerField(null=True)),
                ('next_usage_reset_at', models.DateTimeField(null=True)),
                ('last_reset_at', models.DateTimeField(null=True)),
                ('organisation', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='orgs.organisation')),
                ('workspace', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, to='orgs.workspace')),
            ],
            options={
                'verbose_name_plural': 'usage-limit policies',
                'ordering': ('id',),
            },
        ),
        migrations.CreateModel(
            name='PolicyUsage',
            fields=[
                ('id', models.UUIDField(default=shared.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('last_updated_at', models.DateTimeField(auto_now=True)),
                ('value_key', models.CharField(max_length=512)),
                ('current_usage', models.BigIntegerField(default=0)),
                ('status', models.CharField(choices=[('active', 'Active'), ('exhausted', 'Exhausted')], default='active', max_length=20)),
                ('is_threshold_alerts_sent', models.BooleanField(default=False)),
                ('is_exhausted_alerts_sent', models.BooleanField(default=False)),
                ('organisation', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='orgs.organisation')),
                ('policy', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='usages', to='policies.usagelimitpolicy')),
            ],
            options={
                'verbose_name_plural': 'usages of policies',
                'ordering': ('id',),
            },
        ),
        migrations.CreateModel(
            name='RateLimitPolicy',
            fields=[
                ('id', models.UUIDField(default=shared.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('last_updated_at', models.DateTimeField(auto_now=True)),
                ('name', models.CharField(max_length=255, null=True)),
                ('description', models.TextField(blank=True)),
                ('conditions', models.JSONField()),
                ('group_by', models.JSONField()),
                ('type', models.CharField(max_length=20)),
                ('target', models.CharField(choices=[('llm', 'Calls of models'), ('mcp_tools', 'Calls of tools')], default='llm', max_length=20)),
                ('status', models.CharField(choices=[('active', 'Active'), ('archived', 'Archived')], default='active', max_length=20)),
                ('unit', models.CharField(max_length=3)),
                ('value', models.BigIntegerField()),
                ('organisation', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='orgs.organisation')),
                ('workspace', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, to='orgs.workspace')),
            ],
            options={
                'verbose_name_plural': 'rate-limit policies',
                'ordering': ('id',),
                'constraints': [models.CheckConstraint(condition=models.Q(('value__gt', 0)), name='rate_policy_value_positive')],
            },
        ),
        migrations.AddConstraint(
            model_name='usagelimitpolicy',
            constraint=models.CheckConstraint(condition=models.Q(('credit_limit__gt', 0)), name='usage_policy_limit_positive'),
        ),
        migrations.AddConstraint(
            model_name='usagelimitpolicy',
            constraint=models.CheckConstraint(condition=models.Q(('alert_threshold__isnull', True), models.Q(('alert_threshold__gt', 0), ('alert_threshold__lt', models.F('credit_limit'))), _connector='OR'), name='usage_policy_threshold_below_limit'),
        ),
        migrations.AddConstraint(
            model_name='usagelimitpolicy',
            constraint=models.CheckConstraint(condition=models.Q(('periodic_reset__isnull', True), ('periodic_reset_days__isnull', True), _connector='OR'), name='usage_policy_one_period'),
        ),
        migrations.AddConstraint(
            model_name='policyusage',
            constraint=models.UniqueConstraint(fields=('policy', 'value_key'), name='policy_usage_unique'),
        ),
    ]
