"""Anyscale: OpenAI's shape.  Source: https://docs.anyscale.com"""

from data_plane.providers._openai_like import bearer, chat, complete, listing
from data_plane.providers.base import Provider

PROVIDER = Provider(
    id="anyscale",
    label="Anyscale",
    base_url="https://api.endpoints.anyscale.com/v1",
    authorise=bearer,
    operations={
        "chat": chat("anyscale"),
        "complete": complete("anyscale"),
        "embed": listing("anyscale", "/embeddings"),
    },
)
