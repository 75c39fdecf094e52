from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_plane.core.limit import LENGTHS_S, Limit, limits_of
from shared.schema.limits import RateRow


def limit(unit="rpm", kind="requests", value=10):
    return Limit("k:1", "this API key", kind, unit, value, True)


@pytest.mark.parametrize(("unit", "ends"), [
    ("rps", datetime(2026, 11, 21, 17, 26, 39, tzinfo=UTC)), ("rpm", datetime(2026, 11, 21, 17, 27, tzinfo=UTC)),
    ("rph", datetime(2026, 11, 21, 18, tzinfo=UTC)), ("rpd", datetime(2026, 11, 22, tzinfo=UTC)),
    ("rpw", datetime(2026, 11, 23, tzinfo=UTC)),
])  # fmt: skip
def test_a_window_ends_at_a_whole_multiple_of_its_length(unit, ends):
    now = datetime(2026, 11, 21, 17, 26, 38, 500_000, tzinfo=UTC).timestamp()
    assert limit(unit).window(now)[1] == ends.timestamp()


@given(st.floats(0, 4e9), st.sampled_from(sorted(LENGTHS_S)))
def test_a_moment_lies_in_one_window_and_its_end_in_the_next(now, unit):
    name, ends = limit(unit).window(now)
    assert now < ends <= now + LENGTHS_S[unit]
    assert limit(unit).window(ends)[0] != name
    assert limit(unit).window(max(0.0, ends - LENGTHS_S[unit]))[0] == name


def test_counters_of_scopes_kinds_and_units_are_apart():
    others = [limit(), limit("rph"), limit(kind="tokens"), Limit("k:2", "x", "requests", "rpm", 10, True)]
    assert len({each.window(1e9)[0] for each in others}) == 4


def test_a_value_of_nothing_and_a_unit_of_a_later_release_are_no_limits():
    rates = (RateRow("requests", "rpm", 0), RateRow("tokens", "rpx", 5), RateRow("tokens", "rpd", 7))
    assert [(each.kind, each.unit, each.value) for each in limits_of("k", "o", rates, True)] == [("tokens", "rpd", 7)]
