"""inference.net: OpenAI's shape.  Source: https://docs.inference.net"""

from data_plane.providers._openai_like import bearer, chat
from data_plane.providers.base import Provider

PROVIDER = Provider(
    id="inference-net",
    label="inference.net",
    base_url="https://api.inference.net/v1",
    authorise=bearer,
    operations={
        "chat": chat("inference-net"),
    },
)
