import pytest

from data_plane.core.types import UpstreamRequest
from data_plane.upstream.client import UpstreamClient
from shared.errors import UpstreamBroken, UpstreamInvalid, UpstreamTimeout, UpstreamUnreachable
from tests.fakes.provider import FakeProvider, Reply

TRUSTED = frozenset({"127.0.0.1"})


@pytest.fixture
async def client():
    made = UpstreamClient(TRUSTED)
    yield made
    await made.close()


def call(fake, timeout_ms=None):
    return UpstreamRequest(
        f"{fake.base_url}/x", {"authorization": "Bearer sk-sentinel"}, b"{}", stream=False, timeout_ms=timeout_ms
    )


async def test_the_head_comes_first_and_the_body_when_it_is_read(client):
    async with FakeProvider([Reply(201, json={"a": 1}, headers={"x-id": "7"})]) as fake:
        response = await client.send(call(fake))
        assert (response.status, response.headers["x-id"]) == (201, "7")
        assert await response.read() == b'{"a":1}'


async def test_the_client_adds_nothing_that_names_it(client):
    async with FakeProvider([Reply(json={})]) as fake:
        (await client.send(call(fake))).close()
        assert "user-agent" not in fake.seen[0].headers


async def test_redirects_are_not_followed(client):
    async with FakeProvider([Reply(302, body=b"", headers={"location": "http://169.254.169.254/"})]) as fake:
        response = await client.send(call(fake))
        assert response.status == 302
        response.close()


async def test_a_timeout_counts_to_the_head(client):
    async with FakeProvider([Reply(hang=True)]) as fake:
        with pytest.raises(UpstreamTimeout, match="30ms"):
            await client.send(call(fake, timeout_ms=30))


async def test_what_cannot_be_reached_says_so_without_an_address(client):
    async with FakeProvider() as fake:
        gone = call(fake)
    with pytest.raises(UpstreamUnreachable) as raised:
        await client.send(gone)
    assert "127.0.0.1" not in raised.value.message


async def test_a_body_over_the_limit_is_refused(client):
    async with FakeProvider([Reply(body=b"x" * 1000), Reply(sse=[b"x" * 500, b"y" * 600])]) as fake:
        for _ in range(2):
            response = await client.send(call(fake))
            with pytest.raises(UpstreamInvalid):
                await response.read(900)
            response.close()


async def test_a_body_that_breaks_off_is_broken(client):
    async with FakeProvider([Reply(body=b"half", break_after=0), Reply(sse=[b"a"], break_after=1)]) as fake:
        for read in ("whole", "pieces"):
            response = await client.send(call(fake))
            with pytest.raises(UpstreamBroken):
                if read == "whole":
                    await response.read()
                async for _ in response.chunks():
                    pass
            response.close()


def test_a_request_does_not_show_its_credential():
    assert "sentinel" not in repr(
        UpstreamRequest("https://x", {"authorization": "sk-sentinel"}, b"sk-sentinel", stream=False, timeout_ms=None)
    )
