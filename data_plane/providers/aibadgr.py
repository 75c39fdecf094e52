"""AI Badgr: OpenAI's shape.  Source: https://aibadgr.com"""

from data_plane.providers._openai_like import bearer, chat
from data_plane.providers.base import Provider

PROVIDER = Provider(
    id="aibadgr",
    label="AI Badgr",
    base_url="https://aibadgr.com/api/v1",
    authorise=bearer,
    operations={
        "chat": chat("aibadgr"),
    },
)
