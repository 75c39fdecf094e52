from data_plane.limits import counters
from data_plane.limits.counters import Counters, RateCount


def test_what_is_counted_is_told_once():
    made = Counters(lambda: 0.0)
    made.add("a", 1, 60.0)
    made.add("a", 2, 60.0)
    assert made.get("a") == 3
    assert made.take_untold() == [RateCount("a", 3, 60.0)]
    assert made.take_untold() == []


def test_what_others_told_counts_and_is_not_told_again():
    made = Counters(lambda: 0.0)
    made.absorb([RateCount("a", 5, 60.0), RateCount("b", 1, 60.0)])
    made.add("a", 1, 60.0)
    assert (made.get("a"), made.get("b"), made.get("c")) == (6, 1, 0)
    assert made.take_untold() == [RateCount("a", 1, 60.0)]


def test_windows_that_ended_make_room_first(monkeypatch):
    monkeypatch.setattr(counters, "MOST", 3)
    now = [0.0]
    made = Counters(lambda: now[0])
    for name, ends in (("old", 10.0), ("new", 100.0), ("newer", 100.0)):
        made.add(name, 1, ends)
    now[0] = 50.0
    made.add("next", 1, 100.0)
    assert (made.get("old"), made.get("new"), made.get("next"), made.dropped) == (0, 1, 1, 0)


def test_counters_without_end_are_bounded_and_the_loss_is_counted(monkeypatch):
    monkeypatch.setattr(counters, "MOST", 3)
    made = Counters(lambda: 0.0)
    for number in range(4):
        made.add(f"c{number}", 1, 100.0)
    assert (len(made), made.get("c3")) == (1, 1)
    assert made.dropped == 6  # the counts and what was to be told of them


def test_a_count_is_raised_to_what_is_known_and_nobody_is_told():
    made = Counters(lambda: 0.0)
    made.add("a", 2, 60.0)
    made.take_untold()
    for count in (5, 3):
        made.raise_to("a", count, 60.0)
    made.raise_to("b", 0, 60.0)
    assert (made.get("a"), len(made), made.take_untold()) == (5, 1, [])


def test_counts_of_windows_that_are_over_are_not_live():
    now = [0.0]
    made = Counters(lambda: now[0])
    made.add("old", 1, 10.0)
    made.add("new", 2, 100.0)
    now[0] = 10.0
    assert made.live() == [RateCount("new", 2, 100.0)]
