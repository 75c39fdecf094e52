"""SambaNova: OpenAI's shape.  Source: https://docs.sambanova.ai/docs/api-reference"""

from data_plane.providers._openai_like import bearer, chat, listing
from data_plane.providers.base import Provider

PROVIDER = Provider(
    id="sambanova",
    label="SambaNova",
    base_url="https://api.sambanova.ai/v1",
    authorise=bearer,
    operations={
        "chat": chat("sambanova"),
        "embed": listing("sambanova", "/embeddings"),
    },
)
