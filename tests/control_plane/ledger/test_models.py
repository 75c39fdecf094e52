"""Totals are the sums of the records: whatever is stored, however often it is sent, whatever breaks between."""

import random
from threading import Barrier, Thread
from uuid import uuid4

import pytest
from django.db import connection, transaction

from control_plane.ledger.folding import fold, fold_batch
from control_plane.ledger.models import DIMENSIONS, Correction, Delta
from control_plane.ledger.verifying import differences
from control_plane.logs import ingest
from control_plane.logs.models import LogRow
from control_plane.logs.partitions import drop_old_partitions, ensure_partitions
from shared.wire import IngestAnswer, IngestConflict
from tests.control_plane.factories import make_tenant
from tests.control_plane.ledger.ledger_kit import HOUR, KEY, added_up, counted, in_deltas_and_roll_ups, this_hour
from tests.control_plane.logs.log_kit import US, Gateway, make_record, record_frame

pytestmark = pytest.mark.django_db

HOUR_US = 3600 * US
MOST = 2**63 - 1


class Crash(Exception):
    pass


@pytest.fixture
def tenant():
    return make_tenant()


def some_record(tenant, dice, keys):
    hours = dice.choice([*range(30), 24 * 400])
    priced = dice.random() < 0.8
    is_hit = dice.random() < 0.1
    return make_record(
        tenant, ts_us=this_hour()[1] - hours * HOUR_US + dice.randrange(HOUR_US), ws=dice.choice(keys["ws"]),
        api_key=dice.choice(keys["api_key"]), user_ref=dice.choice([None, "", "ann", "bob", "x" * 4000]),
        integration=dice.choice([None, "int-1", "int-2"]), virtual_key=dice.choice([None, "vk"]),
        provider=dice.choice([None, "openai", "anthropic"]), model_served=dice.choice([None, "", "m-1", "m-2"]),
        model_requested=dice.choice([None, "m-1", "m-3"]), status=dice.choice([101, 200, 204, 300, 404, 500]),
        tok_in=dice.randrange(5000), tok_out=dice.randrange(900), tok_in_cache_read=dice.randrange(9),
        tok_in_cache_write=dice.randrange(9), tok_out_reasoning=dice.randrange(9), lat_ms=dice.randrange(99),
        cost_nano=0 if is_hit else dice.randrange(10**9) if priced else None,
        saved_nano=dice.randrange(10**9) if is_hit else 0, cache_status="HIT" if is_hit else "MISS",
        price_status="cached" if is_hit else "priced" if priced else "unpriced",
        usage_source=dice.choice(["provider", "estimated", "none"]), gw_us=dice.randrange(9), upstream_ms=3,
    )  # fmt: skip


def ship(gateway, stream, frames, dice):
    """Yield while batches of random cuts are sent, again, out of order and over each other, until all is stored."""
    acked = 0
    while acked < len(frames):
        begin = max(0, acked + dice.randrange(-400, 60))
        end = min(len(frames), begin + dice.randrange(1, 1500))
        if begin >= end:
            continue
        answer = gateway.send(frames[begin:end], stream_id=stream, first=begin + 1)
        if isinstance(answer, IngestConflict):
            assert begin > acked
        elif dice.random() < 0.7:
            acked = max(acked, answer.acked)
        yield


def test_fifty_thousand_records_of_shuffled_doubled_batches_add_up_exactly(tenant):
    other, dice = make_tenant(), random.Random(11)
    keys = {"ws": [str(uuid4()) for _ in range(3)], "api_key": [None, *(str(uuid4()) for _ in range(6))]}
    records = [some_record(dice.choice([tenant, other]), dice, keys) for _ in range(50_000)]
    gateway, shipping = Gateway(tenant, other), []
    for number in range(8):
        mine = records[number::8]
        # A record may also come by another stream, as when a spool was copied: it is stored once.
        mine += dice.sample(records, 200)
        frames = [record_frame(seq, record) for seq, record in enumerate(mine, 1)]
        shipping.append(ship(gateway, uuid4(), frames, dice))
    while shipping:
        each = dice.choice(shipping)
        if next(each, each) is each:
            shipping.remove(each)
        if dice.random() < 0.1:
            fold_batch(dice.randrange(1, 20_000))
    assert LogRow.objects.count() == 50_000
    for _ in range(2):
        assert counted() == added_up(records)
        for name in KEY:
            assert counted((name,)) == added_up(records, (name,))
        fold()
    assert in_deltas_and_roll_ups() == (0, 50_000)
    assert list(differences()) == []


@pytest.mark.django_db(transaction=True)
def test_gateways_that_ship_while_two_fold_lose_and_double_nothing(tenant):
    start, records, done = Barrier(4), [make_record(tenant, user_ref=f"u{n % 7}") for n in range(1200)], []

    def run(work):
        try:
            start.wait()
            work()
            done.append(work)
        finally:
            connection.close()

    def upload(part):
        gateway, stream = Gateway(tenant), uuid4()
        frames = [record_frame(seq, record) for seq, record in enumerate(part, 1)]
        for first in range(0, len(frames), 50):
            assert gateway.send(frames[first : first + 50], stream_id=stream, first=first + 1) == IngestAnswer(
                first + 50
            )

    def folding():
        for _ in range(60):
            fold_batch(7)

    works = [lambda: upload(records[:600]), lambda: upload(records[600:]), folding, folding]
    threads = [Thread(target=run, args=(work,)) for work in works]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(done) == 4
    assert counted() == added_up(records)
    fold()
    assert (counted(), in_deltas_and_roll_ups()) == (added_up(records), (0, 1200))


@pytest.mark.django_db(transaction=True)
def test_storing_does_not_wait_for_folding(tenant):
    record, stored = make_record(tenant), []
    Gateway(tenant).send_records(record)

    def upload():
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = '5s'")
        stored.append(Gateway(tenant).send_records(make_record(tenant, ts_us=record.ts_us)))
        connection.close()

    with transaction.atomic():
        fold_batch()
        shipping = Thread(target=upload)
        shipping.start()
        shipping.join()
    assert stored == [IngestAnswer(1)]


def test_a_crash_while_records_are_stored_leaves_neither_records_nor_counts(tenant, monkeypatch):
    record, stream = make_record(tenant), uuid4()
    with monkeypatch.context() as patch:
        patch.setattr(ingest, "_advance", lambda *_: (_ for _ in ()).throw(Crash))
        with pytest.raises(Crash):
            Gateway(tenant).send_records(record, stream_id=stream)
    assert (LogRow.objects.count(), counted()) == (0, {})
    gateway = Gateway(tenant)
    gateway.send_records(record, stream_id=stream)
    assert counted() == added_up([record])


def test_a_record_that_comes_late_is_added_to_its_old_hour(tenant):
    early = make_record(tenant, ts_us=this_hour()[1] - 50 * HOUR_US)
    Gateway(tenant).send_records(early)
    fold()
    late = make_record(tenant, ts_us=early.ts_us + 1)
    Gateway(tenant).send_records(late)
    assert counted() == added_up([early, late])
    fold()
    assert counted() == added_up([early, late])


def test_dropping_records_changes_no_total_and_late_ones_are_added_to_it(tenant):
    hour, hour_us = this_hour()
    old = [make_record(tenant, ts_us=hour_us - 30 * 24 * HOUR_US + n) for n in range(3)]
    ensure_partitions([(hour - 30 * 24 * HOUR).date()])
    Gateway(tenant).send_records(*old[:2])
    fold()
    drop_old_partitions(hour.date(), keep_days=20)
    assert (LogRow.objects.count(), counted()) == (0, added_up(old[:2]))
    Gateway(tenant).send_records(old[2])
    assert counted() == added_up(old)
    drop_old_partitions(hour.date(), keep_days=20)
    fold()
    assert (LogRow.objects.count(), counted()) == (0, added_up(old))
    assert list(differences()) == []


def test_rows_that_move_to_a_days_own_table_are_not_counted_again(tenant):
    record = make_record(tenant, ts_us=4_114_500_000 * US)
    Gateway(tenant).send_records(record)
    ensure_partitions([LogRow.objects.get().ts.date()])
    assert counted() == added_up([record])


def test_sums_beyond_what_a_bigint_holds_are_kept(tenant):
    records = [make_record(tenant, tok_in=MOST, cost_nano=MOST, ts_us=this_hour()[1] + n) for n in range(3)]
    assert Gateway(tenant).send_records(*records) == IngestAnswer(3)
    Gateway(tenant).send_records(make_record(tenant, ts_us=this_hour()[1]))
    fold()
    assert sum(counts[4] for counts in counted().values()) == 3 * MOST + 1200


def test_texts_too_long_for_an_index_are_told_apart(tenant):
    records = [make_record(tenant, user_ref="u" * 4000 + end, provider="p" * 4000) for end in ("a", "b", "b")]
    Gateway(tenant).send_records(*records)
    fold()
    assert counted() == added_up(records)


def test_one_delta_holds_all_records_of_a_batch_with_the_same_key(tenant):
    Gateway(tenant).send_records(*(make_record(tenant, ts_us=this_hour()[1] + n) for n in range(40)))
    assert [int(delta.requests) for delta in Delta.objects.all()] == [40]


def test_a_changed_record_changes_its_total_by_the_difference_alone(tenant):
    records = [make_record(tenant, cost_nano=5, ts_us=this_hour()[1] + n) for n in range(2)]
    Gateway(tenant).send_records(*records)
    fold()
    LogRow.objects.filter(id=records[0].id).update(cost_nano=None, price_status="unpriced")
    delta = Delta.objects.get()
    assert (delta.requests, delta.cost_nano, delta.unpriced, delta.tok_in) == (0, -5, 1, 0)
    assert list(differences()) == []
    LogRow.objects.filter(id=records[0].id).update(in_preview="x")
    assert Delta.objects.count() == 1


def test_every_dimension_is_told_apart(tenant):
    usual = {"api_key": str(uuid4()), "user_ref": "u", "integration": "i", "virtual_key": "v", "provider": "p"}
    other = {name: str(uuid4()) if name == "api_key" else "other" for name in usual}
    records = [make_record(tenant, **{**usual, name: other[name]}) for name in usual]
    records += [make_record(tenant, **usual, model_served="m"), make_record(tenant, **usual, ws=str(uuid4()))]
    Gateway(tenant).send_records(*records)
    fold()
    assert len(counted(DIMENSIONS)) == len(DIMENSIONS) == len(records)


def test_the_database_refuses_to_change_what_a_correction_says():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tgname FROM pg_trigger WHERE tgrelid = 'ledger_correction'::regclass AND NOT tgisinternal"
        )
        assert [name for (name,) in cursor.fetchall()] == ["correction_is_append_only"]
    with pytest.raises(RuntimeError):
        Correction.objects.update(before_nano=1)
