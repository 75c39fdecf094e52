"""xAI: OpenAI's shape.  Source: https://docs.x.ai/docs/api-reference"""

from data_plane.providers._openai_like import bearer, chat, complete
from data_plane.providers._openai_media import image
from data_plane.providers._openai_realtime import realtime
from data_plane.providers._openai_responses import native_responses
from data_plane.providers.base import Provider

PROVIDER = Provider(
    id="x-ai",
    label="xAI",
    base_url="https://api.x.ai/v1",
    authorise=bearer,
    operations={
        "chat": chat("x-ai"),
        "responses": native_responses("x-ai"),
        "complete": complete("x-ai"),
        "image": image("x-ai"),
        "edit_image": image("x-ai", "/images/edits"),
        "realtime": realtime("x-ai"),
    },
)
