import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_plane.limits.lease import _named
from data_plane.limits.slices import Draw, Granted, Refused, Returned, Spent, policy_key, token_key
from shared.token_budget import Terms, TokenBudget


@given(st.uuids().map(str), st.text())
def test_the_key_of_a_counter_says_whose_it_is(policy, value):
    stored = value.encode("utf-8", "replace").decode().replace("\x00", "\ufffd")
    assert _named(policy_key(policy, value)) == {"policy": policy, "value_key": stored}
    assert _named(policy) == {"budget": policy}
    token = TokenBudget(policy, policy, "a" * 32, Terms("cost", 10**9))
    assert _named(token_key(token)) == {"token": token.text()}


@pytest.mark.parametrize("message", [
    Draw("b", 5, 1), Spent("b", 2, 9), Returned("b", 2, 3, is_closed=True), Granted("b", "id", 2, 7, 1),
    Refused("b", "short", 1, 100, 4),
])  # fmt: skip
def test_what_workers_and_agent_say_arrives_as_it_was_sent(message):
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=type(message)) == message
