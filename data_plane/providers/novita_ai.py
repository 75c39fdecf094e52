"""Novita AI: OpenAI's shape.  Source: https://novita.ai/docs/api-reference/model-apis-llm-create-chat-completion"""

from data_plane.providers._openai_like import bearer, chat, complete, listing
from data_plane.providers.base import Provider

PROVIDER = Provider(
    id="novita-ai",
    label="Novita AI",
    base_url="https://api.novita.ai/v3/openai",
    authorise=bearer,
    operations={
        "chat": chat("novita-ai"),
        "complete": complete("novita-ai"),
        "embed": listing("novita-ai", "/embeddings"),
    },
    price_source="novita",
)
