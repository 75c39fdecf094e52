"""The audit trail becomes a chain: columns, older rows linked, and the trigger that links new ones as they commit."""

from itertools import groupby

import django.utils.timezone
from django.db import migrations, models

from control_plane.core.chain import CONTENT, digest_of, link

# A row may change once after it was written, from not linked to linked, and in nothing else.
FORWARD = """
CREATE FUNCTION gatehouse_guard_audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF OLD.seq IS NULL AND NEW.seq IS NOT NULL AND pg_trigger_depth() > 1
            AND to_jsonb(OLD) - '{seq,previous_hash,hash}'::text[] = to_jsonb(NEW) - '{seq,previous_hash,hash}'::text[]
        THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'rows of % are written once', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END
$$;
CREATE FUNCTION gatehouse_link_audit() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    head core_audithead%ROWTYPE;
    linked text;
BEGIN
    INSERT INTO core_audithead AS known (organisation_id, seq, hash) VALUES (NEW.organisation_id, 0, '')
        ON CONFLICT (organisation_id) DO UPDATE SET seq = known.seq
        RETURNING * INTO head;
    linked := encode(sha256(convert_to(head.hash || ':' || (head.seq + 1)::text || ':' || NEW.digest, 'UTF8')), 'hex');
    UPDATE core_auditevent SET seq = head.seq + 1, previous_hash = head.hash, hash = linked WHERE id = NEW.id;
    UPDATE core_audithead SET seq = head.seq + 1, hash = linked WHERE organisation_id = NEW.organisation_id;
    RETURN NULL;
END
$$;
CREATE FUNCTION gatehouse_start_unlinked() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.seq := NULL; NEW.previous_hash := NULL; NEW.hash := NULL;
    RETURN NEW;
END
$$;
CREATE TRIGGER audit_starts_unlinked BEFORE INSERT ON core_auditevent
    FOR EACH ROW EXECUTE FUNCTION gatehouse_start_unlinked();
CREATE CONSTRAINT TRIGGER audit_is_linked AFTER INSERT ON core_auditevent
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION gatehouse_link_audit();
CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE ON core_auditevent
    FOR EACH ROW EXECUTE FUNCTION gatehouse_guard_audit();
"""
BACKWARD = """
DROP TRIGGER audit_is_append_only ON core_auditevent;
DROP TRIGGER audit_is_linked ON core_auditevent;
DROP TRIGGER audit_starts_unlinked ON core_auditevent;
DROP FUNCTION gatehouse_start_unlinked();
DROP FUNCTION gatehouse_link_audit();
DROP FUNCTION gatehouse_guard_audit();
"""
REMOVE_OLD = "DROP TRIGGER audit_is_append_only ON core_auditevent"
RESTORE_OLD = """
CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE ON core_auditevent
    FOR EACH ROW EXECUTE FUNCTION gatehouse_refuse_change()
"""


def link_older(apps, schema_editor):
    """Number and hash what was written before there was a chain."""
    event_model = apps.get_model("core", "AuditEvent")
    rows = event_model._base_manager.order_by("organisation_id", "id").iterator(chunk_size=500)
    for organisation_id, events in groupby(rows, key=lambda event: event.organisation_id):
        seq, last = 0, ""
        for event in events:
            digest = digest_of({name: getattr(event, name) for name in CONTENT})
            seq, previous, last = seq + 1, last, link(last, seq + 1, digest)
            event_model._base_manager.filter(pk=event.pk).update(
                digest=digest, seq=seq, previous_hash=previous, hash=last
            )
        apps.get_model("core", "AuditHead").objects.create(organisation_id=organisation_id, seq=seq, hash=last)


class Migration(migrations.Migration):
    dependencies = [("core", "0002_audit_is_append_only")]
    operations = [
        migrations.RunSQL(REMOVE_OLD, RESTORE_OLD),
        migrations.CreateModel(
            name="AuditHead",
            fields=[
                ("organisation_id", models.UUIDField(primary_key=True, serialize=False)),
                ("seq", models.BigIntegerField()),
                ("hash", models.CharField(max_length=64)),
            ],
        ),
        migrations.AddField("auditevent", "request", models.JSONField(default=dict)),
        migrations.AlterField("auditevent", "at", models.DateTimeField(default=django.utils.timezone.now)),
        migrations.AddField("auditevent", "digest", models.CharField(default="", max_length=64), preserve_default=False),
        migrations.AddField("auditevent", "seq", models.BigIntegerField(editable=False, null=True)),
        migrations.AddField("auditevent", "previous_hash", models.CharField(editable=False, max_length=64, null=True)),
        migrations.AddField("auditevent", "hash", models.CharField(editable=False, max_length=64, null=True)),
        migrations.RunPython(link_older, migrations.RunPython.noop),
        migrations.AddConstraint(
            "auditevent", models.UniqueConstraint(fields=("organisation_id", "seq"), name="audit_numbered_once")
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
