"""Together AI: OpenAI's shape.  Source: https://docs.together.ai/reference/chat-completions-1"""

from data_plane.providers._openai_like import bearer, chat, complete, listing, speech
from data_plane.providers._openai_media import forms, image
from data_plane.providers._openai_realtime import realtime
from data_plane.providers._rerank import rerank
from data_plane.providers.base import Provider

PROVIDER = Provider(
    id="together-ai",
    label="Together AI",
    base_url="https://api.together.xyz/v1",
    authorise=bearer,
    operations={
        "chat": chat("together-ai"),
        "complete": complete("together-ai"),
        "embed": listing("together-ai", "/embeddings"),
        "image": image("together-ai"),
        "speech": speech("together-ai"),
        "rerank": rerank("together-ai"),
        "realtime": realtime("together-ai", passed=("input_audio_format",)),
        **forms("together-ai", "transcribe", "translate"),
    },
    price_source="together",
)
