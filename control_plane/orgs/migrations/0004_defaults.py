"""Which guardrails hold for every request of an organisation, and in which workspaces they do not."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = (("orgs", "0003_access"),)
    operations = (
        migrations.AddField("organisation", "defaults", models.JSONField(default=dict)),
        migrations.AddField("workspace", "excludes_input_guardrails", models.BooleanField(default=False)),
        migrations.AddField("workspace", "excludes_output_guardrails", models.BooleanField(default=False)),
    )
