"""Lepton AI: OpenAI's shape.  Source: https://www.lepton.ai/docs"""

from data_plane.providers._openai_like import bearer, chat, complete
from data_plane.providers.base import Provider

PROVIDER = Provider(
    id="lepton",
    label="Lepton AI",
    base_url="https://api.lepton.ai/api/v1",
    authorise=bearer,
    operations={
        "chat": chat("lepton"),
        "complete": complete("lepton"),
    },
)
