"""Figures keep their meaning when they are written for people."""

import pytest


@pytest.mark.parametrize(
    ("nano", "text"),
    [
        (0, "$0.00"), (1, "$0.000000001"), (384_000, "$0.000384"), (123_456, "$0.0001235"), (10_000_000, "$0.01"),
        (1_500_000_000, "$1.50"), (1_234_567_890, "$1.235"), (12_345_678_901, "$12.35"),
        (1_234_567_000_000_000, "$1,234,567.00"),
    ],
)  # fmt: skip
def test_small_amounts_stay_visible_and_large_ones_short(nano, text):
    from control_plane.ui.templatetags.figures import money

    assert money(nano) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1,023 B"), (1024, "1.0 KiB"), (5 * 1024**3, "5.0 GiB"), (2**60, "1,048,576.0 TiB")],
)
def test_sizes_use_the_unit_that_fits(count, text):
    from control_plane.ui.templatetags.figures import size

    assert size(count) == text


@pytest.mark.parametrize(
    ("status", "word", "tone"),
    [
        (200, "Success", "good"),
        (101, "Success", "good"),
        (404, "Client error", "bad"),
        (500, "Server error", "bad"),
        (302, "Other", "plain"),
        (0, "Other", "plain"),
    ],
)
def test_a_status_has_a_word_and_a_colour(status, word, tone):
    from control_plane.ui.templatetags import figures

    assert (figures.outcome(status), figures.tone(status)) == (word, tone)
