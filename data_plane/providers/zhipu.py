"""Zhipu AI: OpenAI's shape.  Source: https://open.bigmodel.cn/dev/api"""

from data_plane.providers._openai_like import bearer, chat, listing
from data_plane.providers.base import Provider

PROVIDER = Provider(
    id="zhipu",
    label="Zhipu AI",
    base_url="https://open.bigmodel.cn/api/paas/v4",
    authorise=bearer,
    operations={
        "chat": chat("zhipu"),
        "embed": listing("zhipu", "/embeddings"),
    },
    price_source="zhipuai",
)
