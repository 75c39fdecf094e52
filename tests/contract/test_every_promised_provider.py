"""Every provider that callers may name is there, or is left out on purpose."""

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


def test_every_promised_name_is_a_provider_or_is_left_out_with_a_reason():
    missing = {name for name in PROMISED if name not in load_providers()}
    assert missing == set(LEFT_OUT)
    assert all(LEFT_OUT.values())


def test_a_name_is_promised_once():
    assert sorted(PROMISED) == sorted(set(PROMISED))
