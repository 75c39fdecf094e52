"""Nextbit: OpenAI's shape.  Source: https://www.nextbit256.com/docs"""

from data_plane.providers._openai_like import bearer, chat, complete
from data_plane.providers.base import Provider

PROVIDER = Provider(
    id="nextbit",
    label="Nextbit",
    base_url="https://api.nextbit256.com/v1",
    authorise=bearer,
    operations={
        "chat": chat("nextbit"),
        "complete": complete("nextbit"),
    },
)
