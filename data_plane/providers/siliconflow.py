"""SiliconFlow: OpenAI's shape.  Source: https://docs.siliconflow.cn/en/api-reference"""

from data_plane.providers._openai_like import bearer, chat, listing, speech
from data_plane.providers._openai_media import forms, image
from data_plane.providers._rerank import rerank
from data_plane.providers.base import Provider

PROVIDER = Provider(
    id="siliconflow",
    label="SiliconFlow",
    base_url="https://api.siliconflow.cn/v1",
    authorise=bearer,
    operations={
        "chat": chat("siliconflow"),
        "embed": listing("siliconflow", "/embeddings"),
        "image": image("siliconflow"),
        "rerank": rerank("siliconflow"),
        "speech": speech("siliconflow"),
        **forms("siliconflow", "transcribe"),
    },
)
