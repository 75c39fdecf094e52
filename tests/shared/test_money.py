from decimal import Decimal

import pytest

from shared.money import cents, dollars, from_dollars


@pytest.mark.parametrize(("nano", "in_cents"), [(0, 0.0), (1, 1e-07), (10_000_000, 1.0), (123_456_789, 12.3456789)])
def test_cents_are_ten_million_nanodollars(nano, in_cents):
    assert cents(nano) == in_cents


def test_a_dollar_goes_there_and_back():
    assert dollars(from_dollars(Decimal("12.34"))) == 12.34


def test_amounts_below_a_nanodollar_are_rounded_half_up():
    assert [from_dollars(text) for text in ("0.0000000005", "0.00000000049")] == [1, 0]
