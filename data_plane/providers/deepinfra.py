"""DeepInfra: OpenAI's shape.  Source: https://deepinfra.com/docs/openai_api"""

from data_plane.providers._openai_like import bearer, chat, complete, listing, speech
from data_plane.providers._openai_media import forms, image
from data_plane.providers.base import Provider

PROVIDER = Provider(
    id="deepinfra",
    label="DeepInfra",
    base_url="https://api.deepinfra.com/v1/openai",
    authorise=bearer,
    operations={
        "chat": chat("deepinfra"),
        "complete": complete("deepinfra"),
        "embed": listing("deepinfra", "/embeddings"),
        "image": image("deepinfra"),
        "speech": speech("deepinfra"),
        **forms("deepinfra", "transcribe", "translate", "edit_image", "vary_image"),
    },
)
