"""Lemonfox: OpenAI's shape.  Source: https://www.lemonfox.ai/apis"""

from data_plane.providers._openai_like import bearer, chat, speech
from data_plane.providers._openai_media import forms, image
from data_plane.providers.base import Provider

PROVIDER = Provider(
    id="lemonfox-ai",
    label="Lemonfox",
    base_url="https://api.lemonfox.ai/v1",
    authorise=bearer,
    operations={
        "chat": chat("lemonfox-ai"),
        "image": image("lemonfox-ai"),
        "speech": speech("lemonfox-ai"),
        **forms("lemonfox-ai", "transcribe"),
    },
)
