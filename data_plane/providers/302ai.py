"""302.AI: OpenAI's shape.  Source: https://doc.302.ai"""

from data_plane.providers._openai_like import bearer, chat
from data_plane.providers.base import Provider

PROVIDER = Provider(
    id="302ai",
    label="302.AI",
    base_url="https://api.302.ai/v1",
    authorise=bearer,
    operations={
        "chat": chat("302ai"),
    },
)
