"""Mistral: nearly OpenAI's shape; it refuses what it does not know.  Source: https://docs.mistral.ai/api"""

from dataclasses import replace
from typing import Final

from data_plane.core.types import CallFacts, Json
from data_plane.providers._openai_like import bearer, chat, listing
from data_plane.providers._openai_media import forms, moderation
from data_plane.providers.base import Operation, Provider

_NAMES: Final = {"seed": "random_seed", "max_completion_tokens": "max_tokens"}
#: Parameters that change nothing in the answer, and that Mistral refuses.
_HARMLESS: Final = ("user", "stream_options", "logprobs", "top_logprobs", "store", "service_tier")


def _own_words(operation: Operation) -> Operation:
    def encode(body: Json, facts: CallFacts) -> Json:
        shaped = operation.encode(body, facts)
        for name, own in _NAMES.items():
            if name in shaped:
                shaped[own] = shaped.pop(name)
        for name in _HARMLESS:
            shaped.pop(name, None)
        if shaped.get("tool_choice") == "required":
            shaped["tool_choice"] = "any"
        return shaped

    return replace(operation, encode=encode)


PROVIDER = Provider(
    id="mistral-ai",
    label="Mistral AI",
    base_url="https://api.mistral.ai/v1",
    authorise=bearer,
    operations={
        "chat": _own_words(chat("mistral-ai")),
        "embed": listing("mistral-ai", "/embeddings"),
        "moderate": moderation("mistral-ai"),
        "ocr": listing("mistral-ai", "/ocr", holds="pages"),
        **forms("mistral-ai", "transcribe"),
    },
    price_source="mistral",
)
