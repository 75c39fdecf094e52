"""What was written before the audit trail was a chain."""

from io import StringIO
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from control_plane.core.models import AuditEvent
from shared.ids import uuid7

INSERT = """
INSERT INTO core_auditevent (id, organisation_id, actor_kind, actor_id, actor_name, action, resource_type, resource_id,
    "after", request_id, client_ip, method, uri, at)
VALUES (%s, %s, 'system', 'system', 'Gatehouse', 'create', 'config', '1', '{"a": 1.0, "b": "é"}', '', '10.0.0.1', '',
    '', now())
"""


def migrate(*targets):
    MigrationExecutor(connection).migrate(list(targets))


@pytest.mark.django_db(transaction=True)
def test_older_events_are_chained_as_they_were_written():
    leaves = MigrationExecutor(connection).loader.graph.leaf_nodes()
    organisation = uuid4()
    try:
        migrate(("core", "0002_audit_is_append_only"))
        with connection.cursor() as cursor:
            cursor.executemany(INSERT, [(uuid7(), owner) for owner in (organisation, uuid4(), organisation)])
    finally:
        migrate(*leaves)
    events = AuditEvent.objects.filter(organisation_id=organisation).order_by("id")
    assert [event.seq for event in events] == [1, 2]
    out = StringIO()
    call_command("verify_audit", stdout=out)
    assert "2 events hold" in out.getvalue()
    assert "1 events hold" in out.getvalue()
