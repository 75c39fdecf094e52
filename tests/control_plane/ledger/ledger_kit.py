"""What records add up to, computed in plain Python; price lists of a test."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta

from django.db.models import Sum

from control_plane.ledger.models import DIMENSIONS, MEASURES, Delta, RollUp, Total
from shared.schema.rows import ModelPriceRow, ProviderPricesRow, Rate
from tests.control_plane.logs.log_kit import US

KEY = ("organisation_id", "hour", *DIMENSIONS)
EVER = (datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC))
HOUR = timedelta(hours=1)


def this_hour():
    """The UTC hour that is now, as (datetime, Unix microseconds)."""
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    return hour, int(hour.timestamp()) * US


def facts_of(record):
    """The key of a record, and what it adds: as the ledger must count it."""
    hour = datetime.fromtimestamp(record.ts_us // US // 3600 * 3600, UTC)
    model = record.model_served or record.model_requested
    key = (
        record.org, hour, record.ws, record.api_key, record.user_ref, record.integration, record.virtual_key,
        record.provider, model,
    )  # fmt: skip
    answered = 200 <= record.status < 300 or record.status == 101
    return key, (
        1, int(not answered), int(record.price_status == "unpriced"), int(record.usage_source == "estimated"),
        record.tok_in, record.tok_out, record.tok_in_cache_read, record.tok_in_cache_write, record.tok_out_reasoning,
        record.cost_nano or 0, record.saved_nano, record.lat_ms, record.upstream_ms, record.gw_us,
    )  # fmt: skip


def added_up(records, names=KEY):
    """What `records` add up to for each combination of the columns `names`."""
    places = [KEY.index(name) for name in names]
    sums = defaultdict(lambda: [0] * len(MEASURES))
    for record in records:
        key, counts = facts_of(record)
        group = sums[tuple(key[place] for place in places)]
        for place, count in enumerate(counts):
            group[place] += count
    return {key: tuple(counts) for key, counts in sums.items()}


def _plain(value):
    return value if value is None or isinstance(value, (str, datetime)) else str(value)


def counted(names=KEY, rows=Total):
    """What the ledger has for each combination of the columns `names`."""
    groups = rows.objects.order_by().values(*names).annotate(**{f"sum_{name}": Sum(name) for name in MEASURES})
    return {
        tuple(_plain(group[name]) for name in names): tuple(int(group[f"sum_{name}"]) for name in MEASURES)
        for group in groups
    }


def in_deltas_and_roll_ups():
    """How many requests wait to be folded, and how many are."""
    return tuple(
        int(rows.objects.aggregate(n=Sum("requests", default=0))["n"]) for rows in (Delta, RollUp)
    )  # fmt: skip


def price_list(input_nano, output_nano=0, *, model="gpt-4o-mini", version="list-2", **fields):
    """A list of OpenAI's with one model; nano-dollars per million tokens."""
    row = ModelPriceRow(
        model, ["starts_with", model], input=(Rate(0, input_nano),), output=(Rate(0, output_nano),), **fields
    )
    return ProviderPricesRow("openai", version, (row,))
