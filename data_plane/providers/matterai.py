"""MatterAI: OpenAI's shape.  Source: https://docs.matterai.so"""

from data_plane.providers._openai_like import bearer, chat
from data_plane.providers.base import Provider

PROVIDER = Provider(
    id="matterai",
    label="MatterAI",
    base_url="https://api.matterai.so/v1",
    authorise=bearer,
    operations={
        "chat": chat("matterai"),
    },
)
