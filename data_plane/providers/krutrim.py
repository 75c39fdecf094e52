"""Krutrim: OpenAI's shape.  Source: https://cloud.olakrutrim.com"""

from data_plane.providers._openai_like import bearer, chat
from data_plane.providers.base import Provider

PROVIDER = Provider(
    id="krutrim",
    label="Krutrim",
    base_url="https://cloud.olakrutrim.com/v1",
    authorise=bearer,
    operations={
        "chat": chat("krutrim"),
    },
)
