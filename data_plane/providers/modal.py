"""Modal: OpenAI's shape.  Source: https://modal.com/docs"""

from data_plane.providers._openai_like import bearer, chat, complete
from data_plane.providers.base import Provider

PROVIDER = Provider(
    id="modal",
    label="Modal",
    base_url="https://api.modal.com/v1",
    authorise=bearer,
    operations={
        "chat": chat("modal"),
        "complete": complete("modal"),
    },
)
