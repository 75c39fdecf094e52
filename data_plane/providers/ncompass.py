"""nCompass: OpenAI's shape.  Source: https://docs.ncompass.tech"""

from data_plane.providers._openai_like import bearer, chat
from data_plane.providers.base import Provider

PROVIDER = Provider(
    id="ncompass",
    label="nCompass",
    base_url="https://api.ncompass.tech/v1",
    authorise=bearer,
    operations={
        "chat": chat("ncompass"),
    },
)
