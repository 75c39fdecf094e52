"""Z.AI: OpenAI's shape.  Source: https://docs.z.ai/api-reference"""

from data_plane.providers._openai_like import bearer, chat
from data_plane.providers.base import Provider

PROVIDER = Provider(
    id="z-ai",
    label="Z.AI",
    base_url="https://api.z.ai/api/paas/v4",
    authorise=bearer,
    operations={
        "chat": chat("z-ai"),
    },
    price_source="zai",
)
