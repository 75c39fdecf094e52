import asyncio

import orjson
import pytest

from data_plane.pipeline.attempt import MAX_FAULT_CHARS, _Left, error_answer, make_attempt, retry_after_s
from data_plane.pipeline.authenticate import authenticate
from data_plane.pipeline.resolve import resolve
from shared.errors import BadRequest, UpstreamBroken, UpstreamInvalid, UpstreamTimeout
from shared.routing.plan import Target
from shared.routing.walk import Attempt
from tests.data_plane import kit
from tests.data_plane.gateway_kit import CHAT, STREAM, at
from tests.data_plane.pipeline.deps_kit import deps_of
from tests.fakes.provider import KEYS, FakeProvider, Reply

GOOD = {"id": "c", "object": "chat.completion", "model": "gpt-4o-0807", "choices": [{"index": 0, "message": {"role": "assistant", "content": "hey"}}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}}  # fmt: skip


async def attempt(*replies, headers=None, body=None, target=None):
    """Make one attempt against a fake; return (outcome, exchange, what the fake saw)."""
    async with FakeProvider(list(replies)) as fake:
        snapshot = kit.snapshot(**at(fake))
        exchange = kit.exchange(kit.call(headers, body or CHAT))
        async with deps_of(snapshot) as deps:
            exchange.principal = authenticate(exchange.call, snapshot, frozenset())
            job = exchange.job = resolve(
                exchange.call, exchange.principal, snapshot, deps.memo, trace=exchange.decision
            )
            step = Attempt(target or Target("config"), 0, 0.0)
            outcome = await make_attempt(step, job, exchange, snapshot, deps)
        return outcome, exchange, fake.seen


def answered(outcome):
    return orjson.loads(outcome.answer.body)


# what is sent


async def test_the_provider_gets_its_key_the_body_and_nothing_of_the_caller():
    sent = {
        "x-portkey-metadata": "{}",
        "x-portkey-trace-id": "t",
        "cookie": "a=b",
        "user-agent": "sdk",
        "x-forwarded-for": "10.1.1.1",
        "accept-encoding": "br",
    }
    _, _, (seen,) = await attempt(headers=sent)
    assert set(seen.headers) == {"host", "content-type", "content-length", "authorization", "traceparent"}
    assert seen.headers["authorization"] == f"Bearer {KEYS['openai']}"
    assert seen.json == {**CHAT, "model": "gpt-4o"}


async def test_headers_that_the_provider_knows_pass_with_and_without_our_prefix():
    _, _, (seen,) = await attempt(
        headers={"openai-beta": "a", "x-portkey-openai-organization": "org-x", "openai-organization": "org-y"}
    )
    assert (seen.headers["openai-beta"], seen.headers["openai-organization"]) == ("a", "org-x")


@pytest.mark.parametrize("where", ["header", "target"])
async def test_headers_are_forwarded_by_name_except_those_that_are_the_gateways(where):
    names = ["x-mine", "x-absent", "host", "content-length", "connection", "transfer-encoding", "content-type", "accept-encoding",
             "metadata-flavor", "x-aws-ec2-metadata-token", "x-portkey-config", "x-portkey-api-key", "authorization"]  # fmt: skip
    sent = {"x-mine": "1", "authorization": "Bearer of-the-caller", "connection": "upgrade", "metadata-flavor": "Google", "accept-encoding": "br",
            "x-aws-ec2-metadata-token": "t", "x-other": "2"}  # fmt: skip
    if where == "header":
        sent["x-portkey-forward-headers"] = ",".join(names)
    target = Target("config", forward_headers=tuple(names) if where == "target" else ("x-other",))
    _, _, (seen,) = await attempt(headers=sent, target=target)
    assert seen.headers["x-mine"] == "1"
    assert set(seen.headers) == {"host", "content-type", "content-length", "authorization", "traceparent", "x-mine"}
    assert "of-the-caller" not in seen.headers["authorization"]


@pytest.mark.parametrize("name", ["authorization", "x-api-key"])
async def test_the_key_to_this_gateway_is_never_forwarded(name):
    value = f"Bearer {kit.KEY_TEXT}" if name == "authorization" else kit.KEY_TEXT
    async with FakeProvider(lambda _seen: Reply(json=GOOD)) as fake:
        snapshot = kit.snapshot(virtual_keys=[kit.virtual_key("main", custom_host=fake.base_url, secret=None)])
        call = kit.call({name: value, "x-portkey-forward-headers": "authorization,x-api-key"}, CHAT, key=None)
        exchange = kit.exchange(call)
        async with deps_of(snapshot) as deps:
            exchange.principal = authenticate(call, snapshot, frozenset())
            job = resolve(call, exchange.principal, snapshot, deps.memo, trace=exchange.decision)
            await make_attempt(Attempt(Target("config"), 0, 0.0), job, exchange, snapshot, deps)
        assert kit.KEY_TEXT not in str(fake.seen[0].headers)


async def test_the_timeout_of_the_header_wins_over_the_targets():
    with pytest.raises(UpstreamTimeout, match="40ms"):
        await attempt(
            Reply(hang=True),
            headers={"x-portkey-request-timeout": "40"},
            target=Target("config", timeout_ms=86_400_000),
        )
    with pytest.raises(UpstreamTimeout, match="50ms"):
        await attempt(Reply(hang=True), target=Target("config", timeout_ms=50))


# a whole answer


async def test_a_whole_answer_is_decoded_counted_and_kept():
    outcome, exchange, _ = await attempt(Reply(json=GOOD))
    assert (outcome.answer.status, outcome.result.status, outcome.error) == (200, 200, None)
    assert answered(outcome)["choices"] == GOOD["choices"]
    assert (exchange.usage.input, exchange.usage.output, exchange.model_served) == (5, 2, "gpt-4o-0807")
    assert (exchange.provider, exchange.virtual_key, exchange.integration, exchange.target_path) == (
        "openai",
        "main",
        "int-1",
        "config",
    )
    assert exchange.answer_bytes == len(outcome.answer.body)


async def test_useful_headers_of_the_provider_are_passed_on_and_its_connection_is_not():
    upstream = {"X-RateLimit-Remaining": "9", "x-request-id": "req-1", "set-cookie": "a=b", "server": "nginx", "x-portkey-trace-id": "evil",
                "alt-svc": "h3", "content-encoding": "identity"}  # fmt: skip
    outcome, _, _ = await attempt(Reply(json=GOOD, headers=upstream))
    assert outcome.answer.headers == {"x-ratelimit-remaining": "9", "x-request-id": "req-1"}


@pytest.mark.parametrize("body", [b"", b"[]", b"nope", b"\xff\xfe", b'{"a":', b"7", b"[" * 100_000])
async def test_what_is_no_json_object_is_no_answer(body):
    with pytest.raises(UpstreamInvalid, match="openai"):
        await attempt(Reply(body=body))


async def test_an_answer_that_breaks_off_is_no_answer():
    with pytest.raises(UpstreamBroken):
        await attempt(Reply(body=orjson.dumps(GOOD), break_after=0))


# a provider's error


@pytest.mark.parametrize("status", [301, 400, 401, 429, 500, 529])
async def test_a_providers_error_keeps_its_status_and_names_the_provider(status):
    outcome, exchange, _ = await attempt(
        Reply(status, json={"error": {"message": "because", "type": "t", "param": "p", "code": "c"}})
    )
    assert (outcome.answer.status, outcome.result.status, outcome.result.final) == (status, status, False)
    assert answered(outcome) == {
        "error": {"message": "openai error: because", "type": "t", "param": "p", "code": "c"},
        "provider": "openai",
    }
    assert exchange.answer_body is None


@pytest.mark.parametrize("body", [b"<html>bad gateway</html>", b"", b"[]", b'{"error":', b"\xff"])
async def test_an_error_that_says_nothing_is_still_told(body):
    outcome, _, _ = await attempt(Reply(502, body=body))
    assert answered(outcome)["error"]["message"].startswith("openai error: status 502")


async def test_an_error_in_an_array_of_its_own_is_found():
    outcome, _, _ = await attempt(Reply(400, json=[{"error": {"message": "because", "status": "INVALID_ARGUMENT"}}]))
    assert answered(outcome)["error"]["message"] == "openai error: because"


async def test_an_error_shows_no_key_and_has_an_end():
    outcome, _, _ = await attempt(
        Reply(401, json={"error": {"message": "Incorrect API key: sk-sentinel-provider-0001 " + "x" * 10_000}})
    )
    message = answered(outcome)["error"]["message"]
    assert "sentinel" not in message
    assert len(message) <= MAX_FAULT_CHARS + 20


async def test_an_error_larger_than_its_bound_is_not_read_into_memory():
    with pytest.raises(UpstreamInvalid):
        await attempt(Reply(500, body=b"x" * 2_000_000))


@pytest.mark.parametrize(("headers", "wait_s"), [
    ({"retry-after": "7"}, 7.0), ({"retry-after-ms": "1500", "retry-after": "7"}, 1.5), ({"x-ms-retry-after-ms": "250"}, 0.25), ({}, None),
    ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, None), ({"retry-after": "-3"}, None), ({"retry-after": "nan"}, None), ({"retry-after": "inf"}, None),
    ({"retry-after-ms": "x", "retry-after": " 2 "}, 2.0), ({"retry-after": ""}, None), ({"retry-after": "0"}, 0.0),
])  # fmt: skip
def test_how_long_a_provider_asks_to_wait(headers, wait_s):
    assert retry_after_s(headers) == wait_s


async def test_the_wait_is_told_to_the_plan():
    outcome, _, _ = await attempt(Reply(429, json={}, headers={"retry-after": "3"}))
    assert outcome.result.retry_after_s == 3.0


# a stream


async def test_a_stream_opens_with_its_first_chunk():
    outcome, exchange, (seen,) = await attempt(body=STREAM)
    assert outcome.relay is not None
    assert (outcome.answer.content_type, outcome.answer.frames is not None) == ("text/event-stream", True)
    assert exchange.first_byte_s is not None
    assert seen.json["stream"] is True
    outcome.discard()


@pytest.mark.parametrize("reply", [Reply(json=GOOD), Reply(body=b"x", headers={"content-type": "text/html"})])
async def test_what_is_no_event_stream_is_refused_when_one_was_asked_for(reply):
    with pytest.raises(UpstreamInvalid, match="not an event stream"):
        await attempt(reply, body=STREAM)


async def test_an_error_instead_of_a_stream_is_an_ordinary_error():
    outcome, _, _ = await attempt(Reply(500, json={"error": {"message": "no"}}), body=STREAM)
    assert (outcome.result.status, outcome.relay, outcome.answer.frames) == (500, None, None)


# what is never sent


async def test_a_refusal_before_the_call_sends_nothing():
    async with FakeProvider() as fake:
        snapshot = kit.snapshot(**at(fake))
        exchange = kit.exchange(kit.call(body=CHAT))
        async with deps_of(snapshot) as deps:
            exchange.principal = authenticate(exchange.call, snapshot, frozenset())
            job = resolve(exchange.call, exchange.principal, snapshot, deps.memo, trace=exchange.decision)
            with pytest.raises(BadRequest):
                await make_attempt(
                    Attempt(Target("config.targets[0]", provider="nonesuch"), 0, 0.0), job, exchange, snapshot, deps
                )
        assert fake.seen == []
        assert exchange.provider is None


def test_the_gateways_own_refusal_says_that_it_is_the_gateways():
    answer = error_answer(BadRequest("Bad.", path="model"))
    assert (answer.status, answer.headers) == (400, {"x-portkey-gateway-exception": "true"})
    assert orjson.loads(answer.body)["error"] == {
        "message": "Bad.",
        "type": "invalid_request",
        "param": "model",
        "code": "invalid_request",
    }


class Silent:
    """A stream whose first chunk never comes."""

    async def open(self):
        await asyncio.Event().wait()


async def test_the_limit_of_a_stream_runs_from_the_start_of_its_attempt():
    with pytest.raises(UpstreamTimeout, match="3600000ms"):
        await asyncio.wait_for(_Left(3_600_000, 0.0, lambda: 3600.0).open(Silent()), 5)
