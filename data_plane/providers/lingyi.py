"""01.AI: OpenAI's shape.  Source: https://platform.lingyiwanwu.com/docs"""

from data_plane.providers._openai_like import bearer, chat
from data_plane.providers.base import Provider

PROVIDER = Provider(
    id="lingyi",
    label="01.AI",
    base_url="https://api.lingyiwanwu.com/v1",
    authorise=bearer,
    operations={
        "chat": chat("lingyi"),
    },
)
