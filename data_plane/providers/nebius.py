"""Nebius AI Studio: OpenAI's shape.  Source: https://docs.nebius.com/studio/inference/api"""

from data_plane.providers._openai_like import bearer, chat, complete, listing
from data_plane.providers._openai_media import image
from data_plane.providers.base import Provider

PROVIDER = Provider(
    id="nebius",
    label="Nebius AI Studio",
    base_url="https://api.studio.nebius.ai/v1",
    authorise=bearer,
    operations={
        "chat": chat("nebius"),
        "complete": complete("nebius"),
        "embed": listing("nebius", "/embeddings"),
        "image": image("nebius"),
    },
)
