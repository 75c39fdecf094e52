from data_plane.limits.account import PACE_S, Account


def account(**fields):
    return Account("b", **{"window": 1, "ceiling": 100, **fields})


def test_what_a_worker_has_beyond_what_it_was_given_is_out_as_well():
    books = account(given={1: 50, 2: 20}, spent={1: 70}, base=5)
    assert (books.total, books.out, books.free) == (75, 95, 5)
    # Its next slice has to cover what it owes.
    assert (books.room(1), books.room(2)) == (25, 5)


def test_a_slice_that_is_handed_back_in_part_keeps_what_calls_need():
    books = account(given={1: 50}, spent={1: 10})
    books.take_back(1, 30, is_closed=False)
    assert (books.given, books.out) == ({1: 20}, 20)


def test_what_was_given_after_a_slice_was_closed_is_of_the_next_one():
    books = account(given={1: 50 + 8}, spent={1: 20})
    books.take_back(1, 30, is_closed=True)
    assert (books.given, books.spent, books.base, books.out) == ({1: 8}, {}, 20, 28)


def test_a_slice_that_is_closed_with_a_debt_leaves_what_was_spent_and_nothing_else():
    books = account(given={1: 50}, spent={1: 70})
    books.take_back(1, -20, is_closed=True)
    assert (books.given, books.spent, books.base, books.out) == ({}, {}, 70, 70)


def test_the_pace_falls_by_halves_and_rises_at_once():
    books = account(spent={1: 1000})
    books.measure(PACE_S)
    assert books.pace == 100
    books.measure(2 * PACE_S)
    assert books.pace == 50


def test_of_windows_that_are_over_the_last_two_are_told():
    books = account(spent={1: 5}, base=2)
    for window in (2, 3, 4):
        books.turn(window)
    assert sorted(books.past) == [2, 3] == sorted(books.past_changed)
