"""Cerebras: OpenAI's shape.  Source: https://inference-docs.cerebras.ai/api-reference/chat-completions"""

from data_plane.providers._openai_like import bearer, chat, complete
from data_plane.providers.base import Provider

PROVIDER = Provider(
    id="cerebras",
    label="Cerebras",
    base_url="https://api.cerebras.ai/v1",
    authorise=bearer,
    operations={
        "chat": chat("cerebras"),
        "complete": complete("cerebras"),
    },
)
