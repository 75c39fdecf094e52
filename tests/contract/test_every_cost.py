"""What a call costs does not depend on whether its answer was streamed, at any provider and in any caller's words."""

import copy

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_plane.core.types import CallFacts, Usage
from data_plane.pipeline.settle import price
from data_plane.providers._by_chat import BY_CHAT
from data_plane.providers.base import ClosingDecoder
from data_plane.providers.registry import load_providers
from shared.own_prices import PricedCall
from shared.pricing import PARTS
from shared.schema.rows import ModelPriceRow, PriceChange, ProviderPricesRow, Rate, UnitRate
from tests.contract.test_every_provider import ACCOUNT, ANSWERS, BODY, STREAMS
from tests.data_plane import kit

CHATTING = {name: provider for name, provider in load_providers().items() if "chat" in provider.operations}
#: Every class of tokens at a price of its own, at two tiers, so that whatever is lost on one way shows in the cost.
RATES = {name: (Rate(0, 1_000_000 * (number + 1) ** 3),) for number, name in enumerate(PARTS)}
ROW = ModelPriceRow(
    "m", ["equals", "m"], **RATES, units={"web_searches": UnitRate(10_000_000), "file_searches": UnitRate(2_500_000)},
    changes=(PriceChange("flex", rates={"input": (Rate(0, 7),)}), PriceChange("priority", rates={"output": (Rate(0, 77_000_000),)})),
)  # fmt: skip
SNAPSHOT = kit.snapshot(prices=[ProviderPricesRow("list", "v1", (ROW,))])
numbers = st.integers(0, 100_000)
fuzz = settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def counted(draw):
    """What a provider counts: cached and written tokens beside the fresh ones, thoughts among the answer's."""
    given_out = draw(st.integers(1, 100_000))
    return {
        "fresh": draw(st.integers(1, 100_000)), "read": draw(numbers), "written": draw(numbers), "longer": draw(numbers),
        "heard": draw(st.integers(0, 50)), "seen": draw(st.integers(0, 50)), "out": given_out,
        "thought": draw(st.integers(0, given_out)), "searches": draw(st.integers(0, 5)),
        "tier": draw(st.sampled_from([None, "default", "flex", "priority", "scale"])),
    }  # fmt: skip


def openai_words(said):
    total = said["fresh"] + said["read"] + said["heard"] + said["seen"]
    return {
        "prompt_tokens": total, "completion_tokens": said["out"], "total_tokens": total + said["out"],
        "prompt_tokens_details": {"cached_tokens": said["read"], "audio_tokens": said["heard"], "image_tokens": said["seen"]},
        "completion_tokens_details": {"reasoning_tokens": said["thought"]},
    }  # fmt: skip


def anthropic_words(said):
    tier = {"service_tier": said["tier"].replace("default", "standard")} if said["tier"] else {}
    return {
        "input_tokens": said["fresh"], "output_tokens": said["out"], "cache_read_input_tokens": said["read"],
        "cache_creation_input_tokens": said["written"] + said["longer"],
        "cache_creation": {"ephemeral_5m_input_tokens": said["written"], "ephemeral_1h_input_tokens": said["longer"]},
        "output_tokens_details": {"thinking_tokens": said["thought"]},
        "server_tool_use": {"web_search_requests": said["searches"]}, **tier,
    }  # fmt: skip


def google_words(said):
    heard = [{"modality": "AUDIO", "tokenCount": said["heard"]}, {"modality": "IMAGE", "tokenCount": said["seen"]}]
    return {
        "promptTokenCount": said["fresh"] + said["read"] + said["heard"] + said["seen"],
        "candidatesTokenCount": said["out"], "thoughtsTokenCount": said["thought"],
        "cachedContentTokenCount": said["read"], "promptTokensDetails": heard,
    }  # fmt: skip


def oracle_words(said):
    total = said["fresh"] + said["read"]
    return {
        "promptTokens": total, "completionTokens": said["out"], "totalTokens": total + said["out"],
        "promptTokensDetails": {"cachedTokens": said["read"]},
        "completionTokensDetails": {"reasoningTokens": said["thought"]},
    }  # fmt: skip


WORDS = {
    "openai": openai_words, "anthropic": anthropic_words, "google": google_words, "vertex-ai": google_words,
    "palm": google_words, "predibase": openai_words, "sagemaker": openai_words, "oracle": oracle_words,
    "bedrock": lambda said: {
        "inputTokens": said["fresh"], "outputTokens": said["out"], "totalTokens": said["fresh"] + said["out"],
        "cacheReadInputTokens": said["read"], "cacheWriteInputTokens": said["written"],
    },
    "cohere": lambda said: {
        "billed_units": {"input_tokens": said["fresh"], "output_tokens": said["out"]}, "cached_tokens": said["read"],
    },
    "replicate": lambda said: {"input_token_count": said["fresh"], "output_token_count": said["out"]},
}  # fmt: skip
_COUNTS = {"usage": 1, "usageMetadata": 1, "metrics": 1}


def retold(told, words, shape):
    """Return an exchange with other counts, wherever it has some."""
    if isinstance(told, (list, tuple)):
        return type(told)(retold(each, words, shape) for each in told)
    if not isinstance(told, dict):
        return told
    member = {"bedrock": "usage", "replicate": "metrics"}.get(shape)
    return {
        name: words if name in _COUNTS and member in {None, name} else retold(value, words, shape)
        for name, value in told.items()
    }


def exchange(shape, said):
    """Return a whole answer and a stream that count the same."""
    words = WORDS[shape](said)
    answer, stream = (retold(copy.deepcopy(told[shape]), words, shape) for told in (ANSWERS, STREAMS))
    if shape == "openai" and said["tier"]:
        answer["service_tier"] = said["tier"]
        stream = [{**chunk, "service_tier": said["tier"]} for chunk in stream]
    return answer, stream


def shape_of(provider):
    return "openai" if provider.operations["chat"].passes_through else provider.id


def facts(*, stream):
    return CallFacts("m", stream, strict=False, headers={}, settings=ACCOUNT, include_usage=False, asked=BODY)


def of_answer(operation, answer):
    return operation.usage(operation.decode(answer, facts(stream=False)))


def of_stream(operation, stream):
    decoder = operation.decoder(facts(stream=True))
    for event in stream:
        name, data = event if isinstance(event, tuple) else ("", event)
        decoder.feed(name, orjson.dumps(data))
    if isinstance(decoder, ClosingDecoder):
        decoder.close()
    return decoder.usage


def cost(usage):
    tier = "" if usage.tier == "default" else usage.tier
    return price(SNAPSHOT, PricedCall("list", "m", tier), usage)


@pytest.mark.parametrize("spoken", ["chat", "messages", "responses", "complete"])
@pytest.mark.parametrize("provider", CHATTING.values(), ids=CHATTING.keys())
@fuzz
@given(said=counted())
def test_a_stream_costs_what_the_whole_answer_costs(provider, spoken, said):
    chat = provider.operations["chat"]
    operation = chat if spoken == "chat" else BY_CHAT[spoken](chat)
    answer, stream = exchange(shape_of(provider), said)
    whole, streamed = of_answer(operation, answer), of_stream(operation, stream)
    assert whole == streamed
    assert cost(whole) == cost(streamed)
    assert isinstance(whole, Usage)
    assert whole.input >= said["fresh"]
    assert (cost(whole)[0] or 1) > 0


@pytest.mark.parametrize("provider", ["anthropic"])
@fuzz
@given(said=counted())
def test_messages_in_anthropics_own_words_cost_what_the_chat_costs(provider, said):
    operations = CHATTING[provider].operations
    answer, stream = exchange("anthropic", said)
    native = operations["messages"]
    whole = of_answer(native, copy.deepcopy(answer))
    assert whole == of_stream(native, stream) == of_answer(operations["chat"], answer)
    assert (whole.cache_write_1h, whole.web_searches) == (said["longer"], said["searches"])


@fuzz
@given(said=counted())
def test_a_response_in_openais_own_words_costs_what_its_stream_costs(said):
    native = CHATTING["openai"].operations["responses"]
    words = openai_words(said)
    usage = {
        "input_tokens": words["prompt_tokens"], "output_tokens": words["completion_tokens"],
        "input_tokens_details": words["prompt_tokens_details"],
        "output_tokens_details": words["completion_tokens_details"],
    }  # fmt: skip
    searches = [{"type": "web_search_call", "action": {"type": "search"}}] * said["searches"]
    opened = [{"type": "web_search_call", "action": {"type": "open_page"}}, {"type": "file_search_call"}]
    response = {"id": "r", "model": "m", "output": [*searches, *opened], "usage": usage, "service_tier": said["tier"]}
    whole = of_answer(native, copy.deepcopy(response))
    assert whole == of_stream(native, [{"type": "response.completed", "response": response}])
    assert (whole.web_searches, whole.file_searches) == (said["searches"], 1)
