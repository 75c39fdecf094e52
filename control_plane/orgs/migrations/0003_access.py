"""Which switches of access an organisation has set, and which a workspace."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = (("orgs", "0002_people"),)
    operations = (
        migrations.AddField("organisation", "access", models.JSONField(default=dict)),
        migrations.AddField("workspace", "access", models.JSONField(default=dict)),
    )
