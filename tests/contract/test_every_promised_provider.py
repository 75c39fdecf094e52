"""Every provider that callers may name is there, or is left out on purpose."""

import orjson
import pytest

from data_plane.core.types import CallFacts
from data_plane.pipeline.target import operation_of
from data_plane.providers._bulk import BATCHED
from data_plane.providers._hosted import Hosted
from data_plane.providers.registry import load_providers

#: The names that configs, headers and SDKs of the API that this gateway speaks may use.
PROMISED = (
    "anthropic", "anyscale", "azure-openai", "cohere", "google", "vertex-ai", "mistral-ai", "openai", "palm",
    "perplexity-ai", "reka-ai", "together-ai", "deepinfra", "ncompass", "stability-ai", "nomic", "ollama", "ai21",
    "bedrock", "groq", "segmind", "jina", "fireworks-ai", "workers-ai", "moonshot", "openrouter", "lingyi", "zhipu",
    "novita-ai", "monsterapi", "deepseek", "predibase", "triton", "voyage", "azure-ai", "github", "deepbricks",
    "siliconflow", "huggingface", "cerebras", "inference-net", "sambanova", "lemonfox-ai", "upstage", "lambda",
    "dashscope", "x-ai", "cortex", "sagemaker", "nebius", "recraft-ai", "milvus", "replicate", "portkey", "lepton",
    "kluster-ai", "nscale", "hyperbolic", "bytez", "featherless-ai", "krutrim", "qdrant", "302ai", "cometapi",
    "matterai", "meshy", "tripo3d", "nextbit", "modal", "z-ai", "oracle", "iointelligence", "aibadgr", "ovhcloud",
)  # fmt: skip
#: Names that nobody answers to, each with the reason.
LEFT_OUT = {
    "portkey": "means the gateway that a client of it calls; nothing lies behind it, and a gateway is no provider",
}
#: Whose files, batches and fine-tuning jobs are translated, with what they have; everybody else's are forwarded.
TRANSLATED_JOBS = {
    "bedrock": {"files", "batches", "tunings"}, "vertex-ai": {"files", "batches", "tunings"},
    "cohere": {"files", "batches"}, "fireworks-ai": {"files", "tunings"},
}  # fmt: skip
#: What every provider with a chat answers, by an endpoint of its own or by that chat.
BY_EVERY_CHAT = ("messages", "count_tokens", "responses", "complete")


def test_every_promised_name_is_a_provider_or_is_left_out_with_a_reason():
    missing = {name for name in PROMISED if name not in load_providers()}
    assert missing == set(LEFT_OUT)
    assert all(LEFT_OUT.values())


def test_a_name_is_promised_once():
    assert sorted(PROMISED) == sorted(set(PROMISED))


#: What callers may count on besides chats, where a cloud has it under another address, or in other words, than OpenAI.
TRANSLATED = {
    "azure-openai": {
        "responses", "complete", "embed", "image", "edit_image", "speech", "transcribe", "translate", "realtime",
    },
    "azure-ai": {
        "messages", "count_tokens", "complete", "embed", "image", "edit_image", "speech", "transcribe", "translate",
        "realtime", "rerank",
    },
    "vertex-ai": {"messages", "count_tokens", "embed", "image", "rerank"},
    "bedrock": {"messages", "count_tokens", "embed", "image", "rerank"},
}  # fmt: skip
#: Clouds whose batches are not OpenAI's: what these may ask for, each of a model.
BATCHES = {
    "bedrock": {"chat": "amazon.nova-pro-v1:0", "embed": "amazon.titan-embed-text-v2:0"},
    "vertex-ai": {"chat": "gemini-2.5-flash", "embed": "text-embedding-005"},
}
BODY = {"messages": [{"role": "user", "content": "a duck"}], "input": "a duck"}


def test_every_promised_operation_of_a_cloud_is_there():
    providers = load_providers()
    for name, promised in TRANSLATED.items():
        assert promised <= {*providers[name].operations, *providers[name].chosen}, name


@pytest.mark.parametrize("name", BATCHES)
def test_every_promised_batch_of_a_cloud_has_lines_of_its_own(name):
    bulk = load_providers()[name].bulk
    assert set(BATCHES[name]) == set(BATCHED.values())
    for operation, model in BATCHES[name].items():
        facts = CallFacts(model, False, True, {}, {})
        asked = {member: BODY[member] for member in ("messages" if operation == "chat" else "input",)}
        line = bulk.batches("https://x.example", facts).encode("a", operation, {**asked, "model": model}, facts)
        assert b"a duck" in orjson.dumps(line)


@pytest.mark.parametrize("operation", BY_EVERY_CHAT)
def test_whoever_chats_answers_what_a_chat_can_stand_for(operation):
    chatting = {name: provider for name, provider in load_providers().items() if "chat" in provider.operations}
    assert [name for name, provider in chatting.items() if operation_of(provider, operation, "m") is None] == []


def test_jobs_are_translated_where_it_is_promised():
    jobs = {name: provider.bulk for name, provider in load_providers().items() if provider.bulk is not None}
    kinds = ("files", "batches", "tunings")
    found = {
        name: {kind for kind in kinds if not isinstance(bulk, Hosted) or getattr(bulk, kind) is not None}
        for name, bulk in jobs.items()
    }
    assert found == TRANSLATED_JOBS
