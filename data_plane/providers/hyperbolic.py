"""Hyperbolic: OpenAI's shape.  Source: https://docs.hyperbolic.xyz/docs/rest-api"""

from data_plane.providers._openai_like import bearer, chat, complete
from data_plane.providers._pictures import hyperbolic_image
from data_plane.providers.base import Provider

PROVIDER = Provider(
    id="hyperbolic",
    label="Hyperbolic",
    base_url="https://api.hyperbolic.xyz/v1",
    authorise=bearer,
    operations={
        "chat": chat("hyperbolic"),
        "complete": complete("hyperbolic"),
        "image": hyperbolic_image("hyperbolic"),
    },
)
