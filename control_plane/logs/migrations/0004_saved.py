"""Records say what an answer from the cache has saved; those that are there already came from no cache."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("logs", "0003_retention_floor")]

    operations = [migrations.AddField("logrow", "saved_nano", models.BigIntegerField(db_default=0))]
