"""How do deltas become roll-ups?  In batches, each one transaction: a crash leaves a batch where it was.

Folders take turns, so that none waits for a row of another; gateways that ship do not wait for them at all.
"""

from typing import Final

from django.db import connection, transaction

from control_plane.ledger.models import DIMENSIONS, MEASURES

BATCH: Final = 50_000
#: One folder, or one who repairs, at a time, across all processes.
LOCK: Final = 0x67_68_6C_65_64
_KEY: Final = ", ".join(("organisation_id", "hour", *DIMENSIONS))
_DIGEST: Final = f"sha256(convert_to(jsonb_build_array({', '.join(DIMENSIONS)})::text, 'UTF8'))"
_COUNTS: Final = ", ".join(MEASURES)
_SUMS: Final = ", ".join(f"sum({name})" for name in MEASURES)
_ADDED: Final = ", ".join(f"{name} = kept.{name} + excluded.{name}" for name in MEASURES)
_LAST: Final = """
    SELECT max(id) FROM (SELECT id FROM ledger_delta ORDER BY id LIMIT %s) batch
"""
# A range, not a list of ids: the table is empty most of the time, and a plan for few rows must do for many.
_FOLD: Final = f"""
    WITH taken AS (
        DELETE FROM ledger_delta WHERE id <= %s RETURNING *
    ), folded AS (
        INSERT INTO ledger_rollup AS kept ({_KEY}, digest, {_COUNTS})
        SELECT {_KEY}, {_DIGEST}, {_SUMS} FROM taken GROUP BY {_KEY}
        ON CONFLICT (organisation_id, hour, digest) DO UPDATE SET {_ADDED}
    )
    SELECT count(*) FROM taken
"""  # noqa: S608 -- names of columns, all of them constants


def fold_batch(size: int = BATCH) -> int:
    """Move the oldest deltas into roll-ups, about `size` of them; return how many were moved."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        cursor.execute(_LAST, [size])
        (last,) = cursor.fetchone()
        if last is None:
            return 0
        # A delta whose transaction ended meanwhile may be below `last`: it is taken as well.
        cursor.execute(_FOLD, [last])
        moved: int = cursor.fetchone()[0]
    return moved


def fold(size: int = BATCH) -> int:
    """Move all deltas into roll-ups; return how many were moved.

    May be stopped at any time and run by several at once; what is stored meanwhile may be left to the next run.
    """
    total = 0
    while moved := fold_batch(size):
        total += moved
        if moved < size:
            break
    return total
