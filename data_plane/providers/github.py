"""GitHub Models: OpenAI's shape.  Source: https://docs.github.com/en/rest/models/inference"""

from data_plane.providers._openai_like import bearer, chat, listing
from data_plane.providers.base import Provider

PROVIDER = Provider(
    id="github",
    label="GitHub Models",
    base_url="https://models.github.ai/inference",
    authorise=bearer,
    operations={
        "chat": chat("github"),
        "embed": listing("github", "/embeddings"),
    },
)
