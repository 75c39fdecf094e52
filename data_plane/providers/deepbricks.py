"""DeepBricks: OpenAI's shape.  Source: https://deepbricks.ai/docs"""

from data_plane.providers._openai_like import bearer, chat
from data_plane.providers._openai_media import image
from data_plane.providers.base import Provider

PROVIDER = Provider(
    id="deepbricks",
    label="DeepBricks",
    base_url="https://api.deepbricks.ai/v1",
    authorise=bearer,
    operations={
        "chat": chat("deepbricks"),
        "image": image("deepbricks"),
    },
)
