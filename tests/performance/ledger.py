"""`make bench`, fourth part: how long a million records take to become roll-ups, in a real PostgreSQL.

Records are stored a thousand at a time, with hundreds of keys, users and models in each batch, so that nearly every
record has a delta of its own.  The seconds of folding are compared with the limit, and so are those of the other way:
no roll-ups at all, and all of them made from the records.
"""

import statistics
import sys
import time

import tests.performance.django_ready  # noqa: F401 -- before any model is imported

# isort: split

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from django.db import connection
from django.test.utils import setup_databases, setup_test_environment, teardown_databases

from control_plane.ledger.folding import BATCH, fold_batch
from control_plane.ledger.models import Delta, RollUp
from control_plane.ledger.verifying import differences, repair
from control_plane.logs.partitions import ensure_partitions

RECORDS, AT_ONCE, LIMIT_S = 1_000_000, 1000, 60
HOURS, KEYS, USERS, MODELS = 48, 500, 2000, 5
INSERT = """
    INSERT INTO logs_record (
        ts, id, stream_id, seq, organisation_id, workspace_id, api_key_id, user_ref, gateway, bundle, endpoint, provider,
        virtual_key, model_requested, model_served, stream, status, tok_in, tok_in_cache_read, tok_in_cache_write, tok_out,
        tok_out_reasoning, usage_source, cost_nano, price_status, lat_ms, upstream_ms, gw_us, retry_n, fallback_n,
        cache_status, trace_id, span_id, in_preview, out_preview, body_state, body_bytes, metadata, detail, decision
    )
    SELECT %(start)s + interval '1 hour' * (n / %(each_hour)s) + interval '1 ms' * (n %% 3600000), gen_random_uuid(),
        %(stream)s, n, %(organisation)s, md5('w' || who %% 5)::uuid, md5('k' || who %% %(keys)s)::uuid, 'user-' || who,
        'gateway-1', 'bundle-1', 'chat', 'provider-' || model %% 3, 'team-' || who %% 5, 'model-' || model,
        'model-' || model, false, CASE WHEN n %% 50 = 0 THEN 500 ELSE 200 END, 1200, 0, 0, 340, 0, 'provider', 384000 + n,
        'priced', 812, 800, 2500, 0, 0, 'DISABLED', md5(n::text), '1', repeat('asked ', 30), repeat('answered ', 20),
        'stored', 4000, '{"team": "bench", "env": "production"}',
        jsonb_build_object('integration', md5('i' || model), 'url', '/v1/chat/completions', 'phases_us', '{"parse": 90}'::jsonb),
        '[{"step": "config", "path": "targets[0]"}, {"step": "attempt", "us": 812000}]'
    FROM (
        SELECT n, (random() * %(users)s)::int AS who, (random() * %(models)s)::int AS model
        FROM generate_series(%(first)s::bigint, %(last)s::bigint) n
    ) made
"""


def store(start, first, count):
    """Store `count` records, a batch at a time; return the milliseconds of each batch."""
    facts = {
        "start": start, "each_hour": RECORDS // HOURS + 1, "stream": uuid4(), "organisation": uuid4(), "keys": KEYS,
        "users": USERS, "models": MODELS,
    }  # fmt: skip
    took = []
    with connection.cursor() as cursor:
        for begin in range(first, first + count, AT_ONCE):
            began = time.perf_counter()
            cursor.execute(INSERT, {**facts, "first": begin, "last": begin + AT_ONCE - 1})
            took.append((time.perf_counter() - began) * 1000)
    return took


def timed(call):
    """Return the seconds that a call takes, and its answer."""
    began = time.perf_counter()
    answer = call()
    return time.perf_counter() - began, answer


def fold_all():
    """Fold all there is; return the seconds of each batch."""
    took = []
    while True:
        seconds, moved = timed(lambda: fold_batch(BATCH))
        if moved:
            took.append(seconds)
        if moved < BATCH:
            return took


def without_counting(start):
    """Return the milliseconds of batches that nothing counts."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE logs_record DISABLE TRIGGER USER")
        took = store(start, RECORDS + 1, 50 * AT_ONCE)
        cursor.execute("ALTER TABLE logs_record ENABLE TRIGGER USER")
    return took


def measure():
    """Store, fold, compare, and make everything anew; print each and return the seconds that count."""
    start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=HOURS)
    ensure_partitions(start.date() + timedelta(days=n) for n in range(HOURS // 24 + 2))
    counted = store(start, 0, RECORDS)
    print(f"\nLedger: {RECORDS:,} records in batches of {AT_ONCE}, {Delta.objects.count():,} deltas")
    folding = fold_all()
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    print(
        f"{'fold all deltas':44}{sum(folding):8.1f} s    {RollUp.objects.count():,} roll-ups, slowest batch {max(folding):.1f} s"
    )
    verified_s, found = timed(lambda: sum(1 for _ in differences()))
    print(f"{'compare all totals with the records':44}{verified_s:8.1f} s    {found} differences")
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM ledger_rollup")
    repair_s, _ = timed(repair)
    print(f"{'make all totals anew from the records':44}{repair_s:8.1f} s")
    anew_s = repair_s + sum(fold_all())
    print(f"{'and fold them':44}{anew_s:8.1f} s    in all")
    left = sum(1 for _ in differences())
    bare = without_counting(start)
    print(
        f"{'store a batch, p50':44}{statistics.median(counted):8.1f} ms   {statistics.median(bare):.1f} ms without counting"
    )
    return max(sum(folding), anew_s), found + left


def main():
    setup_test_environment()
    old = setup_databases(verbosity=0, interactive=False)
    try:
        seconds, wrong = measure()
    finally:
        teardown_databases(old, verbosity=0)
    if wrong or seconds > LIMIT_S:
        print(f"{wrong} totals are wrong; {seconds:.1f} s of {LIMIT_S}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
