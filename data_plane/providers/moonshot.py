"""Moonshot AI: OpenAI's shape.  Source: https://platform.moonshot.ai/docs/api/chat"""

from data_plane.providers._openai_like import bearer, chat
from data_plane.providers.base import Provider

PROVIDER = Provider(
    id="moonshot",
    label="Moonshot AI",
    base_url="https://api.moonshot.cn/v1",
    authorise=bearer,
    operations={
        "chat": chat("moonshot"),
    },
    price_source="moonshotai",
)
