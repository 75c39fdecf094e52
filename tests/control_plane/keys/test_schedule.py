"""When a key rotates."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.keys.schedule import LEAST_TRANSITION_MS, next_rotation, shortest_period_ms, transition_ms

NOW = datetime(2026, 2, 11, 15, 30, tzinfo=UTC)  # a Wednesday
MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 -- hypothesis wants them naive


@pytest.mark.parametrize(("policy", "expected"), [
    ({"rotation_period": "weekly"}, datetime(2026, 2, 16, tzinfo=UTC)),
    ({"rotation_period": "monthly"}, datetime(2026, 3, 1, tzinfo=UTC)),
    ({"rotation_period_days": 1}, datetime(2026, 2, 12, tzinfo=UTC)),
    ({"rotation_period_days": 90}, datetime(2026, 5, 12, tzinfo=UTC)),
    ({}, None), (None, None), ({"key_transition_period_ms": 1_800_000}, None),
])  # fmt: skip
def test_the_next_rotation_is_at_midnight(policy, expected):
    assert next_rotation(policy, NOW) == expected


def test_a_monday_and_a_first_wait_for_the_next_one():
    assert next_rotation({"rotation_period": "weekly"}, datetime(2026, 2, 16, tzinfo=UTC)).day == 23
    assert next_rotation({"rotation_period": "monthly"}, datetime(2026, 12, 1, tzinfo=UTC)).month == 1


@given(
    MOMENTS,
    st.sampled_from([{"rotation_period": "weekly"}, {"rotation_period": "monthly"}, {"rotation_period_days": 3}]),
)
def test_no_rotation_comes_later_than_its_period(now, policy):
    found = next_rotation(policy, now)
    longest = {"weekly": 7, "monthly": 31}.get(policy.get("rotation_period"), 3)
    assert now < found <= now + timedelta(days=longest)


def test_an_old_text_is_good_for_half_an_hour_unless_the_policy_says_longer():
    assert transition_ms(None) == transition_ms({}) == LEAST_TRANSITION_MS
    assert transition_ms({"key_transition_period_ms": 3_600_000}) == 3_600_000


@pytest.mark.parametrize(
    ("policy", "days"),
    [({"rotation_period": "weekly"}, 7), ({"rotation_period": "monthly"}, 28), ({"rotation_period_days": 2}, 2)],
)
def test_the_shortest_period_is_known(policy, days):
    assert shortest_period_ms(policy) == days * 86_400_000
