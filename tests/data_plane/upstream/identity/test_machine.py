import pytest

from data_plane.upstream.client import UpstreamClient
from data_plane.upstream.identity.machine import IdentityRefused, Machine, Told, ask, get, post, read_file, read_object
from shared.errors import HostRefused
from shared.redact import Secret
from tests.fakes.provider import FakeProvider, Reply

SAID = {"cloud": "Cloud", "step": "step"}


@pytest.fixture
async def machine():
    made = Machine({"NAME": "value", "HIDDEN": "sentinel", "EMPTY": ""})
    yield made
    await made.close()


async def test_variables_are_told_by_name_and_secret_ones_wrapped(machine):
    assert (machine.variable("NAME"), machine.variable("OTHER")) == ("value", "")
    assert isinstance(machine.secret("HIDDEN"), Secret)
    assert machine.secret("EMPTY") is machine.secret("OTHER") is None


async def test_only_the_machine_is_asked_at_addresses_that_are_closed_to_everybody_else(machine):
    client = UpstreamClient(frozenset())
    async with FakeProvider([Reply(json={"a": 1})]) as fake:
        told = await machine.ask(get(fake.base_url, {"x": "y"}), **SAID)
        assert (told.status, told.json(), fake.seen[0].headers["x"]) == (200, {"a": 1}, "y")
        with pytest.raises(HostRefused):
            await client.send(get(fake.base_url, {}))
        with pytest.raises(IdentityRefused):
            await ask(client, get(fake.base_url, {}), **SAID)
        assert len(fake.seen) == 1
    await client.close()


async def test_an_answer_that_leads_elsewhere_is_not_followed(machine):
    async with FakeProvider([Reply(302, headers={"location": "/elsewhere"})]) as fake:
        assert (await machine.ask(get(fake.base_url, {}), **SAID)).status == 302
        assert len(fake.seen) == 1


@pytest.mark.parametrize("reply", [Reply(hang=True), Reply(body=b"x" * 300_000), Reply(body=b"x", break_after=0)])
async def test_an_answer_that_does_not_come_is_too_long_or_breaks_off_is_a_refusal(machine, monkeypatch, reply):
    monkeypatch.setattr("data_plane.upstream.identity.machine.METADATA_TIMEOUT_MS", 100)
    async with FakeProvider([reply]) as fake:
        with pytest.raises(IdentityRefused) as raised:
            await machine.ask(get(fake.base_url, {}), **SAID)
    assert raised.value.message == "The gateway was not given the identity at Cloud that this account calls by."
    assert raised.value.final is False


async def test_a_machine_that_has_no_such_address_is_a_refusal(machine):
    with pytest.raises(IdentityRefused):
        await machine.ask(get("http://127.0.0.1:1/", {}), **SAID)


async def test_a_file_is_read_whole_or_not_at_all(tmp_path):
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(b"proof")
    large.write_bytes(b"x" * (256 * 1024 + 1))
    assert await read_file(small, **SAID) == b"proof"
    for path in (large, tmp_path / "none", tmp_path, tmp_path / "\0"):
        with pytest.raises(IdentityRefused):
            await read_file(path, **SAID)


@pytest.mark.parametrize("content", [b"", b"[]", b"7", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_object_is_a_value_error(content):
    with pytest.raises(ValueError, match=r"."):
        read_object(content)


def test_what_is_told_and_sent_is_not_shown():
    assert "sentinel" not in repr(Told(200, {}, b"sentinel")) + repr(post("http://x", b"sentinel"))
