import pytest

from data_plane.pipeline.authenticate import principal_of
from data_plane.pipeline.inner import answered, inner_call, whole_body
from shared.errors import UpstreamBroken
from tests.data_plane import kit
from tests.data_plane.gateway_kit import CHAT, STREAM, at
from tests.data_plane.pipeline.deps_kit import deps_of
from tests.fakes.provider import FakeProvider, Reply


def by_id(_call, snapshot, denied):
    return principal_of(str(kit.KEY_ID), snapshot, denied)


def chat(deps, body=CHAT):
    return inner_call("chat", "/v1/chat/completions", {}, deps.clock(), body=kit.msgspec.json.encode(body))


async def test_a_call_without_a_key_is_answered_for_whom_it_is_made_and_recorded_once():
    async with FakeProvider() as fake, deps_of(kit.snapshot(**at(fake))) as deps:
        async with answered(chat(deps), deps, by_id) as (answer, exchange):
            assert (answer.status, b"choices" in await whole_body(answer)) == (200, True)
            assert deps.recorder.items == []
        assert [record.id for record, _, _ in deps.recorder.items] == [exchange.id]


async def test_a_refusal_is_an_answer():
    async with (
        deps_of(kit.snapshot()) as deps,
        answered(chat(deps, {"model": "m", "messages": []}), deps, by_id) as (answer, _),
    ):
        assert answer.status == 400


async def test_a_key_that_is_gone_makes_no_calls():
    async with deps_of(kit.snapshot(api_keys=[])) as deps, answered(chat(deps), deps, by_id) as (answer, _):
        assert answer.status == 401


async def test_a_stream_is_gathered_and_what_breaks_is_no_body():
    async with (
        FakeProvider() as fake,
        deps_of(kit.snapshot(**at(fake))) as deps,
        answered(chat(deps, STREAM), deps, by_id) as (answer, _),
    ):
        assert (await whole_body(answer)).endswith(b"data: [DONE]\n\n")


async def test_a_body_that_breaks_off_is_none():
    async def frames():
        yield b"half"
        raise UpstreamBroken("gone")

    class Broken:
        def __init__(self):
            self.frames = frames()

    with pytest.raises(UpstreamBroken):
        await whole_body(Broken())


async def test_the_scope_of_a_call_is_asked_for():
    row = kit.msgspec.structs.replace(kit.api_key(), scopes=frozenset())
    async with (
        FakeProvider([Reply()]) as fake,
        deps_of(kit.snapshot(**at(fake), api_keys=[row])) as deps,
        answered(chat(deps), deps, by_id) as (answer, _),
    ):
        assert (answer.status, fake.seen) == (403, [])
