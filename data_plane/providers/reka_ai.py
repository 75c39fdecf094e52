"""Reka: OpenAI's shape.  Source: https://docs.reka.ai"""

from data_plane.providers._openai_like import bearer, chat
from data_plane.providers.base import Provider

PROVIDER = Provider(
    id="reka-ai",
    label="Reka",
    base_url="https://api.reka.ai/v1",
    authorise=bearer,
    operations={
        "chat": chat("reka-ai"),
    },
)
