"""OpenRouter: OpenAI's shape.  Source: https://openrouter.ai/docs/api-reference/overview"""

from data_plane.providers._openai_like import bearer, chat, complete, listing
from data_plane.providers._openai_responses import native_responses
from data_plane.providers._rerank import rerank
from data_plane.providers.base import Provider

PROVIDER = Provider(
    id="openrouter",
    label="OpenRouter",
    base_url="https://openrouter.ai/api/v1",
    authorise=bearer,
    operations={
        "chat": chat("openrouter"),
        "responses": native_responses("openrouter"),
        "complete": complete("openrouter"),
        "embed": listing("openrouter", "/embeddings"),
        "rerank": rerank("openrouter"),
    },
)
