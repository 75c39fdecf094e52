"""What answers from the cache have saved is summed like what other answers cost."""

from importlib import import_module

from django.db import migrations

BEFORE = import_module("control_plane.ledger.migrations.0002_counting").COUNTING
FORWARD = BEFORE.replace("(0)::numeric AS saved_nano", "(saved_nano)::numeric AS saved_nano")


class Migration(migrations.Migration):
    dependencies = [("ledger", "0002_counting"), ("logs", "0004_saved")]
    operations = [migrations.RunSQL(FORWARD, BEFORE)]
