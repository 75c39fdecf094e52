import pytest

from data_plane.sync.fleet import BELIEVE_S, Fleet


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def fleet(tmp_path, clock):
    return Fleet(tmp_path / "gateways", clock)


def test_before_anybody_has_told_it_the_number_is_not_known(fleet):
    assert fleet.count == 0
    assert not fleet.told(0)
    assert fleet.count == 0


def test_a_number_that_grows_holds_at_once(fleet):
    assert [(fleet.told(count), fleet.count) for count in (1, 1, 3, 30)] == [
        (True, 1),
        (False, 1),
        (True, 3),
        (True, 30),
    ]


def test_a_number_that_falls_is_believed_when_it_was_told_for_a_while(fleet, clock):
    fleet.told(30)
    assert not fleet.told(3)
    clock.now += BELIEVE_S - 1
    assert not fleet.told(2)
    assert fleet.count == 30
    clock.now += 1
    assert fleet.told(2)
    # The highest of what was told meanwhile.
    assert fleet.count == 3


def test_after_an_outage_those_that_were_not_heard_of_again_yet_are_not_taken_for_gone(fleet, clock):
    fleet.told(30)
    fleet.told(29)
    clock.now += 3600
    fleet.unheard()
    assert not fleet.told(1)
    clock.now += BELIEVE_S - 1
    assert not fleet.told(30)
    clock.now += BELIEVE_S
    assert not fleet.told(29)
    assert fleet.count == 30


def test_the_number_is_known_at_the_next_start(fleet, tmp_path):
    fleet.told(7)
    fleet.store()
    assert Fleet(tmp_path / "gateways").count == 7


@pytest.mark.parametrize("content", [b"", b"x", b"-1", b"\xff", b"9" * 5000, "٣".encode()])
def test_a_file_that_is_none_is_as_good_as_no_file(tmp_path, content):
    (tmp_path / "gateways").write_bytes(content)
    assert Fleet(tmp_path / "gateways").count == 0


def test_a_disk_that_takes_nothing_stops_nothing(tmp_path):
    fleet = Fleet(tmp_path / "missing" / "gateways")
    fleet.told(7)
    fleet.store()
    assert fleet.count == 7
