"""Which limits can be kept."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from control_plane.core.limits import (
    KEY_UNITS,
    MONDAY,
    MOST_RATE,
    POLICY_BUDGETS,
    SUNDAY,
    UNITS,
    amount,
    midnight,
    next_reset,
    plain,
    rate_faults,
    rates_faults,
    usage_faults,
)

COST = {"type": "cost", "credit_limit": 10}
RATE = {"type": "requests", "unit": "rpm", "value": 5}


@pytest.mark.parametrize(
    "limit",
    [
        COST, {"credit_limit": 1}, {"credit_limit": 1.5}, {"type": "tokens", "credit_limit": 100},
        {"type": "tokens", "credit_limit": 100.0}, {**COST, "alert_threshold": 9.99}, {**COST, "alert_threshold": None},
        {**COST, "periodic_reset": "weekly"}, {**COST, "periodic_reset": "monthly", "periodic_reset_days": None},
        {**COST, "periodic_reset_days": 1}, {**COST, "periodic_reset_days": 365},
        {**COST, "periodic_reset_days": 30, "next_usage_reset_at": "2030-01-31T00:00:00Z"}, {"credit_limit": 10**9},
    ],
)  # fmt: skip
def test_a_limit_of_usage_that_the_contract_allows_has_no_fault(limit):
    assert usage_faults(limit) == {}


@pytest.mark.parametrize(
    ("limit", "field"),
    [
        ({}, "credit_limit"), ({"type": "cost"}, "credit_limit"), ({"credit_limit": None}, "credit_limit"),
        ({"credit_limit": 0.99}, "credit_limit"), ({"credit_limit": -5}, "credit_limit"), ({"credit_limit": True}, "credit_limit"),
        ({"credit_limit": "10"}, "credit_limit"), ({"credit_limit": []}, "credit_limit"), ({"credit_limit": 10**9 + 1}, "credit_limit"),
        ({"credit_limit": 1e300}, "credit_limit"), ({"type": "tokens", "credit_limit": 99}, "credit_limit"),
        ({"type": "tokens", "credit_limit": 100.5}, "credit_limit"), ({"type": "tokens", "credit_limit": 10**16}, "credit_limit"),
        ({**COST, "type": "requests"}, "type"), ({**COST, "type": ["cost"]}, "type"), ({**COST, "type": "Cost"}, "type"),
        ({**COST, "alert_threshold": 10}, "alert_threshold"), ({**COST, "alert_threshold": 11}, "alert_threshold"),
        ({**COST, "alert_threshold": 0}, "alert_threshold"), ({**COST, "alert_threshold": -1}, "alert_threshold"),
        ({**COST, "alert_threshold": "5"}, "alert_threshold"),
        ({"type": "tokens", "credit_limit": 200, "alert_threshold": 1.5}, "alert_threshold"),
        ({**COST, "periodic_reset": "daily"}, "periodic_reset"), ({**COST, "periodic_reset": 1}, "periodic_reset"),
        ({**COST, "periodic_reset_days": 0}, "periodic_reset_days"), ({**COST, "periodic_reset_days": 366}, "periodic_reset_days"),
        ({**COST, "periodic_reset_days": 1.5}, "periodic_reset_days"), ({**COST, "periodic_reset_days": True}, "periodic_reset_days"),
        ({**COST, "periodic_reset_days": 5, "periodic_reset": "weekly"}, "periodic_reset_days"),
        ({**COST, "periodic_reset": "weekly", "next_usage_reset_at": "soon"}, "next_usage_reset_at"),
        ({**COST, "periodic_reset": "weekly", "next_usage_reset_at": 5}, "next_usage_reset_at"),
        ({**COST, "next_usage_reset_at": "2030-01-31T00:00:00Z"}, "next_usage_reset_at"),
        ({**COST, "limit": 5}, "limit"), ({**COST, "current_usage": 5}, "current_usage"),
    ],
)  # fmt: skip
def test_any_other_limit_of_usage_has_one_fault_at_its_field(limit, field):
    faults = usage_faults(limit)
    assert list(faults) == [field]
    assert all(isinstance(each, str) for each in faults[field])


def test_every_fault_is_told_at_once():
    faults = usage_faults({"type": "cost", "credit_limit": 0, "periodic_reset": "x", "periodic_reset_days": 0, "y": 1})
    assert set(faults) == {"credit_limit", "periodic_reset", "periodic_reset_days", "y"}


def test_policies_count_requests_too():
    assert usage_faults({"type": "requests", "credit_limit": 1}, POLICY_BUDGETS) == {}
    assert set(usage_faults({"type": "requests", "credit_limit": 0}, POLICY_BUDGETS)) == {"credit_limit"}


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("value", [0, 1, 5.0, MOST_RATE])
def test_a_limit_of_rate_that_the_contract_allows_has_no_fault(unit, value):
    assert rate_faults({"type": "tokens", "unit": unit, "value": value}) == {}


@pytest.mark.parametrize(
    ("change", "field"),
    [({"type": "cost"}, "type"), ({"type": None}, "type"), ({"unit": "rps"}, "unit"), ({"unit": "tpd"}, "unit"),
     ({"unit": ["rpm"]}, "unit"), ({"value": -1}, "value"), ({"value": 1.5}, "value"), ({"value": True}, "value"),
     ({"value": "5"}, "value"), ({"value": None}, "value"), ({"value": MOST_RATE + 1}, "value"), ({"per": 1}, "per")],
)  # fmt: skip
def test_any_other_limit_of_rate_has_one_fault_at_its_field(change, field):
    assert list(rate_faults({**RATE, **change})) == [field]


def test_a_policys_rate_is_at_least_one():
    assert set(rate_faults({**RATE, "value": 0}, least=1)) == {"value"}


def test_seconds_are_for_api_keys():
    assert rate_faults({**RATE, "unit": "rps"}, KEY_UNITS) == {}


def test_two_limits_of_one_type_and_unit_contradict_each_other():
    other = [{**RATE, "unit": "rph"}, {**RATE, "type": "tokens"}]
    assert rates_faults([RATE, *other]) == {}
    assert list(rates_faults([RATE, *other, {**RATE, "value": 9}])) == ["3"]


def test_a_fault_says_which_of_the_limits_it_is_in():
    assert list(rates_faults([RATE, {"type": "tokens"}])["1"]) == ["unit", "value"]


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (1, "1"),
        (0.1, "0.1"),
        (10.0, "10.0"),
        (Decimal("2.50"), "2.50"),
        (True, None),
        ("1", None),
        (float("inf"), None),
        (None, None),
    ],
)
def test_a_number_is_taken_as_it_was_written(value, number):
    assert amount(value) == (None if number is None else Decimal(number))


@pytest.mark.parametrize(("number", "shown"), [("10.0", 10), ("10.25", 10.25), ("1E+3", 1000)])
def test_a_number_is_shown_without_a_fraction_when_it_has_none(number, shown):
    assert repr(plain(Decimal(number))) == repr(shown)


# 2026-01-07 is a Wednesday.
@pytest.mark.parametrize(
    ("now", "period", "days", "weekday", "then"),
    [
        ("2026-01-07T15:30", "weekly", None, MONDAY, "2026-01-12"), ("2026-01-07T15:30", "weekly", None, SUNDAY, "2026-01-11"),
        ("2026-01-12T00:00", "weekly", None, MONDAY, "2026-01-19"), ("2026-01-11T23:59", "weekly", None, MONDAY, "2026-01-12"),
        ("2026-01-31T10:00", "monthly", None, MONDAY, "2026-02-01"), ("2026-02-01T00:00", "monthly", None, MONDAY, "2026-03-01"),
        ("2026-12-15T10:00", "monthly", None, MONDAY, "2027-01-01"), ("2024-02-28T10:00", None, 2, MONDAY, "2024-03-01"),
    ],
)  # fmt: skip
def test_usage_is_set_back_at_a_midnight_after_now(now, period, days, weekday, then):
    at = next_reset(datetime.fromisoformat(f"{now}:00+00:00"), period, days, weekday=weekday)
    assert at == datetime.fromisoformat(f"{then}T00:00:00+00:00")


def test_a_limit_without_a_period_lasts_forever():
    assert next_reset(datetime(2026, 1, 1, tzinfo=UTC), None, None, weekday=MONDAY) is None


def test_a_day_begins_at_midnight():
    assert midnight(datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)) == datetime(2026, 1, 2, tzinfo=UTC)
