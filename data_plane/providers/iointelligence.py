"""IO Intelligence: OpenAI's shape.  Source: https://docs.io.net/reference/get-started-with-io-intelligence-api"""

from data_plane.providers._openai_like import bearer, chat, listing
from data_plane.providers.base import Provider

PROVIDER = Provider(
    id="iointelligence",
    label="IO Intelligence",
    base_url="https://api.intelligence.io.solutions/api/v1",
    authorise=bearer,
    operations={
        "chat": chat("iointelligence"),
        "embed": listing("iointelligence", "/embeddings"),
    },
)
