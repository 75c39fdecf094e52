"""OVHcloud AI Endpoints: OpenAI's shape.  Source: https://endpoints.ai.cloud.ovh.net"""

from data_plane.providers._openai_like import bearer, chat, complete, listing
from data_plane.providers.base import Provider

PROVIDER = Provider(
    id="ovhcloud",
    label="OVHcloud AI Endpoints",
    base_url="https://oai.endpoints.kepler.ai.cloud.ovh.net/v1",
    authorise=bearer,
    operations={
        "chat": chat("ovhcloud"),
        "complete": complete("ovhcloud"),
        "embed": listing("ovhcloud", "/embeddings"),
    },
)
