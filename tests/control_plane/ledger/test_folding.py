"""Folding moves, and moves once, whatever happens in between."""

import pytest
from django.core.management import call_command
from django.db import transaction

from control_plane.ledger import folding
from control_plane.ledger.folding import fold, fold_batch
from control_plane.ledger.models import RollUp
from control_plane.ledger.tasks import BEAT_SCHEDULE, continue_recosts, roll_up
from tests.control_plane.factories import make_tenant
from tests.control_plane.ledger.ledger_kit import added_up, counted, in_deltas_and_roll_ups, this_hour
from tests.control_plane.logs.log_kit import Gateway, make_record

pytestmark = pytest.mark.django_db


class Crash(Exception):
    pass


def ship(tenant, count, **fields):
    """Store records one by one, so that each has a delta."""
    records = [make_record(tenant, **{"ts_us": this_hour()[1] + n, **fields}) for n in range(count)]
    for record in records:
        Gateway(tenant).send_records(record)
    return records


def test_a_crash_in_a_batch_leaves_it_as_it_was():
    records = ship(make_tenant(), 3)
    with pytest.raises(Crash), transaction.atomic():
        assert fold_batch() == 3
        raise Crash
    assert in_deltas_and_roll_ups() == (3, 0)
    assert fold() == 3
    assert (counted(), in_deltas_and_roll_ups()) == (added_up(records), (0, 3))


def test_batches_are_bounded_and_the_oldest_come_first():
    ship(make_tenant(), 5)
    assert [fold_batch(2) for _ in range(4)] == [2, 2, 1, 0]


def test_folding_again_adds_to_what_is_there():
    tenant = make_tenant()
    records = ship(tenant, 2)
    fold()
    records += ship(tenant, 2)
    fold()
    assert counted(rows=RollUp) == added_up(records)
    assert RollUp.objects.count() == 1


def test_folding_goes_on_until_all_is_folded():
    ship(make_tenant(), 7)
    assert fold(3) == 7
    assert fold() == 0


@pytest.mark.parametrize("run", [roll_up, lambda: call_command("roll_up")])
def test_the_task_and_the_command_fold(run, capsys):
    ship(make_tenant(), 2)
    run()
    run()
    assert in_deltas_and_roll_ups() == (0, 2)


def test_the_schedule_names_tasks_that_exist():
    assert {entry["task"] for entry in BEAT_SCHEDULE.values()} == {roll_up.name, continue_recosts.name}


def test_folding_and_ingest_have_locks_of_their_own():
    from control_plane.logs import partitions

    assert folding.LOCK != partitions._LOCK
