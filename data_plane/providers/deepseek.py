"""DeepSeek: OpenAI's shape.  Source: https://api-docs.deepseek.com"""

from data_plane.providers._openai_like import bearer, chat
from data_plane.providers.base import Provider

PROVIDER = Provider(
    id="deepseek",
    label="DeepSeek",
    base_url="https://api.deepseek.com/v1",
    authorise=bearer,
    operations={
        "chat": chat("deepseek"),
    },
)
