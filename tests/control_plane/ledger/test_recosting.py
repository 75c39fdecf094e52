"""Costs are corrected once, with a history, and totals follow."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from threading import Barrier, Thread

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from control_plane.core.errors import Invalid
from control_plane.core.models import AuditEvent
from control_plane.ledger import prices_now, recosting
from control_plane.ledger.folding import fold
from control_plane.ledger.models import Correction, Recost
from control_plane.ledger.prices_now import PricesNow
from control_plane.ledger.recosting import (
    RecostRange,
    Tally,
    continue_recost,
    preview,
    recost_batch,
    start_recost,
    tally_of,
)
from control_plane.ledger.services import totals
from control_plane.ledger.tasks import continue_recosts
from control_plane.ledger.verifying import differences
from control_plane.logs.models import LogFloor, LogRow
from tests.control_plane.factories import make_tenant
from tests.control_plane.ledger.ledger_kit import EVER, HOUR, price_list, this_hour
from tests.control_plane.logs.log_kit import Gateway, make_record

pytestmark = pytest.mark.django_db

PER_TOKEN = 10**6
#: 1200 tokens of input at 100 nano-dollars.
BEFORE, AFTER = 384_000, 120_000


class Crash(Exception):
    pass


@pytest.fixture
def tenant():
    return make_tenant()


@pytest.fixture(autouse=True)
def lists(monkeypatch):
    """Make the price lists of now what a test says; at first, 100 nano-dollars for a token of input."""

    def say(*rows):
        monkeypatch.setattr(prices_now, "price_rows", lambda: iter(rows))

    say(price_list(100 * PER_TOKEN))
    return say


def ship(tenant, count=1, **fields):
    at = fields.pop("ts_us", this_hour()[1])
    records = [make_record(tenant, ts_us=at + n, price_id="openai/gpt-4o-mini@list-1", **fields) for n in range(count)]
    Gateway(tenant).send_records(*records)
    return records


def lately(**fields):
    hour = this_hour()[0]
    return RecostRange(**{"start": hour - HOUR, "end": hour + 2 * HOUR, **fields})


def recost(tenant, **fields):
    return continue_recost(start_recost(tenant.actor, lately(**fields)).pk, batch=2)


def costs():
    return list(LogRow.objects.order_by("ts").values_list("cost_nano", "price_id", "price_status"))


def spent(tenant):
    return totals(tenant.actor, *EVER)[0].cost_nano


NEW = (AFTER, "openai/gpt-4o-mini@list-2", "priced")


def test_records_cost_what_they_would_now_and_totals_follow(tenant):
    ship(tenant, 5)
    fold()
    done = recost(tenant)
    assert costs() == [NEW] * 5
    assert tally_of(done) == Tally(5, 5, 0, 5 * BEFORE, 5 * AFTER, 0, 0)
    assert done.finished_at is not None
    for _ in range(2):
        assert spent(tenant) == 5 * AFTER
        assert list(differences()) == []
        fold()


def test_each_change_leaves_a_row_of_history(tenant):
    (record,) = ship(tenant)
    done = recost(tenant)
    row = Correction.objects.get()
    assert (str(row.record_id), row.recost_id, row.organisation_id) == (record.id, done.pk, tenant.organisation.pk)
    assert (row.before_nano, row.before_price_id, row.before_status) == (BEFORE, "openai/gpt-4o-mini@list-1", "priced")
    assert (row.after_nano, row.after_price_id, row.after_status) == NEW
    assert (row.actor_kind, row.actor_id, row.actor_name) == ("system", tenant.actor.id, tenant.actor.name)
    assert timezone.now() - row.at < timedelta(minutes=1)


@pytest.mark.parametrize("statement", ["UPDATE ledger_correction SET before_nano = 0", "DELETE FROM ledger_correction"])
def test_history_cannot_be_changed(tenant, statement):
    ship(tenant)
    recost(tenant)
    with pytest.raises(DatabaseError, match="written once"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


def test_beginning_and_end_are_in_the_audit_trail_with_totals(tenant):
    ship(tenant, 3)
    done = recost(tenant, model="gpt-4o-mini")
    events = AuditEvent.objects.filter(resource_type="recost", resource_id=str(done.pk)).order_by("id")
    assert [(event.action, event.after["records"]) for event in events] == [("create", 0), ("complete", 3)]
    told = events[1].after
    assert (told["model"], told["before_nano"], told["after_nano"]) == ("gpt-4o-mini", 3 * BEFORE, 3 * AFTER)


def test_doing_it_again_changes_nothing(tenant):
    ship(tenant, 3)
    recost(tenant)
    again = recost(tenant)
    assert tally_of(again) == Tally(3, 0, 0, 3 * AFTER, 3 * AFTER, 0, 0)
    assert Correction.objects.count() == 3


def test_a_second_correction_follows_the_first(tenant, lists):
    ship(tenant)
    recost(tenant)
    lists(price_list(200 * PER_TOKEN, version="list-3"))
    recost(tenant)
    history = Correction.objects.order_by("id").values_list("before_nano", "after_nano")
    assert list(history) == [(BEFORE, AFTER), (AFTER, 2 * AFTER)]
    assert spent(tenant) == 2 * AFTER


def test_a_record_that_had_no_price_gets_one(tenant):
    ship(tenant, cost_nano=None, price_status="unpriced")
    done = recost(tenant)
    assert costs() == [NEW]
    assert (done.before_unpriced, done.after_unpriced) == (1, 0)
    assert totals(tenant.actor, *EVER)[0].unpriced == 0


def test_a_record_without_a_price_now_keeps_its_cost(tenant, lists):
    ship(tenant)
    lists()
    done = recost(tenant)
    assert tally_of(done) == Tally(1, 0, 1, BEFORE, BEFORE, 0, 0)
    assert (costs()[0][0], Correction.objects.count()) == (BEFORE, 0)


def test_a_record_that_was_not_charged_for_is_left_out(tenant):
    ship(tenant, cost_nano=None, price_status="none", status=500)
    assert recost(tenant).records == 0


def test_an_answer_from_the_cache_still_costs_nothing(tenant):
    ship(tenant, cost_nano=0, saved_nano=7, price_status="cached", cache_status="HIT")
    assert recost(tenant).records == 0
    total = totals(tenant.actor, *EVER)[0]
    assert (total.cost_nano, total.saved_nano, total.unpriced) == (0, 7, 0)


def test_only_what_was_asked_for_is_changed(tenant):
    other, at = make_tenant(), this_hour()[1]
    ship(other)
    ship(tenant, ts_us=at - 1, provider="azure-openai")
    ship(tenant, model_served="gpt-4o-mini-b", model_requested="b")
    ship(tenant)
    hour = this_hour()[0]
    assert recost(tenant, model="nothing").records == 0
    assert recost(tenant, provider="azure-openai").records == 1
    assert recost(tenant, model="b").changed == 1
    assert recost(tenant, start=hour, end=hour + timedelta(microseconds=1)).records == 2
    assert recost(tenant, start=hour - HOUR, end=hour).records == 1
    assert spent(other) == BEFORE


def test_a_dry_run_says_the_totals_and_changes_nothing(tenant):
    ship(tenant, 5)
    told = preview(tenant.actor, lately(), batch=2)
    assert told == Tally(5, 5, 0, 5 * BEFORE, 5 * AFTER, 0, 0)
    assert (spent(tenant), Recost.objects.count(), Correction.objects.count()) == (5 * BEFORE, 0, 0)
    assert tally_of(recost(tenant)) == told


def test_a_crash_in_a_batch_undoes_the_batch_and_the_rest_is_done_later(tenant, monkeypatch):
    ship(tenant, 5)
    begun = start_recost(tenant.actor, lately())
    prices = PricesNow(tenant.organisation.pk)
    recost_batch(begun.pk, prices, 2)
    with monkeypatch.context() as patch:
        patch.setattr(Recost, "save", lambda *_: (_ for _ in ()).throw(Crash))
        with pytest.raises(Crash):
            recost_batch(begun.pk, prices, 2)
    assert [cost for cost, *_ in costs()] == [AFTER] * 2 + [BEFORE] * 3
    assert spent(tenant) == 2 * AFTER + 3 * BEFORE
    continue_recosts()
    assert tally_of(Recost.objects.get()) == Tally(5, 5, 0, 5 * BEFORE, 5 * AFTER, 0, 0)
    assert (Correction.objects.count(), spent(tenant)) == (5, 5 * AFTER)


def test_no_time_left_leaves_the_rest_to_the_next_run(tenant):
    ship(tenant)
    begun = start_recost(tenant.actor, lately())
    assert continue_recost(begun.pk, until_s=0.0).finished_at is None
    assert continue_recost(begun.pk).finished_at is not None


def test_a_recost_whose_price_is_gone_does_not_hold_up_the_others(tenant, lists):
    ship(tenant)
    start_recost(tenant.actor, lately(model="gpt-4o-mini", price_id="openai/gpt-4o-mini@list-2"))
    lists(price_list(100 * PER_TOKEN, version="list-3"))
    behind = start_recost(tenant.actor, lately())
    continue_recosts()
    assert Recost.objects.get(finished_at=None).price_id
    assert Recost.objects.get(pk=behind.pk).finished_at is not None


def test_records_at_one_moment_are_each_done_once(tenant):
    records = [make_record(tenant, ts_us=this_hour()[1]) for _ in range(7)]
    Gateway(tenant).send_records(*records)
    assert recost(tenant).changed == 7
    assert Correction.objects.count() == 7


@pytest.mark.django_db(transaction=True)
def test_two_workers_on_one_recost_and_another_beside_them_change_each_record_once(tenant):
    ship(tenant, 200)
    first, second = (start_recost(tenant.actor, lately()) for _ in range(2))
    barrier, done = Barrier(3), []

    def run(recost_id):
        barrier.wait()
        done.append(continue_recost(recost_id, batch=9).finished_at)
        connection.close()

    threads = [Thread(target=run, args=(each.pk,)) for each in (first, first, second)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len([moment for moment in done if moment]) == 3
    assert Correction.objects.count() == 200
    assert set(Correction.objects.values_list("before_nano", "after_nano")) == {(BEFORE, AFTER)}
    assert sum(Recost.objects.values_list("changed", flat=True)) == 200
    assert (spent(tenant), list(differences())) == (200 * AFTER, [])


@pytest.mark.parametrize(
    "fields",
    [
        {"end": datetime(2020, 1, 1, tzinfo=UTC)},
        {"price_id": "openai/gpt-4o-mini@list-2"},
        {"model": "m", "price_id": "?"},
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_written(tenant, fields):
    for call in (preview, start_recost):
        with pytest.raises(Invalid):
            call(tenant.actor, lately(**fields))
    assert Recost.objects.count() == 0


def test_a_range_of_which_records_are_gone_is_refused(tenant):
    LogFloor.objects.create(day=this_hour()[0].date())
    day = datetime(*this_hour()[0].timetuple()[:3], tzinfo=UTC)
    with pytest.raises(Invalid, match="are gone"):
        preview(tenant.actor, lately(start=day - HOUR))
    assert preview(tenant.actor, lately(start=day)).records == 0


def test_the_command_says_what_it_would_do_and_does_it(tenant, capsys):
    ship(tenant, 2)
    wanted = lately()
    given = {"organisation": tenant.organisation.slug, "start": wanted.start, "end": wanted.end}
    call_command("recost", **given, dry_run=True)
    said = capsys.readouterr().out
    assert "2 records: 2 would change, 0 without a price now" in said
    assert "before: 0.000768000 USD, 0 unpriced" in said
    assert "after:  0.000240000 USD, 0 unpriced" in said
    assert spent(tenant) == 2 * BEFORE
    call_command("recost", **given)
    assert "2 records: 2 changed" in capsys.readouterr().out
    assert spent(tenant) == 2 * AFTER


def test_the_command_reads_times_as_utc_and_refuses_what_is_none(tenant):
    ship(tenant)
    hour = this_hour()[0].replace(tzinfo=None)
    arguments = ["--organisation", tenant.organisation.slug, "--start", hour.isoformat(), "--end"]
    call_command("recost", *arguments, (hour + HOUR).isoformat())
    assert spent(tenant) == AFTER
    with pytest.raises(CommandError, match="longer than nothing"):
        call_command("recost", *arguments, hour.isoformat())
    with pytest.raises(CommandError, match="no organisation nobody"):
        call_command("recost", "--organisation", "nobody", *arguments[2:], hour.isoformat())


def test_a_recost_remembers_all_that_it_was_asked(tenant):
    wanted = lately(provider="p", model="gpt-4o-mini", price_id="openai/gpt-4o-mini@list-2", own_of_now=True)
    row = Recost.objects.get(pk=start_recost(tenant.actor, wanted).pk)
    assert asdict(recosting._range_of(row)) == asdict(wanted)
