"""Lemonfox: OpenAI's shape.  Source: https://www.lemonfox.ai/apis"""

from data_plane.providers._openai_like import bearer, chat, listing, speech
from data_plane.providers.base import Provider

PROVIDER = Provider(
    id="lemonfox-ai",
    label="Lemonfox",
    base_url="https://api.lemonfox.ai/v1",
    authorise=bearer,
    operations={
        "chat": chat("lemonfox-ai"),
        "image": listing("lemonfox-ai", "/images/generations"),
        "speech": speech("lemonfox-ai"),
    },
)
