import asyncio
import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_plane.core.types import TokenAsk
from data_plane.upstream.client import UpstreamClient
from data_plane.upstream.renewed import REFUSED_S
from data_plane.upstream.tokens import TokenRefused, Tokens, read_token
from shared.errors import UpstreamUnreachable
from tests.fakes.provider import FakeProvider, Reply

GRANTED = {"access_token": "token-1", "expires_in": 3600, "token_type": "Bearer"}


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


CLOCK = Clock()


@pytest.fixture
async def tokens():
    client = UpstreamClient(frozenset({"127.0.0.1"}))
    made = Tokens(client, CLOCK)
    yield made
    await client.close()


def ask_of(fake, key="account"):
    return TokenAsk(key, f"{fake.base_url}/token", b"grant_type=x&client_secret=sentinel", {"x-extra": "1"})


async def test_a_credential_is_changed_for_a_token_once(tokens):
    async with FakeProvider([Reply(json=GRANTED)]) as fake:
        assert [(await tokens.get(ask_of(fake))).reveal() for _ in range(3)] == ["token-1"] * 3
        (seen,) = fake.seen
    assert (seen.method, seen.path, seen.body) == ("POST", "/v1/token", b"grant_type=x&client_secret=sentinel")
    assert (seen.headers["content-type"], seen.headers["x-extra"]) == ("application/x-www-form-urlencoded", "1")


async def test_many_requests_at_once_ask_once(tokens):
    async with FakeProvider([Reply(json=GRANTED, delay_s=0.05)]) as fake:
        found = await asyncio.gather(*(tokens.get(ask_of(fake)) for _ in range(20)))
        assert ({token.reveal() for token in found}, len(fake.seen)) == ({"token-1"}, 1)


async def test_a_caller_that_leaves_does_not_take_the_others_answer(tokens):
    async with FakeProvider([Reply(json=GRANTED, delay_s=0.1)]) as fake:
        leaving = asyncio.create_task(tokens.get(ask_of(fake)))
        staying = asyncio.create_task(tokens.get(ask_of(fake)))
        async with asyncio.timeout(5):
            while not fake.seen:
                await asyncio.sleep(0.005)
        leaving.cancel()
        assert (await staying).reveal() == "token-1"
        assert len(fake.seen) == 1


@pytest.mark.parametrize(("passed", "asked"), [(3600 - 61, 1), (3600 - 59, 2)])
async def test_a_token_is_renewed_a_minute_before_it_ends(tokens, passed, asked):
    async with FakeProvider([Reply(json=GRANTED), Reply(json={**GRANTED, "access_token": "token-2"})]) as fake:
        await tokens.get(ask_of(fake))
        CLOCK.now += passed
        assert (await tokens.get(ask_of(fake))).reveal() == f"token-{asked}"
        assert len(fake.seen) == asked


async def test_different_accounts_have_different_tokens(tokens):
    async with FakeProvider(lambda _: Reply(json=GRANTED)) as fake:
        await tokens.get(ask_of(fake, "a"))
        await tokens.get(ask_of(fake, "b"))
        assert len(fake.seen) == 2


@pytest.mark.parametrize("reply", [
    Reply(401, json={"error": "invalid_client", "error_description": "client_secret=sentinel is wrong"}), Reply(json=[]), Reply(json={}),
    Reply(body=b"<html>"), Reply(json={"access_token": "t", "expires_in": "soon"}), Reply(500, json={}),
    Reply(json={"access_token": 7}), Reply(json={"access_token": ""}), Reply(json={"access_token": "t", "expires_in": "inf"}),
])  # fmt: skip
async def test_a_refusal_is_told_without_detail_and_remembered_for_a_moment(tokens, reply):
    async with FakeProvider([reply, Reply(json=GRANTED)]) as fake:
        for _ in range(2):
            with pytest.raises(TokenRefused) as raised:
                await tokens.get(ask_of(fake))
            assert "sentinel" not in str(orjson.dumps(raised.value.body()))
        assert len(fake.seen) == 1
        CLOCK.now += REFUSED_S + 0.1
        assert (await tokens.get(ask_of(fake))).reveal() == "token-1"


async def test_a_token_service_that_is_away_is_an_unreachable_provider(tokens):
    with pytest.raises(UpstreamUnreachable):
        await tokens.get(TokenAsk("a", "http://127.0.0.1:1/token", b""))


@given(st.binary(max_size=200) | st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.dictionaries(st.sampled_from(["access_token", "expires_in", "x"]), inner) | st.lists(inner),
).map(json.dumps).map(str.encode))  # fmt: skip
def test_whatever_is_answered_is_a_token_or_a_refusal(content):
    try:
        token, life_s = read_token(content)
    except TokenRefused:
        return
    assert token
    assert life_s < float("inf")
