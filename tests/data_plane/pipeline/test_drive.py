import asyncio
import json

import orjson
import pytest

from data_plane.pipeline.authenticate import authenticate
from data_plane.pipeline.drive import drive
from data_plane.pipeline.resolve import resolve
from data_plane.pipeline.target import UnknownProvider
from tests.data_plane import kit
from tests.data_plane.gateway_kit import CHAT, at
from tests.data_plane.pipeline.deps_kit import deps_of
from tests.fakes.provider import FakeProvider, Reply

ERROR = Reply(500, json={"error": {"message": "no"}})
CHUNK = {
    "id": "c",
    "object": "chat.completion.chunk",
    "model": "gpt-4o",
    "choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": None}],
}


@pytest.fixture
async def fakes(monkeypatch):
    """Two providers, `main` and `second`; back-off takes no time."""
    monkeypatch.setattr("shared.routing.walk.BACKOFF_S", (0.0,) * 5)
    async with FakeProvider() as first, FakeProvider() as second:
        yield first, second


async def driven(fakes, config, *, body=None, watch=None):
    """Drive a chat with an inline config; return (answer, exchange)."""
    snapshot = kit.snapshot(**at(*fakes))
    asked = body or {**CHAT, "model": "gpt-4o"}
    exchange = kit.exchange(kit.call({"x-portkey-config": json.dumps(config)}, asked))
    async with deps_of(snapshot) as deps:
        exchange.principal = authenticate(exchange.call, snapshot, frozenset())
        exchange.job = resolve(exchange.call, exchange.principal, snapshot, deps.memo, trace=exchange.decision)
        answer = await drive(exchange.job, exchange, snapshot, deps)
        if watch:
            await watch(answer, deps)
        exchange.status = answer.status
        return answer, exchange


def fallback(*targets, **strategy):
    return {"strategy": {"mode": "fallback", **strategy}, "targets": list(targets)}


MAIN, SECOND = {"virtual_key": "main"}, {"virtual_key": "second"}


async def test_one_target_is_one_attempt(fakes):
    answer, exchange = await driven(fakes, MAIN)
    assert answer.status == 200
    (attempt,) = exchange.attempts
    assert (attempt.n, attempt.provider, attempt.path, attempt.status, attempt.error) == (
        0,
        "openai",
        "config",
        200,
        None,
    )
    assert exchange.upstream_s > 0
    assert attempt.dur_ms <= exchange.upstream_s * 1000


async def test_the_answer_says_who_gave_it_and_after_how_many_tries(fakes):
    fakes[0].add(ERROR)
    answer, exchange = await driven(fakes, fallback(MAIN, {**SECOND, "retry": {"attempts": 2}}))
    got = {
        name: answer.headers[f"x-portkey-{name}"]
        for name in ("provider", "retry-attempt-count", "last-used-option-index", "cache-status")
    }
    assert got == {
        "provider": "openai",
        "retry-attempt-count": "0",
        "last-used-option-index": "config.targets[1]",
        "cache-status": "DISABLED",
    }
    assert (exchange.fallback_count, exchange.virtual_key, exchange.error_class) == (1, "second", None)


async def test_retries_are_counted_for_the_target_that_answered(fakes):
    fakes[1].add(ERROR, ERROR)
    fakes[0].add(ERROR)
    answer, exchange = await driven(
        fakes, fallback(MAIN, {**SECOND, "retry": {"attempts": 3, "on_status_codes": [500]}})
    )
    assert (answer.status, exchange.retry_count, exchange.fallback_count) == (200, 2, 1)
    assert [attempt.n for attempt in exchange.attempts] == [0, 1, 2, 3]
    assert [attempt.error for attempt in exchange.attempts] == ["provider_error"] * 3 + [None]


@pytest.mark.parametrize(("codes", "count"), [([500], -1), ([429], 0)])
async def test_minus_one_says_that_retries_were_used_up(fakes, codes, count):
    fakes[0].add(ERROR, ERROR)
    answer, exchange = await driven(fakes, {**MAIN, "retry": {"attempts": 1, "on_status_codes": codes}})
    assert (answer.status, exchange.retry_count, answer.headers["x-portkey-retry-attempt-count"]) == (
        500,
        count,
        str(count),
    )
    assert (exchange.error_class, exchange.error_type) == ("ProviderFault", "provider_error")


async def test_the_last_answer_stands_when_all_fail(fakes):
    fakes[0].add(ERROR)
    fakes[1].add(Reply(418, json={"error": {"message": "teapot"}}))
    answer, exchange = await driven(fakes, fallback(MAIN, SECOND))
    assert (answer.status, orjson.loads(answer.body)["error"]["message"]) == (418, "openai error: teapot")
    assert [attempt.status for attempt in exchange.attempts] == [500, 418]


async def test_a_failure_of_transport_is_an_attempt_like_any_other(fakes):
    fakes[0].add(Reply(body=b"no json"))
    answer, exchange = await driven(fakes, fallback(MAIN, SECOND))
    assert answer.status == 200
    assert [(attempt.status, attempt.error) for attempt in exchange.attempts] == [
        (502, "upstream_invalid"),
        (200, None),
    ]


async def test_a_fault_of_the_request_itself_is_tried_nowhere_else(fakes):
    answer, exchange = await driven(fakes, fallback({"provider": "openai", "custom_host": "http://10.0.0.1"}, SECOND))
    assert (answer.status, orjson.loads(answer.body)["error"]["code"]) == (400, "invalid_request")
    assert (exchange.error_class, len(exchange.attempts), fakes[1].seen) == ("BadRequest", 1, [])
    assert answer.headers["x-portkey-gateway-exception"] == "true"


async def test_a_provider_that_is_not_there_yet_is_left_to_the_caller(fakes):
    with pytest.raises(UnknownProvider):
        await driven(fakes, fallback({"virtual_key": "nobody"}, SECOND))


async def test_a_stream_is_on_the_list_until_its_answer_is_closed(fakes):
    fakes[0].add(Reply(sse=[CHUNK], hang_after=1))

    async def watch(answer, deps):
        assert len(deps.streams) == 1
        answer.on_close()
        answer.on_close()
        assert len(deps.streams) == 0

    answer, _ = await driven(fakes, MAIN, body={**CHAT, "model": "gpt-4o", "stream": True}, watch=watch)
    assert answer.frames is not None


async def test_a_stream_that_fails_before_its_first_chunk_leaves_nothing_behind(fakes):
    fakes[0].add(Reply(sse=[{"model": "wrong-model", "error": {"message": "overloaded"}}]))
    frames = []

    async def watch(answer, deps):
        frames.extend([piece async for piece in answer.frames])
        answer.on_close()

    _, exchange = await driven(
        fakes, fallback(MAIN, SECOND), body={**CHAT, "model": "gpt-4o", "stream": True}, watch=watch
    )
    assert [attempt.status for attempt in exchange.attempts] == [502, 200]
    assert exchange.model_served != "wrong-model"
    assert b"".join(exchange.answer_chunks) in b"".join(frames).replace(b"data: ", b"").replace(b"\n\n", b"")
    assert frames[-1] == b"data: [DONE]\n\n"


async def test_waiting_between_tries_can_be_cancelled(fakes, monkeypatch):
    monkeypatch.setattr("shared.routing.walk.BACKOFF_S", (3600.0,) * 5)
    fakes[0].add(ERROR)
    task = asyncio.create_task(driven(fakes, {**MAIN, "retry": {"attempts": 1}}))
    async with asyncio.timeout(5):
        while not fakes[0].seen:
            await asyncio.sleep(0.002)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(fakes[0].seen) == 1


async def revoked_by(reply, config, second, *, stream=False, read=False):
    """Drive a chat whose caller is revoked while the first provider is asked; return (answer, exchange, frames)."""
    held = []

    def revoke(_seen):
        held[0].deny(frozenset({f"k:{kit.KEY_ID}"}))
        return reply

    async with FakeProvider(revoke) as first:
        snapshot = kit.snapshot(**at(first, second))
        body = {**CHAT, "model": "gpt-4o", "stream": stream}
        exchange = kit.exchange(kit.call({"x-portkey-config": json.dumps(config)}, body))
        async with deps_of(snapshot) as deps:
            held.append(deps.holder)
            exchange.principal = authenticate(exchange.call, snapshot, frozenset())
            exchange.job = resolve(exchange.call, exchange.principal, snapshot, deps.memo, trace=exchange.decision)
            answer = await drive(exchange.job, exchange, snapshot, deps)
            frames = []
            if read:
                async with asyncio.timeout(5):
                    frames = [piece async for piece in answer.frames]
                answer.on_close()
        return answer, exchange, frames


async def test_who_is_revoked_between_two_tries_is_served_no_second(fakes):
    answer, exchange, _ = await revoked_by(ERROR, fallback(MAIN, SECOND), fakes[1])
    assert (answer.status, fakes[1].seen) == (401, [])
    assert [attempt.status for attempt in exchange.attempts] == [500, 401]


async def test_a_stream_whose_caller_was_revoked_before_it_began_is_broken_off(fakes):
    reply = Reply(sse=[CHUNK], hang_after=1)
    _, _, frames = await revoked_by(reply, MAIN, fakes[1], stream=True, read=True)
    assert b"revoked" in frames[-1]
    assert b"[DONE]" not in b"".join(frames)


async def test_a_provider_that_is_not_there_behind_one_that_was_tried_is_an_attempt(fakes):
    fakes[0].add(ERROR)
    answer, exchange = await driven(fakes, fallback(MAIN, {"virtual_key": "nobody"}))
    assert (answer.status, answer.headers["x-portkey-last-used-option-index"]) == (400, "config.targets[1]")
    assert [(attempt.status, attempt.error) for attempt in exchange.attempts] == [
        (500, "provider_error"),
        (400, "invalid_provider"),
    ]


async def test_an_attempt_that_found_no_provider_names_none(fakes):
    fakes[0].add(ERROR)
    answer, exchange = await driven(fakes, fallback(MAIN, {"provider": "nonesuch"}))
    assert [attempt.provider for attempt in exchange.attempts] == ["openai", ""]
    assert (exchange.provider, exchange.virtual_key, exchange.model_served) == (None, None, None)
    assert "x-portkey-provider" not in answer.headers


async def test_an_answer_that_was_passed_over_leaves_nothing_behind(fakes):
    fakes[1].add(ERROR)
    config = fallback(MAIN, SECOND, on_status_codes=[200])
    answer, exchange = await driven(fakes, config)
    assert [attempt.status for attempt in exchange.attempts] == [200, 500]
    assert (exchange.usage.source, exchange.answer_body, exchange.answer_json) == ("none", None, answer.body)


async def test_the_body_of_an_error_is_kept_for_the_record(fakes):
    fakes[0].add(ERROR)
    answer, exchange = await driven(fakes, MAIN)
    assert (exchange.answer_json, exchange.answer_bytes) == (answer.body, len(answer.body))


async def test_a_model_that_a_provider_makes_up_has_an_end(fakes):
    fakes[0].add(Reply(json={"choices": [], "model": "m" * 10_000}))
    _, exchange = await driven(fakes, MAIN)
    assert len(exchange.model_served) == len(exchange.attempts[0].model) == 512


@pytest.mark.parametrize(("jitter", "waited_s"), [(False, 0.01), (True, 0.005)])
async def test_waits_are_spread_when_the_gateway_is_set_to(fakes, monkeypatch, jitter, waited_s):
    monkeypatch.setattr("shared.routing.walk.BACKOFF_S", (0.01,) * 5)
    fakes[0].add(ERROR)
    snapshot = kit.snapshot(**at(*fakes))
    text = json.dumps({**MAIN, "retry": {"attempts": 1}})
    exchange = kit.exchange(kit.call({"x-portkey-config": text}, {**CHAT, "model": "gpt-4o"}))
    async with deps_of(snapshot, jitter=jitter) as deps:
        exchange.principal = authenticate(exchange.call, snapshot, frozenset())
        exchange.job = resolve(exchange.call, exchange.principal, snapshot, deps.memo, trace=exchange.decision)
        await drive(exchange.job, exchange, snapshot, deps)
    assert exchange.waited_s == pytest.approx(waited_s)


async def test_retries_and_fallbacks_of_a_mixed_plan_are_counted_apart(fakes):
    fakes[0].add(ERROR, ERROR, ERROR)
    fakes[1].add(ERROR, ERROR)
    balance = {"strategy": {"mode": "loadbalance"}, "targets": [{**SECOND, "retry": {"attempts": 1}}]}
    config = fallback({**MAIN, "retry": {"attempts": 2}}, balance, MAIN)
    answer, exchange = await driven(fakes, config)
    assert (answer.status, answer.headers["x-portkey-retry-attempt-count"]) == (200, "0")
    assert answer.headers["x-portkey-last-used-option-index"] == "config.targets[2]"
    assert (len(exchange.attempts), exchange.fallback_count) == (6, 2)
