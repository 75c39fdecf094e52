import time

import msgspec
import orjson
import pytest

from data_plane.core.types import NO_USAGE, Usage
from data_plane.pipeline.answer import answer, refuse
from data_plane.pipeline.authenticate import authenticate
from data_plane.pipeline.settle import MAX_BODY_BYTES, now_us, price, settle
from data_plane.sync.snapshot import build_snapshot
from shared.errors import Forbidden
from shared.own_prices import PricedCall
from shared.schema.log_record import PREVIEW_CHARS
from shared.schema.rows import (
    IntegrationPricesRow,
    ModelPriceRow,
    Multipliers,
    OwnPrices,
    PriceChange,
    ProviderPricesRow,
    Rate,
    WorkspaceRow,
)
from tests.data_plane import kit
from tests.data_plane.gateway_kit import CHAT, STREAM, at
from tests.data_plane.pipeline.deps_kit import deps_of
from tests.fakes.provider import FakeProvider, Reply

CANARY = "canary-7f3a"
USAGE = {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13}


def reply(content="hey", usage=USAGE, **more):
    message = {"role": "assistant", "content": content}
    return Reply(
        json={
            "id": "c",
            "object": "chat.completion",
            "model": "gpt-4o",
            "choices": [{"index": 0, "message": message}],
            "usage": usage,
            **more,
        }
    )


async def settled(*replies, headers=None, body=None, sections=None, call=None, cache_status="DISABLED"):
    """Answer one call and settle it; return what was recorded: (record, shipped body, kept body) or None."""
    async with FakeProvider(list(replies)) as fake:
        snapshot = kit.snapshot(**{**at(fake), **(sections or {})})
        async with deps_of(snapshot) as deps:
            exchange = kit.exchange(call or kit.call(headers, body or CHAT))
            result = await answer(exchange, deps)
            exchange.status = result.status
            if result.frames:
                async for _ in result.frames:
                    pass
                result.on_close()
            exchange.cache_status = cache_status
            settle(exchange, snapshot, deps)
            return deps.recorder.items[-1] if deps.recorder.items else None


def policy(name):
    return {"workspaces": [WorkspaceRow(kit.WS, kit.ORG, "ws", "W", payload=name, metadata={"team": "blue"})]}


# price

LIST = ProviderPricesRow(
    "openai", "list-1",
    (
        ModelPriceRow(
            "paid", ["equals", "paid"], input=(Rate(0, 2_000_000_000),), output=(Rate(0, 8_000_000_000),),
            changes=(
                PriceChange("flex", rates={"input": (Rate(0, 1_000_000_000),), "output": (Rate(0, 4_000_000_000),)}),
            ),
        ),
        ModelPriceRow("gift", ["equals", "gift"], free=True),
        ModelPriceRow("half", ["equals", "half"], input=(Rate(0, 1_000_000_000),)),
    ),
)  # fmt: skip
OWN = IntegrationPricesRow(
    "int-1", kit.ORG, "mine", models={"paid": (OwnPrices(1_000_000, {"input": 1_000_000_000, "output": 0}),)},
    multipliers=(Multipliers(2_000_000, {"default": "0.5"}),),
)  # fmt: skip
PRICED = kit.snapshot(prices=[LIST], integration_prices=[OWN])


@pytest.mark.parametrize(("source", "model", "usage", "cost", "status"), [
    ("openai", "paid", Usage(10, 3), 10 * 2000 + 3 * 8000, "priced"),
    ("openai", "paid", Usage(0, 0), 0, "priced"),
    ("openai", "gift", Usage(10, 3), 0, "free"),
    ("openai", "half", Usage(10, 3), None, "unpriced"),
    ("openai", "paid", Usage(images=1), None, "unpriced"),
    ("openai", "unheard-of", Usage(10, 3), None, "unpriced"),
    ("nowhere", "paid", Usage(10, 3), None, "unpriced"),
    ("openai", None, Usage(10, 3), None, "unpriced"),
    ("openai", "paid", NO_USAGE, None, "unpriced"),
    (None, "paid", Usage(10, 3), None, "none"),
])  # fmt: skip
def test_a_cost_that_is_not_known_is_none_and_never_zero(source, model, usage, cost, status):
    got, price_id, told = price(PRICED, PricedCall(source, model), usage)
    assert (got, told) == (cost, status)
    assert (price_id is not None) == (
        model in {"paid", "gift", "half"} and source == "openai" and usage is not NO_USAGE
    )


@pytest.mark.parametrize(("tier", "cost", "status", "price_id"), [
    ("", 44_000, "priced", "openai/paid@list-1"),
    ("flex", 22_000, "priced", "openai/paid+flex@list-1"),
    ("scale", None, "unpriced", "openai/paid+scale@list-1"),
])  # fmt: skip
def test_a_tier_costs_its_own_price_and_one_without_is_unpriced_and_named(tier, cost, status, price_id):
    assert price(PRICED, PricedCall("openai", "paid", tier), Usage(10, 3)) == (cost, price_id, status)


@pytest.mark.parametrize(("at_us", "cost", "status"), [
    (0, 44_000, "priced"), (999_999, 44_000, "priced"), (1_000_000, 10_000, "override"), (2_000_000, 10_000, "override"),
])  # fmt: skip
def test_what_an_integration_pays_holds_from_its_moment_on(at_us, cost, status):
    got, _, told = price(PRICED, PricedCall("openai", "paid", "", at_us, "int-1"), Usage(10, 3))
    assert (got, told) == (cost, status)


def test_a_price_of_an_integration_that_cannot_be_read_is_no_reason_for_the_list_price():
    manifest, blobs = kit.bundle(
        prices=[LIST], integration_prices=[], raw={"integration_prices": {"int-1": b'{"id":"int-1","org":7}'}}
    )
    broken = build_snapshot(manifest, blobs, kit.opener(), None)
    assert price(broken, PricedCall("openai", "paid", integration="int-1"), Usage(10, 3)) == (None, None, "unpriced")
    assert price(broken, PricedCall("openai", "paid", integration="int-2"), Usage(10, 3))[2] == "priced"


FLEX = ProviderPricesRow(
    "openai", "list-1",
    (
        ModelPriceRow(
            "gpt", ["starts_with", "gpt"], input=(Rate(0, 2_000_000_000),), output=(Rate(0, 8_000_000_000),),
            changes=(PriceChange("flex", rates={"input": (Rate(0, 1_000_000_000),)}),),
        ),
    ),
)  # fmt: skip


@pytest.mark.parametrize(("asked", "served", "cost", "name"), [
    ({}, {}, 44_000, "openai/gpt@list-1"),
    ({}, {"service_tier": "default"}, 44_000, "openai/gpt@list-1"),
    ({"service_tier": "auto"}, {}, 44_000, "openai/gpt@list-1"),
    ({"service_tier": "flex"}, {"service_tier": "flex"}, 34_000, "openai/gpt+flex@list-1"),
    ({"service_tier": "priority"}, {"service_tier": "default"}, 44_000, "openai/gpt@list-1"),
    ({}, {"service_tier": "scale"}, None, "openai/gpt+scale@list-1"),
    ({"service_tier": "flex"}, {}, 34_000, "openai/gpt+flex@list-1"),
])  # fmt: skip
async def test_the_tier_that_served_is_charged_and_the_one_that_was_asked_for_only_if_none_is_told(
    asked, served, cost, name
):
    record, _, _ = await settled(reply(**served), body={**CHAT, **asked}, sections={"prices": [FLEX]})
    assert (record.cost_nano, record.price_id) == (cost, name)


async def test_a_record_is_priced_by_what_its_integration_paid_when_the_call_came():
    came_us = kit.call().received_us
    for since_us, cost, status in ((came_us, 10_000, "override"), (came_us + 1, 44_000, "priced")):
        own = IntegrationPricesRow(
            "int-1", kit.ORG, "mine", {"gpt-4o": (OwnPrices(since_us, {"input": 1_000_000_000, "output": 0}),)}
        )
        record, _, _ = await settled(reply(model="gpt-4o-2024"), sections={"integration_prices": [own]})
        assert (record.cost_nano, record.price_status) == (cost, status)


async def test_a_count_beyond_belief_is_estimated_and_told_as_such():
    record, _, _ = await settled(reply(usage={"prompt_tokens": 10**15, "completion_tokens": 3}))
    assert (record.usage_source, record.price_status) == ("estimated", "priced")
    assert record.tok_in < 1000


@pytest.mark.parametrize("hit", ["HIT", "SEMANTIC HIT"])
@pytest.mark.parametrize(("price", "saved"), [({}, 44_000), ({"prices": []}, 0)])
async def test_an_answer_from_the_cache_costs_nothing_and_books_what_the_provider_would_have_cost(hit, price, saved):
    record, _, _ = await settled(reply(), cache_status=hit, sections=price)
    assert (record.cost_nano, record.price_status, record.saved_nano) == (0, "cached", saved)
    # The ledger's tokens are those that a provider bills.
    assert (record.tok_in, record.tok_out, record.cache_status) == (0, 0, hit)


@pytest.mark.parametrize("status", ["MISS", "SEMANTIC MISS", "REFRESH", "DISABLED"])
async def test_an_answer_that_a_provider_gave_costs_what_it_costs_and_saves_nothing(status):
    record, _, _ = await settled(reply(), cache_status=status)
    assert (record.cost_nano, record.price_status, record.saved_nano) == (44_000, "priced", 0)
    assert (record.tok_in, record.cache_status) == (10, status)


async def test_a_refusal_saves_nothing_whatever_the_cache_says():
    record, _, _ = await settled(Reply(json={"error": {"message": "no"}}, status=400), cache_status="HIT")
    assert (record.status, record.cost_nano, record.saved_nano, record.price_status) == (400, None, 0, "none")


# the record of an answer


async def test_a_record_tells_who_called_what_and_what_it_cost():
    headers = {
        "x-portkey-trace-id": "trace-1",
        "x-portkey-metadata": '{"_user":"ada","env":"test"}',
        "x-portkey-package-version": "portkey-1",
    }
    record, shipped, _ = await settled(reply(), headers=headers)
    assert (record.org, record.ws, record.api_key, record.user_ref) == (kit.ORG, kit.WS, str(kit.KEY_ID), "ada")
    assert (record.endpoint, record.url, record.method, record.status) == ("chat", "/v1/chat/completions", "POST", 200)
    assert (record.provider, record.virtual_key, record.integration) == ("openai", "main", "int-1")
    assert (record.model_requested, record.model_served, record.stream) == ("@main/gpt-4o", "gpt-4o", False)
    assert (record.tok_in, record.tok_out, record.usage_source) == (10, 3, "provider")
    assert (record.price_status, record.cost_nano) == ("priced", 10 * 2000 + 3 * 8000)
    assert (record.bundle, record.gateway, record.trace_id, record.sdk) == ("1.1", "gw-test", "trace-1", "portkey-1")
    assert (record.in_preview, record.out_preview, record.body_state) == ("hello there", "hey", "stored")
    assert record.metadata == {"_user": "ada", "env": "test"}
    assert (shipped["id"], orjson.loads(shipped["request"])) == (record.id, CHAT)
    assert orjson.loads(shipped["response"])["choices"][0]["message"]["content"] == "hey"


async def test_a_record_of_a_stream_has_the_whole_text_put_together():
    record, shipped, _ = await settled(body={**STREAM, "stream_options": {"include_usage": True}})
    assert record.stream
    assert "hello there" in record.out_preview
    assert orjson.loads(shipped["response"])["object"] == "chat.completion"
    assert record.ttft_ms <= record.lat_ms
    assert record.tok_out > 0


async def test_tokens_that_nobody_counted_are_told_as_such():
    record, _, _ = await settled(reply(usage=None))
    assert (record.usage_source, record.price_status) == ("estimated", "priced")
    assert record.tok_in > 0
    assert record.tok_out > 0


async def test_a_failed_answer_costs_nothing_and_has_its_error():
    record, _, _ = await settled(Reply(500, json={"error": {"message": "no"}}))
    assert (record.status, record.error_type, record.cost_nano, record.price_status) == (
        500,
        "provider_error",
        None,
        "none",
    )
    assert len(record.attempts) == 1


# previews


@pytest.mark.parametrize("text", ["x" * 5000, "é" * 5000])
async def test_a_preview_is_cut(text):
    record, _, _ = await settled(reply(text), body={**CHAT, "messages": [{"role": "user", "content": text}]})
    assert (record.in_preview, record.out_preview) == (text[:PREVIEW_CHARS], text[:PREVIEW_CHARS])


@pytest.mark.parametrize("before", [0, 100, 185, 195, 199, 595, 599])
async def test_a_preview_never_holds_a_key_or_a_part_of_one(before):
    text = "." * before + " " + kit.KEY_TEXT + " sk-proj-0123456789abcdefghij and Bearer abcdefghijkl"
    record, _, _ = await settled(reply(text), body={**CHAT, "messages": [{"role": "user", "content": text}]})
    for preview in (record.in_preview, record.out_preview):
        assert len(preview) <= PREVIEW_CHARS
        assert kit.KEY_TEXT[:12] not in preview
        assert "0123456789" not in preview
        assert "abcdefghijkl" not in preview


@pytest.mark.parametrize(("content", "preview"), [
    ([{"type": "text", "text": "one"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}, {"type": "text", "text": "two"}], "one\ntwo"),
    (None, None), ("", None), (7, None), ([7, "x", {"text": 7}], None),
])  # fmt: skip
async def test_a_preview_is_text_only(content, preview):
    record, _, _ = await settled(reply(), body={**CHAT, "messages": [{"role": "user", "content": content}]})
    assert record.in_preview == preview


# bodies


def everything(item):
    """Return all that was recorded, as bytes."""
    record, shipped, kept = item
    return msgspec.msgpack.encode(record) + msgspec.msgpack.encode([shipped, kept])


LEAKY = {
    "headers": {"x-portkey-metadata": f'{{"env":"{CANARY}-metadata"}}'},
    "body": {**CHAT, "messages": [{"role": "system", "content": f"{CANARY}-system"}, {"role": "user", "content": f"{CANARY}-user"}], "stop": f"{CANARY}-stop",
             "tools": [{"type": "function", "function": {"name": f"{CANARY}-tool"}}]},
}  # fmt: skip


@pytest.mark.parametrize("streamed", [False, True])
async def test_the_policy_metrics_keeps_no_text_at_all(streamed):
    fault = Reply(
        sse=[
            {
                "id": "c",
                "object": "chat.completion.chunk",
                "model": "gpt-4o",
                "choices": [{"index": 0, "delta": {"content": f"{CANARY}-answer"}, "finish_reason": "stop"}],
            },
            "[DONE]",
        ]
    )
    item = await settled(
        fault if streamed else reply(f"{CANARY}-answer"),
        headers=LEAKY["headers"],
        body={**LEAKY["body"], "stream": streamed},
        sections=policy("metrics"),
    )
    stored = everything(item).replace(f"{CANARY}-metadata".encode(), b"")
    assert CANARY.encode() not in stored
    record, shipped, kept = item
    assert (record.in_preview, record.out_preview, record.body_state, shipped, kept) == (None, None, "none", None, None)
    assert record.metadata["env"] == f"{CANARY}-metadata"
    assert record.body_bytes > 0


async def test_the_policy_metrics_keeps_no_text_of_an_error_either():
    item = await settled(
        Reply(400, json={"error": {"message": f"bad prompt: {CANARY}"}}), body=LEAKY["body"], sections=policy("metrics")
    )
    assert CANARY.encode() not in everything(item)
    assert item[0].status == 400


async def test_debug_false_keeps_no_text_whatever_the_policy():
    item = await settled(
        reply(f"{CANARY}-answer"), headers={"x-portkey-debug": "false"}, body=LEAKY["body"], sections=policy("full")
    )
    assert CANARY.encode() not in everything(item)


@pytest.mark.parametrize(
    ("name", "state", "ships", "keeps"), [("full", "stored", True, False), ("gateway", "gateway", False, True)]
)
async def test_bodies_go_where_the_policy_says_and_nowhere_else(name, state, ships, keeps):
    record, shipped, kept = await settled(reply(), sections=policy(name))
    assert (record.body_state, shipped is not None, kept is not None) == (state, ships, keeps)


async def test_bodies_over_the_bound_are_dropped_and_counted():
    body = {**CHAT, "messages": [{"role": "user", "content": "x" * (MAX_BODY_BYTES + 1)}]}
    record, shipped, kept = await settled(reply(), body=body)
    assert (record.body_state, shipped, kept) == ("dropped", None, None)
    assert record.body_bytes > MAX_BODY_BYTES
    assert record.in_preview is None


# refusals


async def test_a_refused_request_is_recorded_when_its_caller_is_known():
    record, shipped, kept = await settled(call=kit.call(raw=b'{"model": "' + CANARY.encode()))
    assert (record.status, record.error_class, record.error_type, record.attempts) == (
        400,
        "InvalidJson",
        "invalid_json",
        (),
    )
    assert (record.provider, record.model_requested, record.price_status) == (None, None, "none")
    assert CANARY.encode() not in everything((record, shipped, kept))


async def test_a_request_of_nobody_is_not_recorded():
    assert await settled(call=kit.call(key=None)) is None
    assert await settled(call=kit.call(key="gh-nonsense")) is None


async def test_a_caller_that_was_refused_by_scope_is_recorded():
    exchange = kit.exchange()
    snapshot = kit.snapshot()
    async with deps_of(snapshot) as deps:
        exchange.principal = authenticate(exchange.call, snapshot, frozenset())
        exchange.status = refuse(exchange, Forbidden("No.")).status
        settle(exchange, snapshot, deps)
        assert (deps.recorder.last.status, deps.recorder.last.error_type) == (403, "forbidden")


# nothing stops it


class Broken:
    """A recorder that cannot."""

    def record(self, *_args):
        raise RuntimeError("broken")


@pytest.mark.parametrize("spoil", [
    {"answer_body": {"choices": [{"message": object()}]}}, {"usage": None}, {"attempts": None}, {"trace": None}, {"call": None},
])  # fmt: skip
async def test_settling_raises_nothing(spoil):
    exchange = kit.exchange()
    snapshot = kit.snapshot()
    async with deps_of(snapshot) as deps:
        exchange.principal = authenticate(exchange.call, snapshot, frozenset())
        for name, value in spoil.items():
            setattr(exchange, name, value)
        settle(exchange, snapshot, deps)
    async with deps_of(snapshot, recorder=Broken()) as deps:
        settle(exchange, snapshot, deps)
    settle(exchange, None, deps)


def test_the_time_of_a_record_is_in_microseconds():
    assert abs(now_us() / 1e6 - time.time()) < 5


async def test_the_body_of_an_error_is_stored_like_any_other():
    record, shipped, _ = await settled(Reply(400, json={"error": {"message": "bad sk-sentinel-provider-0001"}}))
    assert orjson.loads(shipped["response"])["error"]["message"] == "openai error: bad [redacted]"
    assert record.body_state == "stored"


async def test_what_an_sdk_says_of_itself_is_cut():
    headers = {"x-portkey-package-version": "p" * 5000, "x-portkey-runtime": "r" * 5000}
    record, _, _ = await settled(reply(), headers=headers)
    assert (record.sdk, record.runtime) == ("p" * 128, "r" * 128)
