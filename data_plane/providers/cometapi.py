"""CometAPI: OpenAI's shape.  Source: https://api.cometapi.com/doc"""

from data_plane.providers._openai_like import bearer, chat, listing
from data_plane.providers.base import Provider

PROVIDER = Provider(
    id="cometapi",
    label="CometAPI",
    base_url="https://api.cometapi.com/v1",
    authorise=bearer,
    operations={
        "chat": chat("cometapi"),
        "embed": listing("cometapi", "/embeddings"),
    },
)
