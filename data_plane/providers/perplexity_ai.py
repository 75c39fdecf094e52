"""Perplexity: OpenAI's shape.  Source: https://docs.perplexity.ai/api-reference/chat-completions-post"""

from data_plane.providers._openai_like import bearer, chat
from data_plane.providers.base import Provider

PROVIDER = Provider(
    id="perplexity-ai",
    label="Perplexity",
    base_url="https://api.perplexity.ai",
    authorise=bearer,
    operations={
        "chat": chat("perplexity-ai"),
    },
    price_source="perplexity",
)
