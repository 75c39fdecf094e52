"""Windows here are those of the gateways."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.explain.windows import LENGTHS, hour_at, next_hour, window_of
from data_plane.core.limit import LENGTHS_S, Limit

EPOCH = datetime(1971, 1, 1, tzinfo=UTC)
MOMENTS = st.timedeltas(timedelta(0), timedelta(days=80_000)).map(lambda since: EPOCH + since)


@given(MOMENTS, st.sampled_from(sorted(LENGTHS_S)))
def test_a_window_is_the_one_that_gateways_count_in(at, unit):
    start, end = window_of(unit, at)
    gateway = Limit("k:1", "the key", "requests", unit, 1, of_caller=True)
    assert gateway.window(start.timestamp()) == gateway.window(at.timestamp())
    assert gateway.window(at.timestamp())[1] == end.timestamp()
    assert start <= at < end


def test_there_is_a_window_for_every_unit_of_the_gateways():
    assert {unit: length.total_seconds() for unit, length in LENGTHS.items()} == LENGTHS_S


@pytest.mark.parametrize(("minutes", "before", "after"), [(0, 0, 0), (1, 0, 1), (59, 0, 1)])
def test_hours_are_whole(minutes, before, after):
    hour = datetime(2026, 3, 1, 7, tzinfo=UTC)
    moment = hour + timedelta(minutes=minutes)
    assert hour_at(moment) == hour + timedelta(hours=before)
    assert next_hour(moment) == hour + timedelta(hours=after)
