"""Alibaba Cloud Model Studio: OpenAI's shape.  Source: https://www.alibabacloud.com/help/en/model-studio/use-qwen-by-calling-api"""

from data_plane.providers._openai_like import bearer, chat, listing
from data_plane.providers.base import Provider

PROVIDER = Provider(
    id="dashscope",
    label="Alibaba Cloud Model Studio",
    base_url="https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
    authorise=bearer,
    operations={
        "chat": chat("dashscope"),
        "embed": listing("dashscope", "/embeddings"),
    },
)
