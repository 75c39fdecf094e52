"""Tables of days: made ahead, filled from the rest, dropped when too old."""

from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.db import connection

from control_plane.logs.models import LogRow
from control_plane.logs.partitions import TABLES, drop_old_partitions, ensure_partitions, partition_days
from control_plane.logs.tasks import BEAT_SCHEDULE, maintain_partitions_of_today
from tests.control_plane.factories import make_tenant
from tests.control_plane.logs.log_kit import US, Gateway, make_record

pytestmark = pytest.mark.django_db
FAR = date(2100, 5, 17)


def home_of(row_id):
    with connection.cursor() as cursor:
        cursor.execute("SELECT tableoid::regclass::text FROM logs_record WHERE id = %s", [row_id])
        return cursor.fetchone()[0]


def at(day, *, microsecond=0):
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * US + microsecond


def test_a_day_gets_a_partition_in_every_table_once():
    assert ensure_partitions([FAR, FAR]) == len(TABLES)
    assert ensure_partitions(iter([FAR])) == 0
    assert [FAR in partition_days(table) for table in TABLES] == [True] * len(TABLES)


def test_rows_that_came_too_early_move_into_their_days_table():
    tenant = make_tenant()
    moments = {
        at(FAR) - 1: False,
        at(FAR): True,
        at(FAR + timedelta(days=1)) - 1: True,
        at(FAR + timedelta(days=1)): False,
    }
    records = {}
    for moment, moved in moments.items():
        record = make_record(tenant, ts_us=moment)
        records[record.id] = moved
        Gateway(tenant).send_records(record)
    ensure_partitions([FAR])
    homes = {row_id: home_of(row_id) == f"logs_record_{FAR:%Y%m%d}" for row_id in records}
    assert homes == records


def test_the_new_table_refuses_a_record_twice_like_the_old_one():
    tenant, stream = make_tenant(), uuid4()
    ensure_partitions([FAR])
    record = make_record(tenant, ts_us=at(FAR))
    Gateway(tenant).send_records(record, stream_id=stream)
    Gateway(tenant).send_records(record)
    assert LogRow.objects.filter(id=record.id).count() == 1


def test_what_is_older_than_the_retention_goes_and_the_rest_stays():
    tenant, today = make_tenant(), FAR
    kept, gone, odd = today - timedelta(days=30), today - timedelta(days=31), today - timedelta(days=900)
    ensure_partitions([kept, gone])
    Gateway(tenant).send_records(*(make_record(tenant, ts_us=at(day)) for day in (kept, gone, odd)))
    drop_old_partitions(today, keep_days=30)
    assert [row.ts.date() for row in LogRow.objects.filter(organisation_id=tenant.organisation.pk)] == [kept]
    assert (kept in partition_days("logs_record"), gone in partition_days("logs_record")) == (True, False)


@pytest.mark.parametrize("maintain", [maintain_partitions_of_today, lambda: call_command("maintain_partitions")])
def test_maintenance_makes_yesterday_and_the_week_ahead(maintain, capsys):
    maintain()
    today = datetime.now(UTC).date()
    wanted = {today + timedelta(days=offset) for offset in range(-1, 8)}
    assert [wanted - set(partition_days(table)) for table in TABLES] == [set()] * len(TABLES)


def test_the_schedule_names_a_task_that_exists():
    assert [entry["task"] for entry in BEAT_SCHEDULE.values()] == [maintain_partitions_of_today.name]
