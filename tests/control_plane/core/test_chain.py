"""The chain of the audit trail, and the command that proves it."""

import threading
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, IntegrityError, connection, transaction

from control_plane.core import audit, chain
from control_plane.core.models import AuditEvent, AuditHead
from tests.control_plane.factories import make_config, make_tenant

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenant():
    tenant = make_tenant()
    make_config(tenant, "first")
    make_config(tenant, "second")
    commit()
    return tenant


def commit():
    """Do what a commit does: fire the deferred triggers."""
    connection.check_constraints()


def verify(tenant):
    commit()
    out = StringIO()
    call_command("verify_audit", organisation=tenant.organisation.slug, stdout=out)
    return out.getvalue()


def events(tenant):
    return list(AuditEvent.objects.filter(organisation_id=tenant.organisation.pk).order_by("seq"))


def tamper(statement, *values):
    """Change the trail as somebody who owns the database could."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE core_auditevent DISABLE TRIGGER USER")
        cursor.execute(statement, values)
        cursor.execute("ALTER TABLE core_auditevent ENABLE TRIGGER USER")


def test_events_are_numbered_without_gaps_and_follow_each_other(tenant):
    rows = events(tenant)
    assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
    assert [row.previous_hash for row in rows] == ["", *[row.hash for row in rows[:-1]]]
    assert [row.hash for row in rows] == [chain.link(r.previous_hash, r.seq, r.digest) for r in rows]
    head = AuditHead.objects.get(pk=tenant.organisation.pk)
    assert (head.seq, head.hash) == (rows[-1].seq, rows[-1].hash)


def test_each_organisation_has_a_chain_of_its_own(tenant):
    other = make_tenant("Other")
    commit()
    assert events(other)[0].seq == 1
    assert verify(tenant) != verify(other)


def test_an_untouched_trail_is_proved(tenant):
    last = events(tenant)[-1]
    assert f"{last.seq} events hold, the last has hash {last.hash}" in verify(tenant)


@pytest.mark.parametrize(
    "value",
    [1.0, 1e22, -0.0, 0.1, 1e-7, 2**70, 123456789.125, "é\u2028😀", None, True, [[], {}], {"b": 1, "a": {"z": 1.5}}],
)
def test_every_json_value_is_proved_as_the_database_gives_it_back(tenant, value):
    audit.record(tenant.actor, "update", tenant.workspace, before={"v": value}, after={"v": [value]})
    assert "hold" in verify(tenant)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:10.1.2.3", "2001:db8::1"])
def test_every_address_is_proved_as_the_database_gives_it_back(tenant, address):
    token = audit.CURRENT_CALL.set(audit.CallFacts("id", address, "PUT", "/v1/x"))
    try:
        audit.record(tenant.actor, "update", tenant.workspace)
    finally:
        audit.CURRENT_CALL.reset(token)
    assert "hold" in verify(tenant)


@pytest.mark.parametrize(
    "change",
    ["action = 'nothing'", "after = NULL", "actor_name = 'somebody else'", "at = at + interval '1 second'",
     "client_ip = '10.0.0.1'", "workspace_id = NULL", "request = '{\"body\": 1}'"],
)  # fmt: skip
def test_an_event_that_was_changed_is_found(tenant, change):
    second = events(tenant)[-1]
    tamper(f"UPDATE core_auditevent SET {change} WHERE id = %s", second.pk)
    with pytest.raises(CommandError, match=rf"event {second.seq} \({second.pk}\) does not say"):
        verify(tenant)


def test_an_event_that_was_changed_with_its_digest_is_found(tenant):
    row = events(tenant)[0]
    row.action = "nothing"
    digest = chain.digest_of({name: getattr(row, name) for name in chain.CONTENT})
    tamper("UPDATE core_auditevent SET action = 'nothing', digest = %s WHERE id = %s", digest, row.pk)
    with pytest.raises(CommandError, match=r"event 1 .* does not follow"):
        verify(tenant)


def test_an_event_that_was_removed_is_found(tenant):
    tamper("DELETE FROM core_auditevent WHERE id = %s", events(tenant)[1].pk)
    with pytest.raises(CommandError, match="event 2 is missing"):
        verify(tenant)


def test_a_last_event_that_was_removed_is_found(tenant):
    last = events(tenant)[-1]
    tamper("DELETE FROM core_auditevent WHERE id = %s", last.pk)
    with pytest.raises(CommandError, match=f"event {last.seq} is missing"):
        verify(tenant)


def test_a_trail_that_was_emptied_is_found(tenant):
    tamper("DELETE FROM core_auditevent WHERE organisation_id = %s", tenant.organisation.pk)
    with pytest.raises(CommandError, match="event 1 is missing"):
        verify(tenant)


def test_an_event_that_was_slipped_in_unlinked_is_found(tenant):
    tamper("UPDATE core_auditevent SET seq = NULL WHERE id = %s", events(tenant)[-1].pk)
    tamper("UPDATE core_audithead SET seq = seq - 1, hash = %s", events(tenant)[-2].hash)
    with pytest.raises(CommandError, match="never linked"):
        verify(tenant)


def test_all_organisations_are_walked_and_every_broken_one_is_named(tenant):
    other = make_tenant("Other")
    commit()
    for each in (tenant, other):
        tamper("UPDATE core_auditevent SET action = 'x' WHERE id = %s", events(each)[0].pk)
    with pytest.raises(CommandError) as fault:
        call_command("verify_audit")
    assert tenant.organisation.slug in str(fault.value)
    assert other.organisation.slug in str(fault.value)
    assert fault.value.returncode == 1


def test_an_unknown_organisation_is_said():
    with pytest.raises(CommandError, match="no organisation nobody"):
        call_command("verify_audit", organisation="nobody")


@pytest.mark.parametrize("change", ["action = 'x'", "seq = 99", "seq = NULL, hash = NULL", "hash = 'x'"])
def test_a_linked_event_cannot_be_changed(tenant, change):
    with pytest.raises(IntegrityError, match="written once"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE core_auditevent SET {change}")


def test_an_event_cannot_be_linked_by_hand(tenant):
    row = audit.record(tenant.actor, "update", tenant.workspace)
    with pytest.raises(IntegrityError, match="written once"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE core_auditevent SET seq = 99, hash = 'x', previous_hash = '' WHERE id = %s", [row.pk])


@pytest.mark.django_db(transaction=True)
def test_a_change_that_is_not_over_holds_up_nobody():
    tenant = make_tenant()
    faults = []

    def write():
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SET LOCAL lock_timeout = '5s'")
                audit.record(tenant.actor, "update", tenant.workspace)
        except DatabaseError as fault:
            faults.append(fault)
        finally:
            connection.close()

    with transaction.atomic():
        row = audit.record(tenant.actor, "update", tenant.workspace)
        other = threading.Thread(target=write)
        other.start()
        other.join(30)
    assert faults == []
    assert events(tenant)[-1].pk == row.pk
    assert "hold" in verify(tenant)


@pytest.mark.django_db(transaction=True)
def test_writers_at_the_same_time_queue_up():
    tenant = make_tenant()
    start = threading.Barrier(4)
    faults = []

    def write(number):
        try:
            start.wait(10)
            for _ in range(5):
                with transaction.atomic():
                    audit.record(tenant.actor, "update", tenant.workspace, after={"by": number})
        except DatabaseError as fault:
            faults.append(fault)
        finally:
            connection.close()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert faults == []
    assert [row.seq for row in events(tenant)][-20:] == list(range(len(events(tenant)) - 19, len(events(tenant)) + 1))
    assert "hold" in verify(tenant)
