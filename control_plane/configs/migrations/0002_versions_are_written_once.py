"""A version of a config never changes; it goes only when its config is deleted."""

from django.db import migrations

FORWARD = """
CREATE TRIGGER config_version_is_written_once BEFORE UPDATE ON configs_configversion
    FOR EACH ROW EXECUTE FUNCTION gatehouse_refuse_change();
"""
BACKWARD = "DROP TRIGGER config_version_is_written_once ON configs_configversion;"


class Migration(migrations.Migration):
    dependencies = [("configs", "0001_initial"), ("core", "0002_audit_is_append_only")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
