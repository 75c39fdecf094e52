"""Records keep why they were routed as they were; those that are there already have no such trace."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("logs", "0001_initial")]

    operations = [migrations.AddField("logrow", "decision", models.JSONField(null=True))]
