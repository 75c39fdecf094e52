"""Nscale: OpenAI's shape.  Source: https://docs.nscale.com"""

from data_plane.providers._openai_like import bearer, chat
from data_plane.providers._openai_media import image
from data_plane.providers.base import Provider

PROVIDER = Provider(
    id="nscale",
    label="Nscale",
    base_url="https://inference.api.nscale.com/v1",
    authorise=bearer,
    operations={
        "chat": chat("nscale"),
        "image": image("nscale"),
    },
)
