"""What is not the sum of the records is found and named, and made so on demand."""

from datetime import timedelta
from threading import Barrier, Thread

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from control_plane.ledger.folding import fold
from control_plane.ledger.models import Delta, RollUp
from control_plane.ledger.verifying import differences, repair
from control_plane.logs.models import LogFloor
from tests.control_plane.factories import make_tenant
from tests.control_plane.ledger.ledger_kit import HOUR, added_up, counted, this_hour
from tests.control_plane.logs.log_kit import US, Gateway, make_record

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


@pytest.fixture
def tenant():
    return make_tenant()


@pytest.fixture
def records(tenant):
    """Two records of this hour and one of two days ago, folded."""
    at = this_hour()[1]
    stored = [
        make_record(tenant, ts_us=at + n - days * 86_400 * US, user_ref="ann") for n, days in enumerate([0, 0, 2])
    ]
    Gateway(tenant).send_records(*stored)
    fold()
    return stored


def spoil(**conditions):
    """Take five nano-dollars and a request from roll-ups, as a fault would."""
    for row in RollUp.objects.filter(**conditions):
        RollUp.objects.filter(pk=row.pk).update(cost_nano=row.cost_nano - 5, requests=row.requests + 1)


def test_totals_that_agree_have_no_differences(records, capsys):
    assert list(differences()) == []
    call_command("verify_ledger")
    assert "the sums of the records" in capsys.readouterr().out


def test_a_difference_names_hour_key_and_amount(tenant, records):
    hour = this_hour()[0]
    spoil(hour=hour)
    (found,) = differences()
    assert (found.organisation_id, found.hour) == (tenant.organisation.pk, hour)
    assert (found.dimensions["user_ref"], found.dimensions["provider"]) == ("ann", "openai")
    assert found.missing == {"cost_nano": 5, "requests": -1}


def test_a_total_without_records_and_records_without_a_total_are_found(records):
    hour = this_hour()[0]
    RollUp.objects.filter(hour=hour).delete()
    Delta.objects.create(
        organisation_id=make_tenant().organisation.pk, workspace_id=records[0].ws, hour=hour, requests=3
    )
    assert sorted(found.missing["requests"] for found in differences()) == [-3, 2]


def test_bounds_leave_out_other_days_and_organisations(tenant, records):
    hour = this_hour()[0]
    today = hour.date()
    spoil()
    assert {found.hour for found in differences()} == {hour, hour - 2 * DAY}
    assert [found.hour for found in differences(since=today)] == [hour]
    assert [found.hour for found in differences(until=today)] == [hour - 2 * DAY]
    assert list(differences(organisation_id=make_tenant().organisation.pk)) == []
    assert len(list(differences(organisation_id=tenant.organisation.pk))) == 2


def test_the_command_fails_and_says_where(tenant, records, capsys):
    spoil(hour=this_hour()[0])
    with pytest.raises(CommandError) as raised:
        call_command("verify_ledger", organisation=tenant.organisation.slug)
    assert raised.value.returncode == 1
    said = capsys.readouterr().out
    assert f"{this_hour()[0]:%Y-%m-%dT%H}Z" in said
    assert "user_ref=ann" in said
    assert "cost_nano +5" in said


def test_the_command_knows_no_other_organisation():
    with pytest.raises(CommandError, match="no organisation nobody"):
        call_command("verify_ledger", organisation="nobody")


def test_a_repair_makes_totals_what_records_add_up_to(records):
    spoil()
    RollUp.objects.filter(hour=this_hour()[0]).delete()
    with pytest.raises(CommandError):
        call_command("verify_ledger", repair=True)
    assert counted() == added_up(records)
    fold()
    assert (counted(), list(differences())) == (added_up(records), [])
    assert repair() == 0


def test_days_of_which_records_may_be_gone_are_neither_compared_nor_repaired(records):
    LogFloor.objects.create(day=this_hour()[0].date() - DAY)
    spoil()
    spoiled = counted()
    assert [found.hour for found in differences()] == [this_hour()[0]]
    assert repair() == 1
    old = [key for key in spoiled if key[1] < this_hour()[0] - HOUR]
    assert [counted()[key] for key in old] == [spoiled[key] for key in old]


@pytest.mark.django_db(transaction=True)
def test_two_who_repair_at_once_repair_once(tenant):
    record, barrier, repaired = make_record(tenant), Barrier(2), []
    Gateway(tenant).send_records(record)
    fold()
    spoil()

    def run():
        barrier.wait()
        repaired.append(repair())
        connection.close()

    threads = [Thread(target=run) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(repaired) == [0, 1]
    assert counted() == added_up([record])
