import asyncio

import orjson
import pytest

from data_plane.pipeline.answer import answer, refuse
from shared import wire
from shared.errors import Forbidden, NotReady
from shared.schema.rows import CustomProviderRow
from tests.data_plane import kit
from tests.data_plane.gateway_kit import CHAT, at
from tests.data_plane.pipeline.deps_kit import deps_of
from tests.fakes.provider import KEYS, FakeProvider


def code(result):
    return orjson.loads(result.body)["error"]["code"]


@pytest.fixture
async def fake():
    async with FakeProvider() as made:
        yield made


async def waiting(deps, exchange):
    """Return the task of an answer that waits for a newer revision."""
    task = asyncio.create_task(answer(exchange, deps))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not task.done()
    return task


async def test_without_a_configuration_nothing_is_answered():
    async with deps_of(None) as deps:
        with pytest.raises(NotReady):
            await answer(kit.exchange(), deps)


async def test_an_answer_notes_revision_caller_and_job(fake):
    exchange = kit.exchange(kit.call(body=CHAT))
    async with deps_of(kit.snapshot(7, **at(fake))) as deps:
        assert (await answer(exchange, deps)).status == 200
    assert (exchange.bundle, exchange.principal.key.id, exchange.job.model) == ("1.7", str(kit.KEY_ID), "@main/gpt-4o")


@pytest.mark.parametrize(("call", "sections", "status", "error"), [
    ({"key": None}, {}, 401, "Unauthenticated"), ({"raw": b"{"}, {}, 400, "InvalidJson"),
    ({}, {"api_keys": [kit.api_key(scopes=frozenset({"logs.list"}))]}, 403, "Forbidden"),
    ({"body": {"model": "gpt", "messages": []}}, {}, 400, "BadRequest"),
])  # fmt: skip
async def test_a_refusal_is_an_answer_and_is_noted(call, sections, status, error):
    exchange = kit.exchange(kit.call(**call))
    async with deps_of(kit.snapshot(**sections)) as deps:
        result = await answer(exchange, deps)
    assert (result.status, exchange.error_class, exchange.error_type) == (status, error, code(result))
    assert result.headers[wire.GATEWAY_EXCEPTION] == "true"


NEW = [
    pytest.param({}, {"api_keys": []}, id="key"),
    pytest.param({"headers": {"x-portkey-config": "pc-new"}, "body": {**CHAT, "model": "gpt-4o"}}, {}, id="config"),
    pytest.param({}, {"virtual_keys": []}, id="provider"),
    pytest.param({}, {"secrets": []}, id="secret"),
    pytest.param(
        {
            "headers": {"x-portkey-provider": "acme", "authorization": f"Bearer {KEYS['openai']}"},
            "body": {**CHAT, "model": "gpt-4o"},
        },
        {"custom_providers": []},
        id="custom provider",
    ),
]


@pytest.mark.parametrize(("call", "old"), NEW)
async def test_what_was_made_a_moment_ago_is_waited_for(fake, call, old):
    added = CustomProviderRow(f"{kit.ORG}/acme", kit.ORG, "acme", fake.base_url)
    sections = at(fake, configs=[kit.config("pc-new", {"virtual_key": "main"})], custom_providers=[added])
    exchange = kit.exchange(kit.call(**{"body": CHAT, **call}))
    async with deps_of(kit.snapshot(1, **{**sections, "configs": [], **old}), propagation_wait_s=30.0) as deps:
        deps.holder.connected = True
        task = await waiting(deps, exchange)
        deps.holder.swap(kit.snapshot(2, **sections))
        result = await asyncio.wait_for(task, 5)
    assert (result.status, exchange.bundle, len(fake.seen)) == (200, "1.2", 1)


async def test_several_revisions_may_pass_until_it_is_there(fake):
    async with deps_of(kit.snapshot(1, api_keys=[], **at(fake)), propagation_wait_s=30.0) as deps:
        deps.holder.connected = True
        task = await waiting(deps, kit.exchange(kit.call(body=CHAT)))
        deps.holder.swap(kit.snapshot(2, api_keys=[], **at(fake)))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not task.done()
        deps.holder.swap(kit.snapshot(3, **at(fake)))
        assert (await asyncio.wait_for(task, 5)).status == 200


@pytest.mark.parametrize(("connected", "wait_s"), [(False, 3600.0), (True, 0.02)])
async def test_the_wait_ends_at_its_bound_and_is_not_begun_without_the_control_plane(connected, wait_s):
    async with deps_of(kit.snapshot(api_keys=[]), propagation_wait_s=wait_s) as deps:
        deps.holder.connected = connected
        result = await asyncio.wait_for(answer(kit.exchange(), deps), 5)
    assert (result.status, code(result)) == (401, "invalid_api_key")


@pytest.mark.parametrize("call", [{"key": "gh-nonsense"}, {"key": None}, {"raw": b"{"}])
async def test_what_no_revision_can_bring_is_refused_at_once(call):
    async with deps_of(kit.snapshot(), propagation_wait_s=3600.0) as deps:
        deps.holder.connected = True
        assert (await asyncio.wait_for(answer(kit.exchange(kit.call(**call)), deps), 5)).status in {400, 401}


async def test_a_request_keeps_the_revision_that_it_began_with(fake):
    async with deps_of(kit.snapshot(1, **at(fake))) as deps:
        exchange = kit.exchange(kit.call(body=CHAT))
        task = asyncio.create_task(answer(exchange, deps))
        await asyncio.sleep(0)
        deps.holder.swap(kit.snapshot(2, api_keys=[], virtual_keys=[]))
        assert (await task).status == 200
    assert exchange.bundle == "1.1"


def test_a_refusal_says_what_and_why():
    exchange = kit.exchange()
    result = refuse(exchange, Forbidden("Not you."))
    assert (result.status, code(result), exchange.error_class) == (403, "forbidden", "Forbidden")


async def test_what_an_older_revision_decided_is_not_told(fake):
    sections = at(fake, configs=[kit.config("pc-new", {"virtual_key": "main"})])
    call = kit.call({"x-portkey-config": "pc-new"}, {**CHAT, "model": "gpt-4o"})
    exchange = kit.exchange(call)
    async with deps_of(kit.snapshot(1, **{**sections, "configs": []}), propagation_wait_s=30.0) as deps:
        deps.holder.connected = True
        task = await waiting(deps, exchange)
        deps.holder.swap(kit.snapshot(2, **sections))
        await asyncio.wait_for(task, 5)
    assert [step.step for step in exchange.decision.steps] == ["config", "attempt"]
