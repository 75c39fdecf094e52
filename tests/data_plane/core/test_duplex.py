import pytest

from data_plane.core.duplex import Message, SessionLimits, passed_on


@pytest.mark.parametrize(
    ("code", "told"),
    [(1000, 1000), (1001, 1001), (1008, 1008), (3000, 3000), (4321, 4321), (0, 1000), (1005, 1000), (1006, 1011),
     (1015, 1011), (1004, 1011), (999, 1011), (5000, 1011), (70000, 1011)],
)  # fmt: skip
def test_a_code_is_told_on_unless_it_must_not_be_on_the_wire(code, told):
    assert passed_on(code) == told


def test_a_session_has_the_documented_bounds_unless_an_operator_sets_others():
    limits = SessionLimits()
    assert (limits.max_message_bytes, limits.idle_s, limits.longest_s) == (16 * 1024 * 1024, 600, 3900)


def test_what_was_said_is_not_shown():
    assert "secret words" not in repr(Message(b"secret words", is_text=True))
