"""Upstage: OpenAI's shape.  Source: https://console.upstage.ai/docs"""

from data_plane.providers._openai_like import bearer, chat, listing
from data_plane.providers.base import Provider

PROVIDER = Provider(
    id="upstage",
    label="Upstage",
    base_url="https://api.upstage.ai/v1/solar",
    authorise=bearer,
    operations={
        "chat": chat("upstage"),
        "embed": listing("upstage", "/embeddings"),
    },
)
