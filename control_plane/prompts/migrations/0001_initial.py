"""Labels and collections."""

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
            name='Collection',
            fields=[
                ('id', models.UUIDField(default=shared.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('last_updated_at', models.DateTimeField(auto_now=True)),
                ('slug', models.CharField(max_length=255)),
                ('name', models.CharField(max_length=255)),
                ('is_default', models.BooleanField(default=False)),
                ('status', models.CharField(choices=[('active', 'Active'), ('archived', 'Archived')], default='active', max_length=20)),
                ('organisation', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='orgs.organisation')),
                ('parent', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='children', to='prompts.collection')),
                ('workspace', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='orgs.workspace')),
            ],
            options={
                'verbose_name_plural': 'collections',
                'ordering': ('id',),
                'constraints': [models.UniqueConstraint(fields=('workspace', 'slug'), name='collection_slug_unique'), models.UniqueConstraint(condition=models.Q(('is_default', True)), fields=('workspace',), name='collection_default_unique'), models.CheckConstraint(condition=models.Q(('parent__isnull', True), models.Q(('parent', models.F('id')), _negated=True), _connector='OR'), name='collection_not_in_itself'), models.CheckConstraint(condition=models.Q(('is_default', False), ('parent__isnull', True), _connector='OR'), name='collection_default_at_top')],
            },
        ),
        migrations.CreateModel(
            name='Label',
            fields=[
                ('id', models.UUIDField(default=shared.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('last_updated_at', models.DateTimeField(auto_now=True)),
                ('name', models.CharField(max_length=100)),
                ('description', models.TextField(blank=True)),
                ('color_code', models.CharField(blank=True, max_length=7)),
                ('is_builtin', models.BooleanField(default=False)),
                ('status', models.CharField(choices=[('active', 'Active'), ('archived', 'Archived')], default='active', max_length=20)),
                ('organisation', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='orgs.organisation')),
                ('workspace', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, to='orgs.workspace')),
            ],
            options={
                'verbose_name_plural': 'labels',
                'ordering': ('id',),
                'constraints': [models.UniqueConstraint(fields=('workspace', 'name'), name='label_of_workspace_unique'), models.UniqueConstraint(condition=models.Q(('workspace__isnull', True)), fields=('organisation', 'name'), name='label_universal_unique')],
            },
        ),
    ]
