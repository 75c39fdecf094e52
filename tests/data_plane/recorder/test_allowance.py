"""Is no more given than there is, and may what is given back be taken again?"""

from data_plane.recorder.allowance import Allowance


def test_no_more_is_given_than_is_left():
    allowance = Allowance(100)
    assert [allowance.take(60), allowance.take(60), allowance.take(40), allowance.take(1)] == [True, False, True, False]


def test_what_is_given_back_may_be_taken_again():
    allowance = Allowance(100)
    allowance.take(100)
    allowance.give_back(30)
    assert [allowance.take(31), allowance.take(30)] == [False, True]
