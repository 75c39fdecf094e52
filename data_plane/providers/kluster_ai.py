"""kluster.ai: OpenAI's shape.  Source: https://docs.kluster.ai"""

from data_plane.providers._openai_like import bearer, chat, listing
from data_plane.providers.base import Provider

PROVIDER = Provider(
    id="kluster-ai",
    label="kluster.ai",
    base_url="https://api.kluster.ai/v1",
    authorise=bearer,
    operations={
        "chat": chat("kluster-ai"),
        "embed": listing("kluster-ai", "/embeddings"),
    },
)
