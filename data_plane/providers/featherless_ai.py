"""Featherless AI: OpenAI's shape.  Source: https://featherless.ai/docs"""

from data_plane.providers._openai_like import bearer, chat, complete
from data_plane.providers.base import Provider

PROVIDER = Provider(
    id="featherless-ai",
    label="Featherless AI",
    base_url="https://api.featherless.ai/v1",
    authorise=bearer,
    operations={
        "chat": chat("featherless-ai"),
        "complete": complete("featherless-ai"),
    },
)
